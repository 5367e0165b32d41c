"""Image translation: pictures of one look turned into pictures of another, labels kept (CycleGAN, BDL)."""
