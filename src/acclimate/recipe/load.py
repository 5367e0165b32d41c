"""Recipes: a paper's system as a short YAML file; read, validated, overridden, and told where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from acclimate.errors import UserError, unknown
from acclimate.io.validation import validated
from acclimate.recipe.checks import checked
from acclimate.recipe.rounds import expanded_rounds
from acclimate.recipe.schema import VERBS, Published, Recipe, TranslationDefaults
from acclimate.recipe.text import commented, leaves, merged, parse_override, parsed, read_text, set_key, to_yaml
from acclimate.stages.checkpoint import CheckpointStage
from acclimate.stages.evaluate import EvaluateStage, ScoredRow
from acclimate.stages.label import LabelStage
from acclimate.stages.label_boxes import LabelBoxesStage
from acclimate.stages.train import TrainStage
from acclimate.stages.translate import TranslateStage

__all__ = [
    "VERBS",
    "CheckpointStage",
    "EvaluateStage",
    "LabelBoxesStage",
    "LabelStage",
    "Origins",
    "Published",
    "Recipe",
    "ScoredRow",
    "TrainStage",
    "TranslateStage",
    "TranslationDefaults",
    "content_of",
    "explained",
    "load_recipe",
    "merged",
    "parse_override",
    "recipe_names",
    "recipe_of",
    "validated",
]

Origins = dict[str, str]
"""Dotted key -> where its value came from (a recipe's name, ``--set``, ``--source`` …); absent means the default."""


def recipe_names() -> list[str]:
    """The recipes that ship with acclimate."""
    folder = resources.files("acclimate") / "recipes"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def content_of(name_or_path: str) -> dict[str, Any]:
    """What a recipe says, with what it extends underneath, as plain values that are not validated yet.

    Raises:
        UserError: it does not exist or is not YAML.
    """
    return _read(name_or_path, seen=())[0]


def load_recipe(
    name_or_path: str, *, overrides: Mapping[str, Any] | None = None, origin: str = "--set"
) -> tuple[Recipe, Origins]:
    """A recipe by shipped name or by path, with overrides of dotted keys applied.

    Raises:
        UserError: the recipe does not exist, is not YAML, or has problems; all of them are listed in one message.
    """
    content, origins = _read(name_or_path, seen=())
    return recipe_of(content, origins, str(content.get("name", name_or_path)), overrides=overrides, origin=origin)


def recipe_of(
    content: dict[str, Any],
    origins: Origins,
    name: str,
    *,
    overrides: Mapping[str, Any] | None = None,
    origin: str = "--set",
) -> tuple[Recipe, Origins]:
    """The recipe that plain values describe, with overrides of dotted keys applied to them.

    Raises:
        UserError: as :func:`load_recipe`.
    """
    for key, value in (overrides or {}).items():
        set_key(content, key, value)
        origins.update(dict.fromkeys(leaves({key: value}), origin))
    origins = {key: origins[key] for key in leaves(content) if key in origins}
    return checked(with_shared_options(expanded_rounds(content)), name), origins


def with_shared_options(content: dict[str, Any]) -> dict[str, Any]:
    """The recipe's content with its ``options`` underneath those of every ``train`` stage."""
    shared, stages = content.get("options"), content.get("stages")
    if not (isinstance(shared, Mapping) and isinstance(stages, Mapping)):
        return content
    each = {
        name: merged({"options": shared}, stage) if isinstance(stage, Mapping) and TrainStage.verb in stage else stage
        for name, stage in stages.items()
    }
    return {**content, "stages": each}


def explained(recipe: Recipe, origins: Origins) -> str:
    """The resolved recipe as YAML, each value that a person chose followed by where it came from."""
    return commented(to_yaml(recipe.model_dump(mode="json")), origins)


def _read(name_or_path: str, *, seen: tuple[str, ...], beside: Path | None = None) -> tuple[dict[str, Any], Origins]:
    """A recipe's content with what it extends underneath; paths are looked up ``beside`` the recipe that names them."""
    folder = resources.files("acclimate") / "recipes"
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        path = Path(name_or_path) if beside is None else beside / name_or_path
        if not path.is_file():
            raise UserError(f"there is no recipe file {path}; `acclimate list recipes` names those that ship")
        identity, beside = str(path.resolve()), path.parent
        text = read_text(path)
    else:
        if name_or_path not in recipe_names():
            raise unknown("recipe", name_or_path, recipe_names())
        identity = name_or_path
        text = (folder / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    if identity in seen:
        raise UserError(f"recipe {name_or_path} leads back to itself ({' -> '.join((*seen, identity))})")
    content = parsed(text, f"recipe {name_or_path}")
    origins = dict.fromkeys(leaves(content), f"recipe {name_or_path}")
    if isinstance(lender := content.get("stages"), str):
        lent, lent_origins = _read(lender, seen=(*seen, identity), beside=beside)
        content["stages"] = lent.get("stages")
        origins |= {key: origin for key, origin in lent_origins.items() if key.startswith("stages.")}
    if (base := content.pop("extends", None)) is not None:
        base_content, base_origins = _read(str(base), seen=(*seen, identity), beside=beside)
        if "stages" in content:
            for key in ("stages", "published", "paper", "about"):
                base_content.pop(key, None)
        content = merged(base_content, content)
        origins = {**base_origins, **origins}
    return content, origins
