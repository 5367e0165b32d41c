"""Recipes: a paper's system as a short YAML file; read, validated, overridden, and told where each value came from."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from acclimate.errors import UserError, nearest, unknown
from acclimate.methods import method_class, method_options
from acclimate.models.config import NetworkConfig
from acclimate.pseudo.thresholds import Selection
from acclimate.training.settings import TrainingSettings

Model = TypeVar("Model", bound=BaseModel)
Origins = dict[str, str]
"""Dotted key -> where its value came from (a recipe's name, ``--set``, ``--source`` …); absent means the default."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(_Strict):
    """A published row to stand beside ours; IoU and mIoU in percent, as papers print them."""

    name: str
    miou: float | None = None
    subsets: dict[str, float] = {}
    iou: list[float | None] = []
    source: str = ""


class TrainStage(_Strict):
    """``train``: a method, perhaps pseudo-labels, perhaps a start; overrides of the recipe's network and training."""

    train: str
    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    network: dict[str, Any] = {}
    pseudo_labels: str | None = None
    start: str | None = None


class LabelStage(_Strict):
    """``label``: pseudo-labels of the target's training images from an earlier stage's checkpoint."""

    label: str
    selection: Selection = Selection()
    batch_size: PositiveInt = 1


class Row(_Strict):
    """One row of the results: a stage's checkpoint, or several as an ensemble (their logits averaged)."""

    name: str
    of: list[str] = Field(min_length=1)
    weights: list[float] | None = None


class EvaluateStage(_Strict):
    """``evaluate``: scores of stages' checkpoints, one row each."""

    evaluate: list[str | Row]
    pictures: NonNegativeInt = 4

    def rows(self) -> list[Row]:
        """The rows with names written out."""
        return [entry if isinstance(entry, Row) else Row(name=entry, of=[entry]) for entry in self.evaluate]


Stage = Annotated[TrainStage | LabelStage | EvaluateStage, "one verb"]
VERBS: dict[str, type[TrainStage | LabelStage | EvaluateStage]] = {
    "train": TrainStage,
    "label": LabelStage,
    "evaluate": EvaluateStage,
}


class Recipe(_Strict):
    """A list of stages and what they share.

    Attributes:
        name, about: what it is, in a word and in a sentence.
        paper: the publication and table it reproduces, if any.
        source, target: data specs ``kind:path``; the command line can replace them.
        evaluation: spec that scores are measured on; None: the target's.
        source_split, target_split, evaluation_split: which part of each set is read.
        protocol: class space, subsets and resampling of the scores; the class space is also trained on.
        input_size: (width, height) networks see when predicting; None: the target transform's size.
        network, training: what every ``train`` stage starts from.
        stages: name -> verb and its settings, in order.
        published: rows to stand beside ours.
    """

    name: str
    about: str = ""
    paper: str = ""
    source: str | None = None
    target: str | None = None
    evaluation: str | None = None
    source_split: str = "train"
    target_split: str = "train"
    evaluation_split: str = "val"
    protocol: str | None = None
    input_size: tuple[PositiveInt, PositiveInt] | None = None
    network: dict[str, Any]
    training: dict[str, Any] = {}
    stages: dict[str, TrainStage | LabelStage | EvaluateStage]
    published: list[Published] = []

    def network_config(self, stage: TrainStage) -> NetworkConfig:
        """The network a ``train`` stage builds."""
        return validated(NetworkConfig, merged(self.network, stage.network), f"recipe {self.name}: network")

    def training_settings(self, stage: TrainStage) -> TrainingSettings:
        """How a ``train`` stage trains."""
        values = merged(self.training, stage.training)
        return validated(TrainingSettings, values, f"recipe {self.name}: training")

    def prediction_size(self) -> tuple[int, int] | None:
        """(width, height) of the images networks see when predicting."""
        if self.input_size is not None:
            return self.input_size
        settings = validated(TrainingSettings, self.training, f"recipe {self.name}: training")
        return settings.target_transform.size


def recipe_names() -> list[str]:
    """The recipes that ship with acclimate."""
    folder = resources.files("acclimate") / "recipes"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(
    name_or_path: str, *, overrides: Mapping[str, Any] | None = None, origin: str = "--set"
) -> tuple[Recipe, Origins]:
    """A recipe by shipped name or by path, with overrides of dotted keys applied.

    Raises:
        UserError: the recipe does not exist, is not YAML, or has problems; all of them are listed in one message.
    """
    content, origins = _read(name_or_path, seen=())
    for key, value in (overrides or {}).items():
        _set(content, key, value)
        origins[key] = origin
    return _checked(content, str(content.get("name", name_or_path))), origins


def parse_override(text: str) -> tuple[str, Any]:
    """``key.sub=value`` as a dotted key and a YAML value.

    Raises:
        UserError: there is no ``=``, or the value is not YAML.
    """
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UserError(f"--set needs key=value, got {text!r} (for instance --set training.steps=400)")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {key}: {value!r} is not a YAML value ({error})") from None


def explained(recipe: Recipe, origins: Origins) -> str:
    """The resolved recipe as YAML, each value that a person chose followed by where it came from."""
    content = recipe.model_dump(mode="json")
    lines = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1_000_000).splitlines()
    path: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        stripped = line.lstrip()
        key, sign, value = stripped.partition(":")
        if not sign or stripped.startswith(("-", "#")):
            continue
        indent = len(line) - len(stripped)
        path = [entry for entry in path if entry[0] < indent] + [(indent, key)]
        dotted = ".".join(entry[1] for entry in path)
        if value and dotted in origins:
            lines[number] = f"{line}  # {origins[dotted]}"
    return "\n".join(lines) + "\n"


# --- reading -----------------------------------------------------------------------------------------------------


def _read(name_or_path: str, *, seen: tuple[str, ...]) -> tuple[dict[str, Any], Origins]:
    if name_or_path in seen:
        raise UserError(f"recipe {name_or_path} extends itself ({' -> '.join((*seen, name_or_path))})")
    is_path = name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path
    if is_path:
        path = Path(name_or_path)
        if not path.is_file():
            raise UserError(f"there is no recipe file {path}; `acclimate list recipes` names those that ship")
        text = path.read_text(encoding="utf-8", errors="replace")
    else:
        if name_or_path not in recipe_names():
            raise unknown("recipe", name_or_path, recipe_names())
        text = (resources.files("acclimate") / "recipes" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"recipe {name_or_path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"recipe {name_or_path} must be a mapping with the keys name, protocol, network and stages")
    origins = dict.fromkeys(_leaves(content), f"recipe {name_or_path}")
    if (base := content.pop("extends", None)) is not None:
        base_content, base_origins = _read(str(base), seen=(*seen, name_or_path))
        if "stages" in content:
            for key in ("stages", "published", "paper", "about"):
                base_content.pop(key, None)
        content = merged(base_content, content)
        origins = {**base_origins, **origins}
    return content, origins


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over`` on top; mappings are merged key by key, all else is replaced."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _leaves(content: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in content.items():
        dotted = f"{prefix}{key}"
        keys.extend(_leaves(value, f"{dotted}.") if isinstance(value, Mapping) else [dotted])
    return keys


def _set(content: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    here = content
    for parent in parents:
        inner = here.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise UserError(f"--set {dotted}: {parent!r} is a single value in this recipe and has no keys of its own")
        here = inner
    here[last] = value


# --- validating --------------------------------------------------------------------------------------------------


def _checked(content: dict[str, Any], name: str) -> Recipe:
    problems: list[str] = []
    stages = content.get("stages")
    if isinstance(stages, dict):
        for key, value in stages.items():
            problems.extend(_stage_shape_problems(str(key), value))
    if problems:
        raise _all_problems(name, problems)
    if isinstance(stages, dict):
        content = {**content, "stages": {key: _stage(name, str(key), value) for key, value in stages.items()}}
    recipe = validated(Recipe, content, f"recipe {name}")
    if problems := _reference_problems(recipe):
        raise _all_problems(name, problems)
    for stage in recipe.stages.values():  # their own messages name the key
        if isinstance(stage, TrainStage):
            method_options(stage.train, stage.options)
            recipe.network_config(stage)
            recipe.training_settings(stage)
    return recipe


def _stage_shape_problems(name: str, value: Any) -> list[str]:
    if not isinstance(value, dict):
        return [f"stages.{name} must be a mapping with one of the verbs {', '.join(VERBS)}"]
    verbs = [verb for verb in VERBS if verb in value]
    if len(verbs) == 1:
        return []
    hint = "".join(nearest(str(key), VERBS) for key in value)
    found = "has none" if not verbs else f"has {' and '.join(verbs)}"
    return [f"stages.{name} needs exactly one of the verbs {', '.join(VERBS)}; it {found}{hint}"]


def _stage(recipe: str, name: str, value: dict[str, Any]) -> TrainStage | LabelStage | EvaluateStage:
    verb = next(verb for verb in VERBS if verb in value)
    return validated(VERBS[verb], value, f"recipe {recipe}: stages.{name}")


def _reference_problems(recipe: Recipe) -> list[str]:
    problems: list[str] = []
    earlier: dict[str, str] = {}

    def needs(stage: str, key: str, name: str, verb: str) -> None:
        if name not in earlier:
            problems.append(f"stages.{stage}.{key}: no earlier stage is called {name!r}{nearest(name, earlier)}")
        elif earlier[name] != verb:
            problems.append(f"stages.{stage}.{key}: {name!r} is a {earlier[name]} stage; a {verb} stage is needed")

    for name, stage in recipe.stages.items():
        if isinstance(stage, TrainStage):
            method_class(stage.train)
            if stage.start is not None:
                needs(name, "start", stage.start, "train")
            if stage.pseudo_labels is not None:
                needs(name, "pseudo_labels", stage.pseudo_labels, "label")
            earlier[name] = "train"
        elif isinstance(stage, LabelStage):
            needs(name, "label", stage.label, "train")
            earlier[name] = "label"
        else:
            for row in stage.rows():
                for model in row.of:
                    needs(name, "evaluate", model, "train")
            earlier[name] = "evaluate"
    return problems


def _all_problems(name: str, problems: Sequence[str]) -> UserError:
    return UserError(f"recipe {name}: " + "; ".join(problems))


def validated(model: type[Model], values: Any, where: str) -> Model:
    """``values`` as a ``model``; every problem in one message, unknown keys with the nearest known one.

    Raises:
        UserError: something is missing, unknown or out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"]) or "(the whole)"
            if item["type"] == "extra_forbidden":
                known = sorted(_fields_at(model, item["loc"][:-1]))
                hint = nearest(str(item["loc"][-1]), known)
                problems.append(f"unknown key {key!r}{hint} (known: {', '.join(known)})")
            elif item["type"] == "missing":
                problems.append(f"the key {key!r} is missing")
            else:
                problems.append(f"{key}: {item['msg']} (got {item['input']!r})")
        raise UserError(f"{where}: " + "; ".join(problems)) from None


def _fields_at(model: type[BaseModel], location: Sequence[Any]) -> set[str]:
    """The keys known where an unknown one was found, following the model's annotations."""
    here: list[Any] = [model]
    for part in location:
        found: list[Any] = []
        for candidate in here:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel) and part in candidate.model_fields:
                found.append(candidate.model_fields[part].annotation)
        here = [inner for annotation in found for inner in _unwrapped(annotation)] or here
    return {
        name
        for candidate in here
        if isinstance(candidate, type) and issubclass(candidate, BaseModel)
        for name in candidate.model_fields
    }


def _unwrapped(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, Annotated, list, dict, tuple) and origin is not Literal:
        return [inner for argument in typing.get_args(annotation) for inner in _unwrapped(argument)]
    return [annotation]
