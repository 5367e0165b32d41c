"""The tables of the documentation say what the code says: keys, defaults, names, published numbers."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import typer
from markdown_pages import OWN_DATA, ROOT, code, tables
from pydantic import BaseModel

from acclimate.cli.app import app
from acclimate.data.class_spaces import CLASS_SPACES, class_space
from acclimate.data.photometric import Photometric
from acclimate.data.readers.folder import Description
from acclimate.data.registry import DATASETS
from acclimate.data.sampling import Sampling
from acclimate.data.transforms import Transform
from acclimate.detection.methods import DETECTION_METHODS
from acclimate.detection.networks import DETECTORS
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.protocols import PROTOCOLS
from acclimate.methods import METHODS, AdaptingOptions, MethodOptions, PseudoLabelOptions
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.models.batch_norm import BatchNormSetting
from acclimate.models.decoders import DECODERS
from acclimate.models.preprocessing import PREPROCESSINGS
from acclimate.models.registry import NETWORKS
from acclimate.pseudo.confidence import CONFIDENCES
from acclimate.pseudo.sisc import LabelInference
from acclimate.pseudo.thresholds import Selection
from acclimate.recipe.load import (
    CheckpointStage,
    EvaluateStage,
    LabelStage,
    Recipe,
    TrainStage,
    TranslateStage,
    load_recipe,
    recipe_names,
)
from acclimate.training.rounds import Mining
from acclimate.training.schedule import Schedule
from acclimate.training.settings import SnapshotSettings, TrainingSettings
from acclimate.translation.settings import CycleGanOptions, TranslationTraining, Writing

DOCS = ROOT / "docs"
METHOD_PAGES = {
    "source_only": "source-only",
    "oracle": "source-only",
    "pwl": "mlsl",
    "fine_grained": "fine-grained",
    "self_distillation": "self-distillation",
}


def written_defaults(page: Any) -> list[dict[str, str]]:
    """Key -> default of every table of a page that lists keys or options with defaults."""
    return [
        {code(row[0])[0]: row[1] for row in table[1:]}
        for table in tables(page)
        if table[0][0] in ("key", "option") and table[0][1] == "default"
    ]


def defaults(model: type[BaseModel], *, without: type[BaseModel] | None = None) -> dict[str, str]:
    """Field -> default of a model, as the documentation writes it."""
    inherited = without.model_fields if without is not None else {}
    return {name: _shown(field) for name, field in model.model_fields.items() if name not in inherited}


def _shown(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "{}"
    if isinstance(value, bool):
        return str(value).lower()
    return "–" if value is None or value == "" else str(value)


@pytest.mark.parametrize(
    ("model", "page"),
    [
        *(
            (model, DOCS / "recipes.md")
            for model in (Recipe, CheckpointStage, TrainStage, TranslateStage, LabelStage, EvaluateStage)
        ),
        *((model, DOCS / "methods" / "bdl.md") for model in (CycleGanOptions, TranslationTraining, Writing)),
        *((model, DOCS / "recipes.md") for model in (TrainingSettings, OptimizerSettings, Transform)),
        (Selection, DOCS / "methods" / "ssl-esl.md"),
        (LabelInference, DOCS / "recipes.md"),
        (Mining, DOCS / "recipes.md"),
        (Sampling, DOCS / "recipes.md"),
        (Photometric, DOCS / "recipes.md"),
        (SnapshotSettings, DOCS / "recipes.md"),
        (Description, OWN_DATA),
        (MethodOptions, DOCS / "methods" / "index.md"),
        (Schedule, DOCS / "recipes.md"),
    ],
    ids=lambda value: getattr(value, "__name__", getattr(value, "stem", "")),
)
def test_keys_and_defaults(model: type[BaseModel], page: Any) -> None:
    wanted = defaults(model)
    alike = [table for table in written_defaults(page) if len(set(table) & set(wanted)) > len(wanted) / 2]
    assert alike == [wanted]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_page_with_its_own_options(name: str) -> None:
    options = METHODS[name].Options
    shared = next(kind for kind in (AdaptingOptions, PseudoLabelOptions, MethodOptions) if issubclass(options, kind))
    wanted = defaults(options, without=shared)
    page = DOCS / "methods" / f"{METHOD_PAGES.get(name, name)}.md"
    assert written_defaults(page) == ([wanted] if wanted else [])


def test_options_that_methods_share() -> None:
    """One table for pseudo-labels, and those of adapting methods, one for each thing they may add."""
    written = written_defaults(DOCS / "methods" / "index.md")
    assert defaults(PseudoLabelOptions, without=MethodOptions) in written
    wanted = defaults(AdaptingOptions, without=PseudoLabelOptions)
    assert {name: default for table in written for name, default in table.items() if name in wanted} == wanted


def test_index_lists_every_method() -> None:
    table = next(table for table in tables(DOCS / "methods" / "index.md") if table[0][0] == "method")
    assert {name for row in table[1:] for name in code(row[0])} == {*METHODS, "pseudo_labels"}


def test_published_numbers_are_those_of_the_recipes() -> None:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    wanted = {
        (name, row.name, number(row.miou), number(row.subsets.get("13")), row.source)
        for name in recipe_names()
        for row in load_recipe(name)[0].published
    }
    written = [
        (*code(row[0]), *code(row[1]), row[2].strip("–"), row[3].strip("–"), row[4])
        for page in (DOCS / "methods").glob("*.md")
        for table in tables(page)
        if table[0][0] == "recipe"
        for row in table[1:]
    ]
    assert set(written) == wanted
    assert len(written) == len(wanted), "a published row is listed twice"


def test_networks_and_their_options() -> None:
    found = {table[0][0]: table for table in tables(DOCS / "networks.md")}
    options = {name: set(network.Options.model_fields) for name, network in NETWORKS.items()}
    written = {code(row[0])[0]: set(code(row[2])) for row in found["network"][1:]}
    for name, names in written.items():
        # the name of another network stands for all of that network's options
        written[name] = options[names.copy().pop()] if len(names) == 1 and names <= set(options) else names
    assert written == options
    assert {code(row[0])[0] for row in found["option"][1:]} == set().union(*options.values())
    assert {code(row[0])[0]: code(row[2]) for row in found["decoder"][1:]} == {
        name: list(decoder.Options.model_fields) for name, decoder in DECODERS.items()
    }
    assert [code(row[0])[0] for row in found["`batch_norm`"][1:]] == list(get_args(BatchNormSetting))
    assert [code(row[0])[0] for row in found["`preprocessing`"][1:]] == list(PREPROCESSINGS)


def test_protocols() -> None:
    table, inference = tables(DOCS / "protocols.md")
    assert {code(row[0])[0] for row in inference[1:]} == set(Inference.model_fields)
    written = {code(row[0])[0]: (row[1], row[2]) for row in table[1:]}
    assert written == {
        name: (str(len(class_space(protocol.class_space))), ", ".join(protocol.subsets) or "–")
        for name, protocol in PROTOCOLS.items()
        if protocol.class_space in CLASS_SPACES
    }


def test_readme_lists_what_there_is() -> None:
    group: Any = typer.main.get_command(app)
    written = {row[0]: sorted(code(row[1])) for table in tables(ROOT / "README.md") for row in table[1:]}
    assert written == {
        "methods": sorted(METHODS),
        "pseudo-labels, on top of any method": sorted(CONFIDENCES),
        "networks": sorted(NETWORKS),
        "data": sorted(DATASETS),
        "protocols": sorted(PROTOCOLS),
        "detection": sorted([*DETECTORS, *DETECTION_METHODS]),
        "commands": sorted(group.commands),
    }
