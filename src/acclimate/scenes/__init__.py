"""Built-in street scenes: procedural, seeded, instant, with labels, boxes and depth, in five looks."""

from acclimate.scenes.looks import LOOKS, Rendering, render_scene
from acclimate.scenes.street import Scene
from acclimate.scenes.world import sample_scene

__all__ = ["LOOKS", "Rendering", "Scene", "render_scene", "sample_scene"]
