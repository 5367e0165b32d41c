from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from acclimate.errors import UserError
from acclimate.evaluation.confusion import ConfusionMatrix
from acclimate.evaluation.protocols import Protocol
from acclimate.evaluation.scores import (
    Row,
    find_role,
    read_results,
    read_scores,
    score_row,
    share_of_gap_closed,
    spread,
    summarise,
    write_results,
    write_scores,
)


def row(name: str = "advent", seed: int = 0, miou: float = 0.4, **other: object) -> Row:
    content: dict[str, object] = {
        "name": name, "stage": "2-x", "method": name, "seed": seed, "data": "camvid", "split": "val", "images": 101,
        "protocol": "camvid-11", "miou": miou, "classes_averaged": 1, "iou": {"road": miou, "boat": None},
    }  # fmt: skip
    return Row.model_validate(content | other)


def test_a_row_from_a_confusion_matrix() -> None:
    matrix = ConfusionMatrix(("road", "car", "sky"))
    matrix.add(np.array([0, 0, 1, 255], dtype=np.uint8), np.array([0, 1, 1, 1], dtype=np.uint8))
    result = score_row(
        matrix, name="advent", stage="2-advent", method="advent", seed=3, data="camvid", split="val", images=1,
        protocol=Protocol("p", "s", subsets={"ground": ("road",), "air": ("sky",)}), train_seconds=2.5,
    )  # fmt: skip
    assert result.iou == {"road": 0.5, "car": 0.5, "sky": None}
    assert (result.miou, result.classes_averaged) == (0.5, 2)
    assert result.subsets == {"ground": 0.5, "air": None}
    counted = score_row(
        matrix, name="a", stage="s", method="m", seed=0, data="d", split="v", images=1,
        protocol=Protocol("p", "s", absent="zero"),
    )  # fmt: skip
    assert counted.miou == pytest.approx(1 / 3)
    assert counted.classes_averaged == 3


def test_a_split_without_a_scored_pixel_is_the_users_fault() -> None:
    with pytest.raises(UserError, match="none of its 7 labels"):
        score_row(
            ConfusionMatrix(("road",)), name="a", stage="s", method="m", seed=0, data="camvid", split="val", images=7,
            protocol=Protocol("p", "s", absent="zero"),
        )  # fmt: skip


def test_results_survive_the_disk(tmp_path: Path) -> None:
    rows = [row(), row(seed=1, train_seconds=3.0, checkpoint="x.safetensors", kept_share=0.5)]
    path = tmp_path / "results.json"
    write_results(path, rows, environment={"python": "3.12", "nested": {"cores": 2}})
    back = read_results(path)
    assert back.rows == rows
    assert back.environment == {"python": "3.12", "nested": {"cores": 2}}
    content = json.loads(path.read_text())
    assert content["schema"] == 1
    assert content["rows"][0]["iou"] == {"road": 0.4, "boat": None}
    assert content["rows"][1]["kept_share"] == 0.5
    write_scores(tmp_path / "scores.json", rows)
    assert read_scores(tmp_path / "scores.json") == rows


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("miou", 41.2, "rows.0.miou"), ("iou", {"road": 91.0}, "road"), ("seed", "first", "rows.0.seed")],
)
def test_a_broken_file_is_named_with_the_key(tmp_path: Path, key: str, value: object, message: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"schema": 1, "rows": [row().model_dump() | {key: value}]}))
    with pytest.raises(UserError, match=r"results\.json") as caught:
        read_results(path)
    assert message in str(caught.value)


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"schema": 2, "rows": []}')
    with pytest.raises(UserError, match="schema"):
        read_results(path)


def test_mean_and_sample_deviation_by_hand() -> None:
    result = spread([0.40, 0.44, None, 0.42])
    assert result is not None
    assert result.mean == pytest.approx(0.42)
    # squares of the distances: 4, 4, 0 (times 1e-4), divided by n - 1 = 2
    assert result.deviation == pytest.approx(math.sqrt(8e-4 / 2))
    assert result.count == 3
    assert spread([None]) is None
    single = spread([0.4])
    assert single is not None
    assert single.deviation is None


def test_the_share_of_the_gap_that_the_advent_paper_closed() -> None:
    # table 2, GTA5 with ResNet-101: 43.8 against an oracle of 65.1
    assert share_of_gap_closed(0.438, source_only=0.366, oracle=0.651) == pytest.approx(0.072 / 0.285)
    assert share_of_gap_closed(0.438, source_only=0.366, oracle=0.366) is None


def test_rows_are_grouped_by_name_over_seeds() -> None:
    summaries = summarise([row("a", 0, 0.1), row("b", 0, 0.5), row("a", 1, 0.3)])
    assert [(s.name, len(s.rows)) for s in summaries] == [("a", 2), ("b", 1)]
    assert summaries[0].miou.mean == pytest.approx(0.2)
    assert summaries[0].miou.deviation == pytest.approx(math.sqrt(0.02))
    assert summaries[0].iou("boat") is None
    with pytest.raises(ValueError, match="seed 0"):
        summarise([row("a"), row("a")])
    with pytest.raises(ValueError, match="several sets"):
        summarise([row("a"), row("b", data="scenes")])


def test_a_difference_is_paired_by_seed() -> None:
    base, better, other = summarise(
        [row("base", 0, 0.2), row("base", 1, 0.4), row("better", 1, 0.5), row("better", 0, 0.3), row("other", 7, 0.6)]
    )
    paired = better.difference(base)
    assert paired is not None
    assert paired.mean == pytest.approx(0.1)
    assert paired.deviation == pytest.approx(0.0)  # each seed gained exactly 0.1
    unpaired = other.difference(base)
    assert unpaired is not None
    assert (unpaired.mean, unpaired.deviation) == (pytest.approx(0.3), None)
    assert better.difference(base, "boat") is None


def test_a_difference_and_a_share_are_of_the_seeds_that_all_have() -> None:
    base, better, oracle = summarise(
        [row("base", 0, 0.1), row("base", 1, 0.3), row("better", 1, 0.5), row("oracle", 0, 0.9), row("oracle", 1, 0.7)]
    )
    difference = better.difference(base)
    assert difference is not None
    assert (difference.mean, difference.deviation, difference.count) == (pytest.approx(0.2), None, 1)
    assert better.gap_closed(base, oracle) == pytest.approx(0.5)  # from 0.3 to 0.7, without seed 0
    apart = summarise([row("apart", 7, 0.5)])[0]
    assert apart.gap_closed(base, oracle) == pytest.approx(0.5)  # from the means 0.2 to 0.8
    assert better.gap_closed(oracle, base) is None


def test_roles_are_found_by_name_then_by_method() -> None:
    summaries = summarise([row("adabn", method="source-only"), row("source-only"), row("upper", method="oracle")])
    assert find_role(summaries, "source-only") is summaries[1]
    assert find_role(summaries, "oracle") is summaries[2]
    assert find_role(summaries[:1], "oracle") is None
