"""What makes a stage the same stage: kept for every shipped recipe, and deaf to what changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from acclimate.evaluation.inference import Inference
from acclimate.evaluation.protocols import PROTOCOLS
from acclimate.io.identity import file_named, identity, speed_only
from acclimate.methods import METHODS
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.models.registry import NETWORKS
from acclimate.pipeline.recipe_run import RecipeRun
from acclimate.pipeline.store import Store
from acclimate.recipe.load import load_recipe, recipe_names
from acclimate.stages.stage import RunData
from acclimate.tasks import TASKS, task_named
from acclimate.training.schedule import Schedule
from acclimate.training.settings import TrainingSettings
from acclimate.translation.settings import CycleGanOptions, TranslationTraining, Writing

KEYS = Path(__file__).parent / "keys_of_shipped_recipes.json"
"""Written anew with ACCLIMATE_RENEW_KEYS=1: every key that changes is a stage that users train again."""


class Named:
    """A data set that is known by its fingerprint alone."""

    has_labels = True
    split = "train"

    def __init__(self, name: str) -> None:
        self.spec = name

    def fingerprint(self) -> str:
        return self.spec


def keys_of(name: str, monkeypatch: pytest.MonkeyPatch, **overrides: Any) -> dict[str, str]:
    monkeypatch.setattr("acclimate.stages.train.resolved_precision", lambda precision, network: "32-true")
    recipe, _ = load_recipe(name, overrides=overrides)
    protocol: Any = PROTOCOLS["scenes"]
    if recipe.task == "detection":
        from acclimate.detection.protocols import detection_protocol

        protocol = detection_protocol(recipe.protocol)
    elif recipe.protocol is not None:
        protocol = PROTOCOLS[recipe.protocol].asking(recipe.inference, size=recipe.prediction_size())
    data = RunData(None, protocol, Named("source"), Named("target"), Named("evaluation"))  # type: ignore[arg-type]
    run = RecipeRun(recipe, data, 0, Store(Path("store")), None, Path("run"), "")  # type: ignore[arg-type]
    return dict(run.keys())


def test_the_keys_of_all_shipped_recipes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: keys_of(name, monkeypatch) for name in recipe_names()}
    if os.environ.get("ACCLIMATE_RENEW_KEYS"):
        KEYS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert found == json.loads(KEYS.read_text(encoding="utf-8"))


def test_what_only_concerns_speed_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = keys_of("demo", monkeypatch)
    quick = {"training.workers": 3, "training.cache": False, "training.checkpoint_minutes": 9, "training.log_every": 7}
    assert keys_of("demo", monkeypatch, **quick) == plain


def test_what_changes_a_result_changes_its_key_and_those_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = keys_of("scenes-esl", monkeypatch)
    changed = keys_of("scenes-esl", monkeypatch, **{"training.optimizer.learning_rate": 0.011})
    assert not set(plain.values()) & set(changed.values())


SETTINGS: list[type[BaseModel]] = [
    TrainingSettings,
    OptimizerSettings,
    Schedule,
    Inference,
    CycleGanOptions,
    TranslationTraining,
    Writing,
    *(task.training for task in TASKS.values()),
    *(method.Options for method in METHODS.values()),
    *(method.Options for method in task_named("detection").methods.values()),
    *(network.Options for network in NETWORKS.values()),
]


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_a_new_field_with_a_default_changes_no_identity(kind: type[BaseModel]) -> None:
    required = {"steps": 5} if "steps" in kind.model_fields else {}
    grown = create_model(f"Grown{kind.__name__}", __base__=kind, a_new_field=(int, 3))
    assert identity(grown(**required)) == identity(kind(**required))
    assert identity(grown(**required, a_new_field=4)) == {**identity(kind(**required)), "a_new_field": 4}


def test_nested_values_and_files_by_hand(tmp_path: Path) -> None:
    class Inner(BaseModel):
        rate: float = 0.5
        hidden: int = speed_only(1)

    class Outer(BaseModel):
        inner: Inner = Inner()
        weights: str | None = file_named(None)
        names: tuple[str, ...] = ()

    assert identity(Outer()) == {}
    assert identity(Outer(inner=Inner(hidden=9))) == {}
    assert identity(Outer(inner=Inner(rate=1.0), names=("a", "b"))) == {"inner": {"rate": 1.0}, "names": ["a", "b"]}
    first, copy = tmp_path / "first.safetensors", tmp_path / "copy.safetensors"
    first.write_bytes(b"weights")
    copy.write_bytes(b"weights")
    assert identity(Outer(weights=str(first))) == identity(Outer(weights=str(copy)))
    assert identity(Outer(weights="imagenet")) == {"weights": "imagenet"}
