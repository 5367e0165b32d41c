"""The verb ``label`` in a recipe of detection: boxes of a detector, and a later training on them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from small_detection import NETWORK, TRAINING, method
from torchvision.ops import box_iou

from acclimate.cli.data import label_command
from acclimate.detection import labelling
from acclimate.detection.checkpoint import load_detector
from acclimate.detection.labelling import write_pseudo_labels
from acclimate.detection.methods import DetectionMethod
from acclimate.detection.pseudo_labelled import PseudoLabelledBoxes
from acclimate.detection.registry import open_boxes
from acclimate.detection.sample import Boxes, DetectionBatch
from acclimate.errors import UserError
from acclimate.evaluation.scores import read_results
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.models.weights import read_tensors
from acclimate.pipeline.recipe_run import RecipeRun, opened
from acclimate.pipeline.run import Run, run
from acclimate.pipeline.store import Store
from acclimate.planning.plan import plan_of
from acclimate.pseudo.boxes import BoxSelection
from acclimate.recipe.load import LabelBoxesStage, Recipe, load_recipe
from acclimate.report.pseudo_labels import pseudo_label_tables
from acclimate.training.team import ALONE

TARGET = "scenes:fog,images=4,size=64x64"
SELECTION = {"threshold": 0.6, "by_class": {"bicycle": 0.45}, "crowd_from": 0.4}
STAGES: dict[str, Any] = {
    "source-only": {"train": "source_only"},
    "boxes": {"label": "source-only", "selection": SELECTION},
    "self-trained": {"train": "source_only", "pseudo_labels": "boxes", "start": "source-only"},
    "scores": {"evaluate": ["source-only", "self-trained"], "pictures": 0},
}
RECIPE: dict[str, Any] = {
    "name": "box-labels",
    "task": "detection",
    "source": "scenes:camera,images=4,size=64x64",
    "target": TARGET,
    "network": NETWORK,
    "training": TRAINING,
    "stages": STAGES,
}


def write(folder: Path, **changes: Any) -> str:
    path = folder / "boxes.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes}, sort_keys=False))
    return str(path)


def stages(**changes: Any) -> dict[str, Any]:
    """The recipe's stages with changed keys."""
    return {name: {**stage, **changes.get(name.replace("-", "_"), {})} for name, stage in STAGES.items()}


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxes")
    run(load_recipe(write(folder))[0], Run(output=folder / "run"))
    return folder / "run"


def test_a_recipe_labels_and_trains_on_what_it_labelled(whole_run: Path, tmp_path: Path) -> None:
    assert [row.name for row in read_results(whole_run / "results.json").rows] == ["source-only", "self-trained"]
    written = json.loads((whole_run / "2-boxes/annotations/train.json").read_text())
    sure = [each for each in written["annotations"] if not each["iscrowd"]]
    assert sure, "there are boxes to train on"
    assert len(sure) < len(written["annotations"]), "and crowds"
    done = read_verified_json(whole_run / "2-boxes/done.json")
    assert sum(done["boxes"].values()) == len(sure)
    assert list(done["boxes"]) == [each["name"] for each in written["categories"]]
    assert done["train_seconds"] >= 0
    assert done["peak_memory_mb"] > 0
    manifest = read_verified_json(whole_run / "2-boxes/manifest.json")
    assert manifest["thresholds"] == [0.6, 0.6, 0.6, 0.45]
    assert manifest["boxes"] == list(done["boxes"].values())
    history = (whole_run / "3-self-trained/history.csv").read_text().splitlines()
    assert {"classification", "pseudo-labels", "pseudo-boxes"} <= set(history[0].split(","))
    table = pseudo_label_tables(manifest)
    assert table.columns == ["thresholds", "boxes"]
    assert [row[0] for row in table.rows] == list(done["boxes"])

    command = {"data": TARGET, "split": "train", "output": tmp_path / "labels"}
    chosen = ["threshold=0.6", "by_class={bicycle: 0.45}", "crowd_from=0.4"]
    label_command(whole_run / "1-source-only/model.safetensors", overrides=chosen, **command)  # type: ignore[arg-type]
    stage = (whole_run / "2-boxes/annotations/train.json").read_bytes()
    assert (tmp_path / "labels/annotations/train.json").read_bytes() == stage


def test_what_is_trained_on_are_the_detectors_boxes_at_native_size(whole_run: Path) -> None:
    images = open_boxes(TARGET)
    labelled = PseudoLabelledBoxes(images, whole_run / "2-boxes")
    assert labelled.has_labels
    assert list(labelled.names) == list(images.names)
    content = json.loads((whole_run / "2-boxes/annotations/train.json").read_text())
    for index, entry in enumerate(content["images"]):
        assert entry["file_name"] == f"{images.names[index]}.png"
        theirs = [each for each in content["annotations"] if each["image_id"] == entry["id"]]
        boxes = labelled.boxes(index)
        assert boxes.difficult.tolist() == [each["iscrowd"] == 1 for each in theirs]
        assert boxes.classes.tolist() == [each["category_id"] - 1 for each in theirs]
        sizes = (boxes.corners[:, 2:] - boxes.corners[:, :2]).tolist()
        for box, corner, size in zip(theirs, boxes.corners[:, :2].tolist(), sizes, strict=True):
            assert corner + size == pytest.approx(box["bbox"], abs=1e-4)
    assert (labelled.image(1) == images.image(1)).all()


def test_damaged_boxes_or_those_of_other_images_are_not_trained_on(whole_run: Path, tmp_path: Path) -> None:
    images = open_boxes(TARGET)
    folder = tmp_path / "boxes"
    shutil.copytree(whole_run / "2-boxes", folder, symlinks=False)
    with pytest.raises(UserError, match="other images"):
        PseudoLabelledBoxes(open_boxes("scenes:fog,images=3,size=64x64"), folder)
    manifest = read_verified_json(folder / "manifest.json")
    write_verified_json(folder / "manifest.json", {**manifest, "classes": ["car"]})
    with pytest.raises(UserError, match="boxes of car"):
        PseudoLabelledBoxes(images, folder)
    write_verified_json(folder / "manifest.json", manifest)
    path = folder / "annotations/train.json"
    path.write_text(path.read_text().replace("0", "1", 1))
    with pytest.raises(UserError, match="damaged or changed"):
        PseudoLabelledBoxes(images, folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json"):
        PseudoLabelledBoxes(images, folder)


def keys(folder: Path, **changes: Any) -> dict[str, str]:
    recipe, _ = load_recipe(write(folder, **changes))
    store = Store(folder / "store")
    return dict(RecipeRun(recipe, opened(recipe), 0, store, None, folder, "").keys())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({"stages": stages(boxes={"selection": {**SELECTION, "threshold": 0.5}})}, {"source-only"}),
        ({"stages": stages(boxes={"selection": {**SELECTION, "by_class": {}}})}, {"source-only"}),
        ({"stages": stages(boxes={"selection": {**SELECTION, "crowd_from": None}})}, {"source-only"}),
        ({"input_size": [96, 96]}, {"source-only"}),
        ({"target": "scenes:fog,images=5,size=64x64"}, {"source-only"}),
        ({"stages": stages(self_trained={"pseudo_labels": None})}, {"source-only", "boxes"}),
        ({"stages": stages(self_trained={"options": {"pseudo_label_weight": 0.5}})}, {"source-only", "boxes"}),
    ],
)
def test_what_changes_the_labels_changes_the_keys(tmp_path: Path, changes: dict[str, Any], stays: set[str]) -> None:
    plain, changed = keys(tmp_path), keys(tmp_path, **changes)
    kept = {name for name in ("source-only", "boxes", "self-trained") if plain[name] == changed[name]}
    assert kept == stays


def test_a_plan_knows_the_stage_and_finds_it_done(whole_run: Path, tmp_path: Path) -> None:
    recipe, _ = load_recipe(write(tmp_path))
    lines = {stage.name: stage for stage in plan_of(recipe, seeds=[0]).stages}
    assert (lines["boxes"].what, lines["boxes"].count, lines["boxes"].unit) == ("label", 4, "images")
    assert lines["self-trained"].seconds is not None
    again = plan_of(recipe, seeds=[0], store=whole_run.parent / ".stages")
    done = {stage.name: stage.finished for stage in again.stages}
    assert (done["boxes"], done["self-trained"]) == (1, 1)


def test_a_recipe_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    recipe, _ = load_recipe(write(tmp_path))
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    again = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    (tmp_path / "again.yaml").write_text(again)
    assert load_recipe(str(tmp_path / "again.yaml"))[0] == recipe


def test_rounds_alternate_labels_and_trainings(tmp_path: Path) -> None:
    rounds = {"rounds": 2, "start": "base", "label": {"selection": SELECTION}, "train": {"train": "source_only"}}
    recipe, _ = load_recipe(write(tmp_path, stages={"base": {"train": "source_only"}, "st": rounds}))
    assert list(recipe.stages) == ["base", "st-labels-1", "st-1", "st-labels-2", "st-2"]
    second = recipe.stages["st-labels-2"]
    assert isinstance(second, LabelBoxesStage)
    assert second.label == "st-1"
    with pytest.raises(UserError, match="portion"):
        load_recipe(
            write(tmp_path, stages={"base": {"train": "source_only"}, "st": {**rounds, "portion": {"first": 0.2}}})
        )


class Killed(BaseException):
    """As if the process were gone."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ends the program in place of writing a file of that name."""
    names: list[str] = []

    def stopping(write: Any) -> Any:
        def instead(path: Path, content: Any) -> None:
            if path.name in names:
                raise Killed
            write(path, content)

        return instead

    monkeypatch.setattr(labelling, "write_json", stopping(labelling.write_json))
    monkeypatch.setattr(labelling, "write_verified_json", stopping(labelling.write_verified_json))
    return names


@pytest.mark.parametrize("name", ["train.json", "manifest.json"])
def test_killed_while_it_labels_a_run_goes_on(
    name: str,
    whole_run: Path,
    tmp_path: Path,
    killed_at: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe, _ = load_recipe(write(tmp_path))
    killed_at.append(name)
    with pytest.raises(Killed):
        run(recipe, Run(output=tmp_path / "run"))
    killed_at.clear()
    run(recipe, Run(output=tmp_path / "run"))
    assert capsys.readouterr().err.count("already done, reused") == 1
    for file in ("2-boxes/annotations/train.json", "2-boxes/manifest.json"):
        assert (tmp_path / "run" / file).read_bytes() == (whole_run / file).read_bytes()
    trained = [read_tensors(place / "3-self-trained/model.safetensors") for place in (tmp_path / "run", whole_run)]
    assert all(torch.equal(value, trained[1][key]) for key, value in trained[0].items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"boxes": {"inference": {"flip": True}}}, "remove inference"),
        ({"boxes": {"spatial_prior": True, "split": {}}}, "spatial_prior and split"),
        ({"boxes": {"scores_on_disk": 1.0}}, "scores_on_disk"),
        ({"boxes": {"batch_size": 2}}, "batch_size"),
        ({"boxes": {"label": ["source-only"]}}, "one detector"),
        ({"boxes": {"label": "source-olny"}}, "source-only"),
        ({"boxes": {"selection": {"confidence": "softmax"}}}, "confidence"),
        ({"boxes": {"selection": {"threshold": 1.5}}}, "selection.threshold"),
        ({"self_trained": {"train": "mean_teacher"}}, "labels of its own"),
        ({"self_trained": {"train": "oracle"}}, "target's own labels"),
        ({"self_trained": {"pseudo_labels": None, "easy_to_hard": "boxes"}}, "easy"),
        ({"self_trained": {"pseudo_labels": "source-only"}}, "label stage is needed"),
        ({"self_trained": {"training": {"source_portion": 0.5}}}, "source_portion"),
    ],
)
def test_mistakes_are_told_before_anything_runs(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(write(tmp_path, stages=stages(**changes)))
    assert words in str(caught.value)


def test_a_class_that_nobody_knows_is_told_before_training(tmp_path: Path) -> None:
    recipe, _ = load_recipe(write(tmp_path, stages=stages(boxes={"selection": {"by_class": {"bicycel": 0.5}}})))
    with pytest.raises(UserError, match="bicycle"):
        run(recipe, Run(output=tmp_path / "run"))
    assert not (tmp_path / "run/1-source-only").exists()


def test_a_detector_of_other_classes_labels_nothing(detector: Path, tmp_path: Path) -> None:
    data = open_boxes(TARGET)
    space = data.class_space
    turned = type(space)(name=space.name, classes=space.classes[::-1], colours=space.colours[::-1])
    with pytest.raises(UserError, match="was trained on person"):
        write_pseudo_labels(
            detector,
            data,
            selection=BoxSelection(),
            class_space=turned,
            size=None,
            folder=tmp_path,
            device="cpu",
            title="label",
            team=ALONE,
        )
    assert load_detector(detector)[1].classes == space.classes
    assert not list(tmp_path.iterdir())


# --- what a step descends ---------------------------------------------------------------------------------------------


def batch(number: int, boxes: list[Boxes] | None) -> DetectionBatch:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(number))
    return DetectionBatch(images, boxes, ["a", "b"])


SURE = [Boxes.of([[8, 8, 40, 56]], [1]), Boxes.of([[20, 4, 60, 30]], [2])]
CROWDS = [Boxes.of([[30, 30, 62, 62]], [0], [True]), Boxes.of([], [])]
SOURCE = batch(1, [Boxes.of([[4, 4, 30, 30]], [0]), Boxes.of([[2, 20, 50, 60]], [1])])
LABELLED = batch(2, [sure.joined(crowd) for sure, crowd in zip(SURE, CROWDS, strict=True)])


def total(made: DetectionMethod, target: DetectionBatch) -> torch.Tensor:
    terms = [term for part in made.losses(SOURCE, target, 0) for term in part.values() if term.role != "discriminator"]
    return torch.stack([term.value * term.weight for term in terms]).sum()


@pytest.mark.parametrize("name", ["source_only", "adabn", "minent", "advent"])
def test_a_step_descends_the_sum_of_both_domains_losses(name: str) -> None:
    made = method(name, pseudo_label_weight=0.5, pseudo_localisation_weight=0.25)
    ours = made.network.loss(made.network(LABELLED.images), SURE, spared=CROWDS)
    plain = total(made, batch(2, None))
    expected = plain + 0.5 * ours["classification"] + 0.25 * ours["localisation"]
    torch.testing.assert_close(total(made, LABELLED), expected)
    assert ours["classification"] > 0
    assert ours["localisation"] > 0


def test_crowds_are_neither_object_nor_background() -> None:
    made = method("source_only")
    output = made.network(LABELLED.images)
    on_crowd = box_iou(CROWDS[0].corners, output.priors)[0] >= 0.5
    on_crowd &= box_iou(SURE[0].corners, output.priors)[0] < 0.5
    logits = output.logits.detach().clone()
    logits[0, on_crowd, 1] += 20.0  # what is surest of an object is the first to be learned as background

    def gradient(boxes: list[Boxes]) -> torch.Tensor:
        taken = logits.clone().requires_grad_()
        losses = made.pseudo_labels(output._replace(logits=taken), batch(2, boxes))
        losses["pseudo-labels"].value.backward()  # type: ignore[no-untyped-call]
        assert taken.grad is not None
        return taken.grad[0, on_crowd].abs().sum(dim=-1)

    assert LABELLED.boxes is not None
    assert bool((gradient(LABELLED.boxes) == 0).all())
    assert bool((gradient(SURE) > 0).any())
