"""Scoring, labelling and predicting with a detector by several processes: what one process gives, bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from acclimate.detection.classes import SCENES_THINGS
from acclimate.detection.evaluate import DetectionEvaluateRequest, evaluate_detections
from acclimate.detection.labelling import label_boxes, write_pseudo_labels
from acclimate.detection.predict import predict_boxes
from acclimate.detection.protocols import detection_protocol
from acclimate.detection.registry import open_boxes
from acclimate.detection.sample import BoxedDataset
from acclimate.evaluation.inputs import inputs_named
from acclimate.pseudo.boxes import BoxSelection
from acclimate.training.team import ALONE, Team
from team_of_threads import in_a_team


@pytest.fixture(scope="module")
def data() -> BoxedDataset:
    return open_boxes("scenes:camera,images=5,size=64x64", split="val")


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("size", [2, 3, 7])  # more than there are images, too
def test_scores_and_pictures_are_those_of_one_process(
    detector: Path, data: BoxedDataset, tmp_path: Path, size: int
) -> None:
    request = DetectionEvaluateRequest(
        "light", "source_only", 0, detector, data, detection_protocol(None), SCENES_THINGS, {"target": data}, 2
    )

    def scored(folder: Path, team: Team) -> Any:
        row = evaluate_detections(request, folder=folder, title="evaluate", team=team)
        return row.model_copy(update={"peak_memory_mb": 0})

    expected = scored(tmp_path / "one", ALONE)
    assert expected.images == 5
    assert expected.curves, "something is found"
    assert in_a_team(size, lambda team: scored(tmp_path / "team", team)) == [expected] * size
    alone, together = files_in(tmp_path / "one"), files_in(tmp_path / "team")
    assert together.keys() == alone.keys()
    for name in alone.keys() - {"scores.json"}:  # which tells the memory
        assert together[name] == alone[name], name


@pytest.mark.parametrize("size", [2, 3])
def test_labels_are_those_of_one_process(detector: Path, data: BoxedDataset, tmp_path: Path, size: int) -> None:
    selection = BoxSelection(threshold=0.25, crowd_from=0.15)

    def labelled(folder: Path, team: Team) -> Any:
        return label_boxes(detector, data, selection=selection, folder=folder, device="cpu", team=team)

    expected = labelled(tmp_path / "one", ALONE)
    assert sum(expected.values()) > size, "each finds something"
    assert in_a_team(size, lambda team: labelled(tmp_path / "team", team)) == [expected] * size
    assert files_in(tmp_path / "team") == files_in(tmp_path / "one")


def test_a_label_stage_leaves_what_one_process_leaves(detector: Path, data: BoxedDataset, tmp_path: Path) -> None:
    def labelled(folder: Path, team: Team) -> Any:
        cost = write_pseudo_labels(
            detector,
            data,
            selection=BoxSelection(threshold=0.25),
            class_space=SCENES_THINGS,
            size=(64, 64),
            folder=folder,
            device="cpu",
            title="label",
            team=team,
        )
        assert (folder / "manifest.json").is_file(), "whoever goes on finds it finished"
        return cost["boxes"]

    expected = labelled(tmp_path / "one", ALONE)
    assert in_a_team(2, lambda team: labelled(tmp_path / "team", team)) == [expected] * 2
    assert files_in(tmp_path / "team") == files_in(tmp_path / "one")


def test_each_picture_is_predicted_by_one_of_them(detector: Path, data: BoxedDataset, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(len(data)):
        Image.fromarray(data.image(index)).save(folder / f"{index}.png")

    def predicted(output: Path, team: Team) -> list[str]:
        inputs = inputs_named([str(folder)], output, claim=team.first)
        team.meet()
        return [path.name for path in predict_boxes(detector, inputs, output=output, device="cpu", team=team)]

    everything = predicted(tmp_path / "one", ALONE)
    shares = in_a_team(2, lambda team: predicted(tmp_path / "team", team))
    assert sorted(shares[0] + shares[1]) == sorted(everything)
    assert files_in(tmp_path / "team") == files_in(tmp_path / "one")
