"""Recipes: a paper's system as a short YAML file; read, validated, overridden, and told where each value came from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from acclimate.data.tolerance import BadData
from acclimate.errors import UserError, nearest, unknown
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.protocols import Resample
from acclimate.pseudo.sisc import LabelInference
from acclimate.pseudo.thresholds import Selection
from acclimate.recipe_rounds import expanded_rounds
from acclimate.recipe_text import leaves, merged, parse_override, parsed, read_text, set_key, to_yaml
from acclimate.tasks import TASKS, Task, TaskName, task_named
from acclimate.training.settings import TrainingSettings
from acclimate.translation.settings import COLOUR_MATCHES, CycleGanOptions, TranslationTraining, Translator, Writing
from acclimate.validation import validated

__all__ = [
    "EvaluateStage",
    "LabelStage",
    "Origins",
    "Published",
    "Recipe",
    "Row",
    "TrainStage",
    "TranslateStage",
    "explained",
    "load_recipe",
    "merged",
    "parse_override",
    "recipe_names",
    "validated",
]

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Origins = dict[str, str]
"""Dotted key -> where its value came from (a recipe's name, ``--set``, ``--source`` …); absent means the default."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(_Strict):
    """A published row to stand beside ours; IoU and mIoU (``ap`` and ``map`` in detection) in percent, as printed."""

    name: str
    miou: float | None = Field(default=None, validation_alias=AliasChoices("miou", "map"))
    subsets: dict[str, float] = {}
    iou: list[float | None] = Field(default=[], validation_alias=AliasChoices("iou", "ap"))
    source: str = ""


class TrainStage(_Strict):
    """``train``: a method, perhaps pseudo-labels, perhaps a start; overrides of the recipe's network and training."""

    train: str
    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    network: dict[str, Any] = {}
    pseudo_labels: str | None = None
    start: str | None = None
    source: str | None = None


class TranslateStage(_Strict):
    """``translate``: the source's images in the target's look, by CycleGAN or by matching colours.

    With ``source`` it starts from what an earlier translation made of them.
    """

    translate: Translator
    source: str | None = None
    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    writing: dict[str, Any] = {}
    perceptual: str | None = None


class LabelStage(_Strict):
    """``label``: pseudo-labels of the target's training images from an earlier stage's checkpoint.

    With ``spatial_prior`` the probabilities are multiplied by where the source's labels have each class (CBST-SP).
    """

    label: str
    selection: Selection = Selection()
    inference: LabelInference = LabelInference()
    spatial_prior: bool = False
    batch_size: PositiveInt = 1


class Row(_Strict):
    """One row of the results: a stage's checkpoint, or several as an ensemble.

    Logits are averaged (ADVENT's rule) unless the protocol, ``inference`` or ``average`` of the row says otherwise.
    """

    name: str
    of: list[str] = Field(min_length=1)
    weights: list[PositiveFloat] | None = None
    average: Resample | None = None


class EvaluateStage(_Strict):
    """``evaluate``: scores of stages' checkpoints, one row each.

    Attributes:
        pictures: how many images of each domain are pictured.
        label_free: how many of the target's training images the scores without labels are computed on; 0: none.
    """

    evaluate: list[str | Row]
    pictures: NonNegativeInt = 4
    label_free: NonNegativeInt = 16
    boundary_width: NonNegativeInt = 0
    """Pixels from a class boundary within which accuracy and entropy are also told apart; 0: not at all."""

    def rows(self) -> list[Row]:
        """The rows with names written out."""
        return [entry if isinstance(entry, Row) else Row(name=entry, of=[entry]) for entry in self.evaluate]


Stage = Annotated[TrainStage | TranslateStage | LabelStage | EvaluateStage, "one verb"]
VERBS: dict[str, type[TrainStage | TranslateStage | LabelStage | EvaluateStage]] = {
    "train": TrainStage,
    "translate": TranslateStage,
    "label": LabelStage,
    "evaluate": EvaluateStage,
}


class TranslationDefaults(_Strict):
    """What every ``translate: cyclegan`` stage starts from."""

    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    writing: dict[str, Any] = {}


class Recipe(_Strict):
    """A list of stages and what they share.

    Attributes:
        name, about: what it is, in a word and in a sentence.
        task: what is predicted: ``segmentation`` or ``detection``.
        paper: the publication and table it reproduces, if any.
        source, target: data specs ``kind:path``; the command line can replace them.
        evaluation: spec that scores are measured on; None: the target's.
        source_split, target_split, evaluation_split: which part of each set is read.
        protocol: class space, subsets and resampling of the scores; the class space is also trained on.
        input_size: (width, height) networks see when predicting; None: the target transform's size.
        inference: mirrored images, scales, windows when scoring; see ``evaluation/inference.py``.
        network, training: what every ``train`` stage starts from.
        translation: what every ``translate`` stage starts from.
        bad_data: ``stop`` at an image or label that cannot be read, or ``skip`` it: leave it out, list and count it.
        bad_data_cap: the largest share of a set's images that ``skip`` may leave out.
        stages: name -> verb and its settings, in order.
        published: rows to stand beside ours.
    """

    name: str
    task: TaskName = "segmentation"
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
    inference: Inference = Inference()
    network: dict[str, Any]
    training: dict[str, Any] = {}
    translation: TranslationDefaults = TranslationDefaults()
    bad_data: BadData = "stop"
    bad_data_cap: float = Field(default=0.01, ge=0.0, le=1.0)
    stages: dict[str, TrainStage | TranslateStage | LabelStage | EvaluateStage] = Field(min_length=1)
    published: list[Published] = []

    def network_config(self, stage: TrainStage, *, where: str = "") -> Any:
        """The network a ``train`` stage builds; ``where`` is the stage's key for error messages."""
        values = merged(self.network, stage.network)
        return validated(
            task_named(self.task).network, values, f"recipe {self.name}: {where if stage.network else ''}network"
        )

    def training_settings(self, stage: TrainStage, *, where: str = "") -> TrainingSettings:
        """How a ``train`` stage trains; ``where`` is the stage's key for error messages."""
        values = merged(self.training, stage.training)
        return validated(
            task_named(self.task).training, values, f"recipe {self.name}: {where if stage.training else ''}training"
        )

    def translation_settings(
        self, stage: TranslateStage, *, where: str = ""
    ) -> tuple[CycleGanOptions, TranslationTraining, Writing]:
        """How a ``translate`` stage translates; ``where`` is the stage's key for error messages."""

        def settings(key: str, model: type[M]) -> M:
            own: dict[str, Any] = getattr(stage, key)
            place = f"{where if own else 'translation.'}{key}"
            return validated(model, merged(getattr(self.translation, key), own), f"recipe {self.name}: {place}")

        return (
            settings("options", CycleGanOptions),
            settings("training", TranslationTraining),
            settings("writing", Writing),
        )

    def prediction_size(self) -> tuple[int, int] | None:
        """(width, height) of the images networks see when predicting."""
        if self.input_size is not None:
            return self.input_size
        settings = validated(task_named(self.task).training, self.training, f"recipe {self.name}: training")
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
        set_key(content, key, value)
        origins.update(dict.fromkeys(leaves({key: value}), origin))
    origins = {key: origins[key] for key in leaves(content) if key in origins}
    return _checked(expanded_rounds(content), str(content.get("name", name_or_path))), origins


def explained(recipe: Recipe, origins: Origins) -> str:
    """The resolved recipe as YAML, each value that a person chose followed by where it came from."""
    content = recipe.model_dump(mode="json")
    lines = to_yaml(content).splitlines()
    path: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        stripped = line.lstrip()
        key, sign, _ = stripped.partition(":")
        if not sign or stripped.startswith(("-", "#")):
            continue
        indent = len(line) - len(stripped)
        path = [entry for entry in path if entry[0] < indent] + [(indent, key)]
        dotted = ".".join(entry[1] for entry in path)
        if dotted in origins:
            lines[number] = f"{line}  # {origins[dotted]}"
    return "\n".join(lines) + "\n"


# --- reading -----------------------------------------------------------------------------------------------------


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
        raise UserError(f"recipe {name_or_path} extends itself ({' -> '.join((*seen, identity))})")
    content = parsed(text, f"recipe {name_or_path}")
    origins = dict.fromkeys(leaves(content), f"recipe {name_or_path}")
    if (base := content.pop("extends", None)) is not None:
        base_content, base_origins = _read(str(base), seen=(*seen, identity), beside=beside)
        if "stages" in content:
            for key in ("stages", "published", "paper", "about"):
                base_content.pop(key, None)
        content = merged(base_content, content)
        origins = {**base_origins, **origins}
    return content, origins


# --- validating --------------------------------------------------------------------------------------------------


def _checked(content: dict[str, Any], name: str) -> Recipe:
    """The recipe; every problem is collected before one message tells them all."""
    where = f"recipe {name}"
    problems: list[str] = []
    broken: list[str] = []

    def collected(check: Callable[..., T], *arguments: Any, prefix: str = "", **keywords: Any) -> T | None:
        try:
            return check(*arguments, **keywords)
        except UserError as error:
            problems.append(prefix + str(error).removeprefix(f"{where}: "))
            return None

    given = content.get("stages")
    if isinstance(given, dict):
        task = collected(task_named, content.get("task", "segmentation")) or TASKS["segmentation"]
        stages = {key: collected(_stage, name, str(key), value, task) for key, value in given.items()}
        content = {**content, "stages": {key: stage for key, stage in stages.items() if stage is not None}}
        broken = [str(key) for key, stage in stages.items() if stage is None]
        if broken and not content["stages"]:
            raise _all_problems(name, problems)
    recipe: Recipe | None = collected(validated, Recipe, content, where)
    if recipe is None:  # look for further problems in the part that is understood
        with contextlib.suppress(UserError):
            known = {key: value for key, value in content.items() if key in Recipe.model_fields}
            recipe = validated(Recipe, known, where)
    if recipe is not None:
        problems.extend(_reference_problems(recipe, broken=broken))
        task = task_named(recipe.task)
        shared = collected(validated, task.training, recipe.training, f"{where}: training")
        for key, stage in recipe.stages.items():
            at = f"stages.{key}."
            if isinstance(stage, TranslateStage):
                collected(recipe.translation_settings, stage, where=at)
            if isinstance(stage, TrainStage):
                collected(task.options, stage.train, stage.options, prefix=f"{at}options: ")
                if shared is not None:
                    collected(recipe.training_settings, stage, where=at)
                if (network := collected(recipe.network_config, stage, where=at)) is not None:
                    collected(task.check_network, network, prefix=f"{at if stage.network else ''}network: ")
    if recipe is None or problems:
        raise _all_problems(name, problems)
    return recipe


def _stage_shape_problems(name: str, value: Any) -> list[str]:
    if not _can_name_a_folder(name):
        return [f"stages: {name!r} cannot name a folder; leave out / and \\\\"]
    if not isinstance(value, dict):
        return [f"stages.{name} must be a mapping with one of the verbs {', '.join(VERBS)}"]
    verbs = [verb for verb in VERBS if verb in value]
    if len(verbs) == 1:
        return []
    hint = "".join(nearest(str(key), VERBS) for key in value)
    found = "has none" if not verbs else f"has {' and '.join(verbs)}"
    return [f"stages.{name} needs exactly one of the verbs {', '.join(VERBS)}; it {found}{hint}"]


def _stage(recipe: str, name: str, value: Any, task: Task) -> TrainStage | TranslateStage | LabelStage | EvaluateStage:
    if problems := _stage_shape_problems(name, value):
        raise _all_problems(recipe, problems)
    verb = next(verb for verb in VERBS if verb in value)
    if verb not in task.verbs:
        raise UserError(f"recipe {recipe}: stages.{name}: {task.name} has no stage {verb!r}; remove the stage")
    stage = validated(VERBS[verb], value, f"recipe {recipe}: stages.{name}")
    if isinstance(stage, TrainStage):
        try:
            task.method(stage.train)
        except UserError as error:
            raise UserError(f"recipe {recipe}: stages.{name}.train: {error}") from None
    return stage


def _reference_problems(recipe: Recipe, *, broken: Collection[str]) -> list[str]:
    """What is wrong between stages; those in ``broken`` have been complained about already."""
    problems: list[str] = []
    earlier: dict[str, str] = {}

    def needs(stage: str, key: str, name: str, verb: str) -> None:
        if name in broken:
            return
        if name not in earlier:
            problems.append(f"stages.{stage}.{key}: no earlier stage is called {name!r}{nearest(name, earlier)}")
        elif earlier[name] != verb:
            problems.append(f"stages.{stage}.{key}: {name!r} is a {earlier[name]} stage; a {verb} stage is needed")

    if recipe.task == "detection" and recipe.bad_data == "skip":
        problems.append("bad_data: detection stops at files that cannot be read; remove the key")
    for name, stage in recipe.stages.items():
        if isinstance(stage, TrainStage):
            if stage.start is not None:
                needs(name, "start", stage.start, "train")
            if stage.source is not None:
                needs(name, "source", stage.source, "translate")
                if task_named(recipe.task).method(stage.train).trains_on != "source":
                    problems.append(f"stages.{name}.source: {stage.train} sees no source; remove the key")
            if stage.pseudo_labels is not None:
                needs(name, "pseudo_labels", stage.pseudo_labels, "label")
                if task_named(recipe.task).method(stage.train).trains_on == "target":
                    problems.append(
                        f"stages.{name}.pseudo_labels: {stage.train} trains on the target's own labels; remove the key"
                    )
            elif task_named(recipe.task).method(stage.train).trains_on == "pseudo-labels":
                problems.append(
                    f"stages.{name}: {stage.train} trains on pseudo-labels alone; "
                    "set pseudo_labels to an earlier label stage"
                )
            earlier[name] = "train"
        elif isinstance(stage, TranslateStage):
            if stage.source is not None:
                needs(name, "source", stage.source, "translate")
            if stage.perceptual is not None:
                needs(name, "perceptual", stage.perceptual, "train")
            unread = [key for key in ("options", "training", "writing", "perceptual") if getattr(stage, key)]
            if stage.translate in COLOUR_MATCHES and unread:
                problems.append(f"stages.{name}.{unread[0]}: a colour match has no such setting; remove the key")
            earlier[name] = "translate"
        elif isinstance(stage, LabelStage):
            needs(name, "label", stage.label, "train")
            earlier[name] = "label"
        else:
            for row in stage.rows():
                for model in row.of:
                    needs(name, "evaluate", model, "train")
            problems.extend(_row_problems(name, stage.rows()))
            if recipe.task == "detection" and stage.boundary_width:
                problems.append(f"stages.{name}.boundary_width: boxes have no class boundaries; remove the key")
            if recipe.task == "detection" and any(len(row.of) > 1 for row in stage.rows()):
                problems.append(f"stages.{name}.evaluate: detectors are scored one by one; give each a row of its own")
            earlier[name] = "evaluate"
    return problems


def _row_problems(stage: str, rows: Sequence[Row]) -> list[str]:
    problems: list[str] = []
    names = [row.name for row in rows]
    for row in rows:
        if not _can_name_a_folder(row.name):
            problems.append(f"stages.{stage}.evaluate: {row.name!r} cannot name a folder; leave out / and \\\\")
        if row.weights is not None and len(row.weights) != len(row.of):
            problems.append(
                f"stages.{stage}.evaluate: row {row.name!r} has {len(row.weights)} weights for {len(row.of)} models"
            )
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"stages.{stage}.evaluate: two rows are called {name!r}; give one of them another name")
    return problems


def _can_name_a_folder(name: str) -> bool:
    return 0 < len(name) <= 100 and name.isprintable() and not set(name) & set("/\\")


def _all_problems(name: str, problems: Sequence[str]) -> UserError:
    lines = list(dict.fromkeys(problems))
    return UserError(f"recipe {name}: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"recipe {name}:", *lines]))
