"""acclimate: unsupervised domain adaptation for semantic segmentation.

The public face. The same verbs as on the command line::

    import acclimate

    recipe, _ = acclimate.load_recipe("demo")
    rows = acclimate.run(recipe, acclimate.Run(output="runs/demo"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from acclimate.data.class_space import ClassSpace
    from acclimate.data.photometric import Photometric
    from acclimate.data.registry import open_dataset
    from acclimate.data.sample import Batch, Dataset
    from acclimate.data.transforms import Transform
    from acclimate.errors import UserError
    from acclimate.evaluation.inference import Inference
    from acclimate.evaluation.model import Model, load
    from acclimate.evaluation.predict import predict
    from acclimate.losses import cross_entropy, entropy_loss
    from acclimate.methods.base import AdaptingOptions, Losses, Method, MethodOptions, Setting, Term
    from acclimate.methods.teacher import Teacher
    from acclimate.models.checkpoint import load_network, save_network
    from acclimate.models.network import Level, Output, SegmentationNetwork
    from acclimate.models.registry import build_network
    from acclimate.pipeline.run import Run, run
    from acclimate.recipe.load import Recipe, load_recipe
    from acclimate.report.page import write_report
    from acclimate.training.loop import Training, fit
    from acclimate.wrapping import wrap

_HOME = {
    "AdaptingOptions": "acclimate.methods.base",
    "Batch": "acclimate.data.sample",
    "ClassSpace": "acclimate.data.class_space",
    "Dataset": "acclimate.data.sample",
    "Inference": "acclimate.evaluation.inference",
    "Level": "acclimate.models.network",
    "Losses": "acclimate.methods.base",
    "Method": "acclimate.methods.base",
    "MethodOptions": "acclimate.methods.base",
    "Model": "acclimate.evaluation.model",
    "Output": "acclimate.models.network",
    "Photometric": "acclimate.data.photometric",
    "Recipe": "acclimate.recipe.load",
    "Run": "acclimate.pipeline.run",
    "SegmentationNetwork": "acclimate.models.network",
    "Setting": "acclimate.methods.base",
    "Teacher": "acclimate.methods.teacher",
    "Term": "acclimate.methods.base",
    "Training": "acclimate.training.loop",
    "Transform": "acclimate.data.transforms",
    "UserError": "acclimate.errors",
    "build_network": "acclimate.models.registry",
    "cross_entropy": "acclimate.losses",
    "entropy_loss": "acclimate.losses",
    "fit": "acclimate.training.loop",
    "load": "acclimate.evaluation.model",
    "load_network": "acclimate.models.checkpoint",
    "load_recipe": "acclimate.recipe.load",
    "open_dataset": "acclimate.data.registry",
    "predict": "acclimate.evaluation.predict",
    "run": "acclimate.pipeline.run",
    "save_network": "acclimate.models.checkpoint",
    "wrap": "acclimate.wrapping",
    "write_report": "acclimate.report.page",
}

__all__ = [
    "AdaptingOptions",
    "Batch",
    "ClassSpace",
    "Dataset",
    "Inference",
    "Level",
    "Losses",
    "Method",
    "MethodOptions",
    "Model",
    "Output",
    "Photometric",
    "Recipe",
    "Run",
    "SegmentationNetwork",
    "Setting",
    "Teacher",
    "Term",
    "Training",
    "Transform",
    "UserError",
    "__version__",
    "build_network",
    "cross_entropy",
    "entropy_loss",
    "fit",
    "load",
    "load_network",
    "load_recipe",
    "open_dataset",
    "predict",
    "run",
    "save_network",
    "wrap",
    "write_report",
]


def __getattr__(name: str) -> Any:
    # imported on first use: `acclimate --help` should not wait for torch
    if name not in _HOME:
        raise AttributeError(f"module 'acclimate' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
