"""Detection, a task beside segmentation: boxes instead of label maps, the same recipes, stages and training loop."""
