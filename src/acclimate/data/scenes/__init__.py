"""Built-in street scenes: procedural, seeded, instant, with labels, boxes and depth, in five looks."""

from acclimate.data.scenes.classes import SCENES_14
from acclimate.data.scenes.dataset import ScenesDataset
from acclimate.data.scenes.looks import LOOKS, Rendering, render_scene
from acclimate.data.scenes.street import Scene
from acclimate.data.scenes.world import sample_scene

__all__ = ["LOOKS", "SCENES_14", "Rendering", "Scene", "ScenesDataset", "render_scene", "sample_scene"]
