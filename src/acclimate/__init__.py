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
    from acclimate.data.registry import open_dataset
    from acclimate.errors import UserError
    from acclimate.evaluation.predict import predict
    from acclimate.models.checkpoint import load_network, save_network
    from acclimate.models.registry import build_network
    from acclimate.models.wrapped import wrap
    from acclimate.pipeline.run import Run, run
    from acclimate.recipe.load import Recipe, load_recipe
    from acclimate.report.page import write_report

_HOME = {
    "Recipe": "acclimate.recipe.load",
    "Run": "acclimate.pipeline.run",
    "UserError": "acclimate.errors",
    "build_network": "acclimate.models.registry",
    "load_network": "acclimate.models.checkpoint",
    "load_recipe": "acclimate.recipe.load",
    "open_dataset": "acclimate.data.registry",
    "predict": "acclimate.evaluation.predict",
    "run": "acclimate.pipeline.run",
    "save_network": "acclimate.models.checkpoint",
    "wrap": "acclimate.models.wrapped",
    "write_report": "acclimate.report.page",
}

__all__ = [
    "Recipe",
    "Run",
    "UserError",
    "__version__",
    "build_network",
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
