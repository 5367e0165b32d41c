from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from acclimate.errors import UserError
from acclimate.evaluation.scores import Row, Spread
from acclimate.report.published import Published, published_rows
from acclimate.report.summary import best_adapted, paragraph
from acclimate.report.tables import Comparison, Origin, comparisons, mean_and_deviation, number, percent, signed_points
from acclimate.report.terminal import terminal_tables


def row(name: str, road: float, car: float, *, seed: int = 0, method: str = "", data: str = "camvid") -> Row:
    return Row(
        name=name, stage=f"1-{name}", method=method or name, seed=seed, data=data, split="val", images=101,
        protocol="p", miou=(road + car) / 2, classes_averaged=2, iou={"road": road, "car": car, "boat": None},
        train_seconds=90.0, images_per_second=8.25, peak_memory_mb=1830.4,
    )  # fmt: skip


ROWS = [
    row("source-only", 0.60, 0.20),  # mIoU 40
    row("minent", 0.62, 0.28),  # 45
    row("advent", 0.70, 0.30),  # 50
    row("oracle", 0.90, 0.50),  # 70
]


def one(rows: list[Row], published: list[Published] | None = None) -> Comparison:
    (comparison,) = comparisons(rows, published or [])
    return comparison


def printed(comparison: Comparison, *, width: int = 140) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    for table in terminal_tables(comparison):
        console.print(table)
    return stream.getvalue()


def test_gain_and_gap_by_hand() -> None:
    comparison = one(ROWS)
    lines = {line.name: line for line in comparison.lines}
    assert signed_points(lines["advent"].gain) == "+10.0"
    assert signed_points(lines["advent"].gap) == "-20.0"
    assert signed_points(lines["advent"].iou_gain["car"]) == "+10.0"
    assert lines["source-only"].gain is None
    assert lines["oracle"].gap is None
    assert comparison.absent == ("boat",)
    assert "over 2 classes" in comparison.caption()
    assert "left out: boat" in comparison.caption()


def test_several_seeds_give_mean_and_paired_deviation() -> None:
    rows = [
        row("source-only", 0.5, 0.3, seed=0), row("source-only", 0.7, 0.5, seed=1),
        row("advent", 0.6, 0.4, seed=0), row("advent", 0.8, 0.8, seed=1),
    ]  # fmt: skip
    line = one(rows).lines[1]
    assert line.seed_mious == (0.5, pytest.approx(0.8))
    assert percent(line.miou) == f"65.0 ± {100 * math.sqrt(0.045):.1f}"
    # the seeds gained 10 and 20 points: mean 15, deviation sqrt(50)
    assert signed_points(line.gain) == f"+15.0 ± {math.sqrt(50):.1f}"


def test_published_rows_stand_beside_ours_and_wait_for_those_not_run() -> None:
    printed_rows = [
        Published("advent", 0.438, (0.899, 0.365, None), source="ADVENT, table 1a"),
        Published("esl", 0.459, {"road": 0.9}, source="ESL, table 1"),
        Published("other", 0.3, (0.1,) * 19),
    ]
    comparison = one(ROWS, printed_rows)
    assert [(line.name, line.kind) for line in comparison.lines] == [
        ("source-only", "ours"), ("minent", "ours"), ("advent", "ours"), ("advent", "published"), ("oracle", "ours"),
        ("esl", "not run"), ("esl", "published"),
    ]  # fmt: skip
    published = comparison.lines[3]
    assert percent(published.iou["car"]) == "36.5"
    assert published.iou["boat"] is None
    assert comparison.lines[5].miou is None
    assert comparison.ours[-1].name == "oracle"
    assert "ADVENT, table 1a" in printed(comparison)


def test_published_gains_are_measured_within_the_paper() -> None:
    comparison = one(ROWS, [Published("source-only", 0.366, ()), Published("advent", 0.438, ())])
    assert signed_points(comparison.lines[-2].gain) == "+7.2"


def test_published_numbers_without_any_of_ours() -> None:
    (comparison,) = comparisons([], [Published("esl", 0.459, (0.9, 0.386))], classes=("road", "sidewalk"))
    assert [line.kind for line in comparison.lines] == ["not run", "published"]
    assert percent(comparison.lines[1].iou["sidewalk"]) == "38.6"
    assert comparisons([], []) == []


def test_a_recipes_published_list_is_in_percent() -> None:
    (entry,) = published_rows(
        [{"name": "advent", "miou": 43.8, "iou": [89.9, 0.6, None], "subsets": {"13 classes": 47.6}, "source": "t"}],
        where="recipe.yaml",
    )
    assert entry.miou == pytest.approx(0.438)
    assert entry.iou == (pytest.approx(0.899), pytest.approx(0.006), None)
    assert entry.subsets == {"13 classes": pytest.approx(0.476)}
    with pytest.raises(UserError, match=r"recipe\.yaml.*'advent'.*'high'"):
        published_rows([{"name": "advent", "miou": "high"}], where="recipe.yaml")
    with pytest.raises(UserError, match="must be a list"):
        published_rows({"advent": 43.8}, where="recipe.yaml")


def test_each_evaluated_set_is_compared_on_its_own() -> None:
    both = comparisons([*ROWS, row("advent", 0.1, 0.1, data="scenes")])
    assert [(c.data, len(c.lines)) for c in both] == [("camvid", 4), ("scenes", 1)]


def test_models_of_several_runs_are_measured_against_their_own_ends() -> None:
    rows = [row("a: source-only", 0.4, 0.4), row("a: advent", 0.5, 0.5), row("b: source-only", 0.1, 0.1),
            row("b: advent", 0.3, 0.3), row("b: oracle", 0.9, 0.9, method="oracle")]  # fmt: skip
    origins = {
        name: Origin(name[3:], f"{name[0]}: source-only", f"{name[0]}: oracle") for name in (r.name for r in rows)
    }
    (comparison,) = comparisons(rows, origins=origins)
    lines = {line.name: line for line in comparison.lines}
    assert signed_points(lines["b: advent"].gain) == "+20.0"
    assert signed_points(lines["a: advent"].gain) == "+10.0"
    assert lines["b: source-only"].role == "source-only"
    assert lines["b: oracle"].role == "oracle"


def test_number_formats() -> None:
    assert percent(Spread(0.41249, None, 1)) == "41.2"
    assert percent(None) == ""
    assert signed_points(Spread(-0.0301, 0.004, 3)) == "-3.0 ± 0.4"
    assert signed_points(Spread(-0.00001, None, 1)) == "+0.0"
    assert signed_points(Spread(-0.00001, 0.00126, 3), digits=2) == "+0.00 ± 0.13"
    assert percent(Spread(0.41249, 0.00126, 3), digits=2) == "41.25 ± 0.13"
    assert percent(Spread(-0.00001, None, 1)) == "0.0"
    assert mean_and_deviation(Spread(12.34, 0.5, 3)) == "12.3 ± 0.5"
    assert mean_and_deviation(None) == ""
    assert number(Spread(1830.4, None, 1)) == "1,830"
    assert number(Spread(90.0, None, 1), scale=1 / 60) == "1.5"
    assert number(Spread(0.042, None, 1)) == "0.04"


def test_the_terminal_shows_every_number_and_takes_names_literally() -> None:
    text = printed(one([*ROWS, row("[red]esl[/red]", 0.55, 0.35)]))
    for shown in ("50.0", "+10.0", "-20.0", "1.5", "8.2", "1,830", "[red]esl[/red]", "boat"):
        assert shown in text


def test_a_narrow_terminal_cuts_no_number() -> None:
    rows = [row(f"a-rather-long-name-{k}", 0.5 + 0.01 * s, 0.3, seed=s) for k in range(9) for s in range(3)]
    text = printed(one(rows), width=100)
    assert "…" not in text
    assert text.count("51.0 ± 1.0") == 9


def test_the_paragraph_names_the_best_the_gain_and_the_share_of_the_gap() -> None:
    words = paragraph(one(ROWS))
    # (50 - 40) / (70 - 40) = 33 %
    assert "The best of 2 adapting models, advent, reaches 50.0 % mIoU, 10.0 points above source-only (40.0 %)" in words
    assert "closes 33 % of the gap" in words
    assert "One seed only" in words


def test_the_paragraph_is_honest() -> None:
    worse = paragraph(one([ROWS[0], row("advent", 0.5, 0.2)]))
    assert "did not help" in worse
    assert "5.0 points more" in worse
    seeds = [row("source-only", 0.5, 0.5, seed=k) for k in range(2)]
    noisy = paragraph(one([*seeds, row("advent", 0.7, 0.7, seed=0), row("advent", 0.4, 0.4, seed=1)]))
    assert "smaller than its own deviation" in noisy  # gains of +20 and -10
    assert "nothing to measure its gain against" in paragraph(one([ROWS[2]]))
    assert paragraph(one([ROWS[0]])).startswith("No adapting model was evaluated: source-only reaches 40.0 %")
    control = paragraph(one([*ROWS, row("adabn", 0.7, 0.28)]))
    assert "(adabn) gives 49.0 %; the method itself adds 1.0 points" in control


def test_control_and_oracle_do_not_compete() -> None:
    best = best_adapted(one([*ROWS, row("adabn", 0.99, 0.99)]))
    assert best is not None
    assert best.name == "advent"
