"""`acclimate adapt` from two plain folders to a model, and the plan of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from acclimate.cli.adapt import adapt_command
from acclimate.cli.demo_data import demo_data_command
from acclimate.cli.init import init_command
from acclimate.cli.models import evaluate_command
from acclimate.cli.runs import run_command
from acclimate.data.registry import open_dataset
from acclimate.errors import UserError
from acclimate.evaluation.model import load
from acclimate.io.files import read_json
from acclimate.pipeline.recipe_run import opened
from acclimate.pipeline.run import Run, run
from acclimate.planning import adapt
from acclimate.planning.defaults import RANDOM
from acclimate.planning.measuring import Costs, StepCost, measured
from acclimate.planning.plan import duration, plan_of
from acclimate.recipe.load import load_recipe

SHORT = ["stages.base.training.steps=3", "training.steps=2", "network.width=16", "training.batch_size=1", "examine=2"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    demo_data_command(folder, images=6, size="64x32")
    return folder


def test_two_plain_folders_give_a_model_a_recipe_and_the_control(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"

    def again() -> str:
        adapt_command(str(folders / "renders"), str(folders / "footage"), output, weights="none", overrides=SHORT)
        return capsys.readouterr().err

    told = again()
    for words in ("6 labelled images, 64x32", "no labels to score on", "CPU core", "network: small", "3 on the source"):
        assert words in told
    model = load(output)
    assert model.path == output / "3-adapted" / "model.safetensors"
    assert (output / "2-source-only" / "model.safetensors").is_file()
    assert model.space.classes[0] == "road"  # from classes.txt
    assert read_json(output / "results.json")["rows"] == []
    assert "planned before" in again()
    assert "already done" in capsys.readouterr().err + again()
    # what docs/adapt.md measures with labels that were set aside
    init_command([folders / "scored"])
    evaluate_command([output], f"folder:{folders}/scored", split="train", json=tmp_path / "scores.json")
    assert read_json(tmp_path / "scores.json")["rows"][0]["images"] == 1
    # the recipe can be changed and run, and is the user's from then on
    path = output / adapt.RECIPE
    recipe = yaml.safe_load(path.read_text())
    assert list(recipe["stages"]) == ["base", "source-only", "adapted"]
    assert recipe["source"] == f"folder:{output}-source.yaml"
    path.write_text(path.read_text().replace("steps: 2", "steps: 1"))
    with pytest.raises(UserError, match="was changed since it was drafted"):
        again()
    run_command(str(path), output=output)
    assert load_recipe(str(path))[0].training["steps"] == 1


def test_a_dry_run_prints_a_recipe_that_can_be_run_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    look = "images=4,size=64x32"
    adapt_command(
        f"scenes:render,{look}", f"scenes:fog,{look}", Path("run"), weights="none", overrides=SHORT, dry_run=True
    )
    assert list(tmp_path.iterdir()) == []
    text = capsys.readouterr().out
    (tmp_path / "mine.yaml").write_text(text)
    recipe, _ = load_recipe("mine.yaml")
    assert [getattr(stage, "train", "") for stage in recipe.stages.values()] == [
        "source_only",
        "source_only",
        "dacs",
        "",
    ]
    for line in ("# base ", "# adapted ", "# in all about", "# peak memory about"):
        assert line in text


def test_names_are_for_folders_nobody_described(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--classes names 2 classes, but the labels hold"):
        adapt_command(str(folders / "renders"), str(folders / "footage"), tmp_path / "run", classes="a,b")
    with pytest.raises(UserError, match="--classes with names"):
        adapt_command("scenes:render", "scenes:fog", tmp_path / "run", classes="a,b")
    with pytest.raises(UserError, match="did you mean it as --target"):
        adapt_command(str(folders / "footage"), "scenes:fog", tmp_path / "run", weights="none")


# --- the time given ----------------------------------------------------------------------------------------------


def fixed_costs(monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> None:
    """Every step at the usual size takes so long, at others in proportion to their area; nothing else takes time."""
    usual = RANDOM.areas[RANDOM.usual]

    def measured(recipe: object, data: object) -> Costs:
        width, height = recipe.training["target_transform"]["size"]  # type: ignore[attr-defined]
        cost = StepCost(seconds * width * height / usual, 0.0, 100.0, 10, 10)
        return Costs(dict.fromkeys(["base", "source-only", "adapted"], cost), {"source": 0.0, "target": 0.0})

    monkeypatch.setattr(adapt, "measured", measured)
    monkeypatch.setattr(adapt.time, "monotonic", lambda: 0.0)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled picture and one without labels, 512x256."""
    folder = tmp_path_factory.mktemp("large")
    for name in ("a", "b"):
        (folder / name / "images").mkdir(parents=True)
        (folder / name / "labels").mkdir()
        Image.new("RGB", (512, 256), (90, 120, 150)).save(folder / name / "images" / "0.jpg")
        Image.linear_gradient("L").resize((512, 256)).point(lambda value: value // 128).save(
            folder / name / "labels" / "0.png"
        )
    (folder / "a" / "dataset.yaml").write_text("{images: images, labels: labels, classes: [x, y]}")
    (folder / "b" / "dataset.yaml").write_text("{images: images}")
    return folder


def choice_for(hours: float, folder: Path) -> tuple[int, int, list[int]]:
    wanted = adapt.Wanted(str(folder / "a"), str(folder / "b"), hours=hours, weights="none")
    recipe = adapt.drafted(wanted, descriptions=Path("unused"), say=lambda line: None).recipe
    base = recipe.training_settings(recipe.stages["base"]).steps  # type: ignore[arg-type]
    settings = recipe.training_settings(recipe.stages["adapted"])  # type: ignore[arg-type]
    assert settings.target_transform.size is not None
    return base, settings.steps, list(settings.target_transform.size)


def test_steps_and_size_fit_into_the_hours(monkeypatch: pytest.MonkeyPatch, large: Path) -> None:
    fixed_costs(monkeypatch, seconds=1.0)
    usual = RANDOM.base_steps + 2 * RANDOM.steps
    hours = usual / 3600 / adapt.MARGIN
    assert choice_for(hours, large) == (RANDOM.base_steps, RANDOM.steps, [256, 128])
    assert choice_for(0.6 * hours, large) == (round(0.6 * RANDOM.base_steps), round(0.6 * RANDOM.steps), [256, 128])
    # a quarter of the time: smaller pictures, whose steps are faster by their area
    factor = 0.25 * (256 * 128) / (160 * 80)
    assert choice_for(0.25 * hours, large) == (
        round(factor * RANDOM.base_steps),
        round(factor * RANDOM.steps),
        [160, 80],
    )
    # four times the time: larger pictures, and nearly twice the steps
    factor = 4 * (256 * 128) / (384 * 192)
    assert choice_for(4 * hours, large) == (round(factor * RANDOM.base_steps), round(factor * RANDOM.steps), [384, 192])
    # far more than is of use: three times the steps
    assert choice_for(100 * hours, large)[:2] == (3 * RANDOM.base_steps, 3 * RANDOM.steps)


def test_too_little_time_is_said_with_what_is_needed(monkeypatch: pytest.MonkeyPatch, large: Path) -> None:
    fixed_costs(monkeypatch, seconds=10.0)
    with pytest.raises(UserError, match=r"--hours 0.01 is too short: .* about --hours 1.\d* is the least"):
        choice_for(0.01, large)


# --- the plan of any recipe --------------------------------------------------------------------------------------


def test_a_plan_knows_what_is_done_already(tmp_path: Path) -> None:
    look = "images=2,size=64x32"
    stages: dict[str, object] = {"a": {"train": "source_only"}, "b": {"train": "minent", "start": "a"}}
    changes = {
        "source": f"scenes:render,{look}",
        "target": f"scenes:camera,{look}",
        "training.steps": 1,
        "training.batch_size": 1,
        "network.width": 16,
        "examine": 0,
    }
    short, origins = load_recipe("demo", overrides={**changes, "stages": stages})
    run(short, Run(tmp_path / "run", store=tmp_path / "store"), origins=origins)
    longer, _ = load_recipe(
        "demo",
        overrides={**changes, "stages": {**stages, "labels": {"label": "b"}, "scores": {"evaluate": ["a", "b"]}}},
    )
    plan = plan_of(longer, seeds=[0, 1], store=tmp_path / "store")
    assert [(stage.name, stage.finished) for stage in plan.stages] == [
        ("(images)", 0),
        ("a", 1),
        ("b", 1),
        ("labels", 0),
        ("scores", 0),
    ]
    assert not plan.unknown
    assert all(stage.seconds is not None and stage.seconds > 0 for stage in plan.stages)
    assert min(plan.peak_memory_mb, plan.disk_bytes) > 0
    done = plan_of(longer, seeds=[0], store=tmp_path / "store")
    assert [stage.seconds for stage in done.stages[1:3]] == [0.0, 0.0]
    assert done.lines()[2].endswith("done")


@pytest.mark.parametrize("labelled", [True, False])
def test_trainings_on_pseudo_labels_are_measured_before_there_are_any(tmp_path: Path, labelled: bool) -> None:
    target = "scenes:camera,images=4,size=64x32"
    if not labelled:
        drawn = open_dataset(target)
        (tmp_path / "frames").mkdir()
        for number in range(len(drawn)):
            Image.fromarray(drawn.image(number)).save(tmp_path / "frames" / f"{number}.png")
        (tmp_path / "dataset.yaml").write_text("images: frames\n")
        target = f"folder:{tmp_path / 'dataset.yaml'}"
    chosen = {"confidence": "softmax", "rule": "portion", "portion": 0.2, "decision": "class-balanced"}
    learned = {"start": "plain", "pseudo_labels": "labels"}
    recipe, _ = load_recipe(
        "demo",
        overrides={
            "source": "scenes:render,images=4,size=64x32",
            "target": target,
            "training.batch_size": 1,
            "network.width": 16,
            "stages": {
                "plain": {"train": "source_only"},
                "labels": {"label": "plain", "selection": chosen},
                "hard": {"train": "source_only", **learned},
                "soft": {"train": "crst", "options": {"regulariser": "none", "softness": 0.25}, **learned},
                "image-level": {"train": "pwl", **learned},
            },
        },
    )
    plan = plan_of(recipe, seeds=[0], store=tmp_path / "store")
    assert not plan.unknown
    assert all(stage.seconds is not None and stage.seconds > 0 for stage in plan.stages)
    assert min(measured(recipe, opened(recipe)).reading.values()) > 0


def test_without_data_the_plan_tells_why_there_are_no_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    run_command("carla-camvid", dry_run=True)
    printed = capsys.readouterr().out
    assert "# base" in printed
    assert "minutes, memory and disk are not known: recipe carla-camvid needs a source data set" in printed
    assert yaml.safe_load(printed)["name"] == "carla-camvid"


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_several_processes_do_not_each_choose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["acclimate"])
    with pytest.raises(UserError, match="each choose for themselves"):
        adapt_command("scenes:render", "scenes:fog", tmp_path / "run", weights="none")
