"""The report's table of class boundaries, and the parts it enlarges."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.evaluation.boundaries import BoundaryScores, RegionScores, near_boundaries
from acclimate.evaluation.scores import Row
from acclimate.report.boundaries import boundary_table
from acclimate.report.reading import PictureIndex
from acclimate.report.zoom import busiest_window, zooms


def row(name: str, seed: int, accuracy: float | None, entropy: float = 0.5, width: int = 5) -> Row:
    near = RegionScores(pixels=25, accuracy=accuracy, entropy=entropy, miou=0.3)
    inside = RegionScores(pixels=75, accuracy=0.9, entropy=0.1, miou=0.6)
    return Row(
        name=name, stage="", method=name, seed=seed, data="scenes", split="val", images=1, protocol="scenes", miou=0.5,
        classes_averaged=2, iou={"a": 0.5, "b": 0.5},
        boundaries=BoundaryScores(width=width, near=near, inside=inside),
    )  # fmt: skip


def test_means_deviations_and_changes_by_seed() -> None:
    rows = [row("source-only", 0, 0.5), row("source-only", 1, 0.6), row("x", 0, 0.6), row("x", 1, 0.8)]
    table = boundary_table(rows, baseline="source-only")
    assert table is not None
    assert (table.width, table.share) == (5, 0.25)
    base, ours = table.lines
    value, change = ours.values["near", "accuracy"], ours.changes["near", "accuracy"]
    assert value is not None
    assert change is not None
    assert value.mean == pytest.approx(0.7)
    assert change.mean == pytest.approx(0.15)
    assert change.deviation == pytest.approx(0.0707, abs=1e-4)  # of 0.1 and 0.2
    assert ours.changes["inside", "entropy"].mean == 0.0  # type: ignore[union-attr]
    assert base.changes["near", "accuracy"] is None


def test_rows_without_such_scores_or_of_another_width_are_left_out() -> None:
    plain = row("plain", 0, 0.5).model_copy(update={"boundaries": None})
    assert boundary_table([plain], baseline=None) is None
    table = boundary_table([plain, row("a", 0, 0.5), row("b", 0, 0.5, width=3)], baseline="plain")
    assert table is not None
    assert [line.name for line in table.lines] == ["a"]
    assert table.lines[0].changes["near", "accuracy"] is None


def test_the_busiest_window_holds_most_boundary_pixels() -> None:
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 3, size=(8, 10)), np.ones((5, 4))).astype(np.uint8)
    label[:20, :24] = 0
    left, top, right, bottom = busiest_window(label, classes=3, share=0.25)
    near = near_boundaries(label, width=1, classes=3)
    assert (right - left, bottom - top) == (10, 10)
    best = max(near[y : y + 10, x : x + 10].sum() for y in range(31) for x in range(31))
    assert near[top:bottom, left:right].sum() == best


def test_parts_are_cut_from_the_same_place_and_answers_are_compared_there(tmp_path: Path) -> None:
    label = np.zeros((16, 32), dtype=np.uint8)
    label[12:, 24:] = 1
    wrong = np.zeros((16, 32), dtype=np.uint8)
    for name, ids in (("label", label), ("good", label), ("bad", wrong)):
        Image.fromarray(ids).save(tmp_path / f"{name}.png")
    Image.new("RGB", (32, 16), (10, 20, 30)).save(tmp_path / "input.png")
    models = {name: {"prediction": f"{name}.png"} for name in ("bad", "good")}
    shots = [
        {"domain": domain, "name": domain, "input": "input.png", "label": "label.png", "models": models}
        for domain in ("target", "source")
    ]
    index = PictureIndex.model_validate({"classes": ["a", "b"], "colours": [[9, 8, 7], [1, 2, 3]], "images": shots})
    (part,) = zooms([(tmp_path, index, {"good": "good", "bad": "bad"})], ["good", "bad"])
    assert part.name == "target"
    assert [answer[0] for answer in part.answers] == ["good", "bad"]
    left, top, right, bottom = busiest_window(label, classes=2)
    assert part.answers[0][2] == 1.0
    assert part.answers[1][2] == pytest.approx(float((label[top:bottom, left:right] == 0).mean()))
    content = base64.b64decode(part.label.uri.partition(",")[2])
    colours = {colour for _, colour in Image.open(io.BytesIO(content)).convert("RGB").getcolors() or []}
    assert colours == {(9, 8, 7), (1, 2, 3), (255, 255, 255)}
    assert zooms([(tmp_path, index, {"good": "good"})]) == []


def test_a_row_survives_json() -> None:
    ours = row("x", 0, None)
    assert Row.model_validate(json.loads(json.dumps(ours.model_dump(mode="json")))) == ours
