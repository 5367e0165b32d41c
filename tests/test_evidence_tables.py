"""The tables of evidence take runs whose seeds ran apart, and give means and deviations that can be checked by hand."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from acclimate.errors import UserError
from acclimate.evaluation.label_free import HIGHER_IS_BETTER
from acclimate.evaluation.scores import DetectionRow, Row, read_together, write_results

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"evidence_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for it
    spec.loader.exec_module(module)
    return module


def printed(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
    script(name).main()
    return capsys.readouterr().out


def row(name: str, seed: int, miou: float, **other: Any) -> Row:
    content = {
        "name": name, "stage": name, "method": name.replace("-", "_"), "seed": seed, "data": "scenes", "split": "val",
        "images": 1, "protocol": "scenes", "miou": miou, "classes_averaged": 2, "iou": {"pole": miou, "road": miou},
    }  # fmt: skip
    return Row.model_validate(content | other)


def region(accuracy: float) -> dict[str, float]:
    return {"pixels": 10, "accuracy": accuracy, "entropy": 0.25, "miou": 0.5}


def runs(folder: Path, scores: dict[str, list[float]], **other: Any) -> list[Path]:
    """One run folder per seed."""
    count = len(next(iter(scores.values())))
    for seed in range(count):
        rows = [row(name, seed, values[seed], **other) for name, values in scores.items()]
        write_results(folder / f"seed-run-{seed}" / "results.json", rows)
    return [folder / f"seed-run-{seed}" for seed in range(count)]


def test_runs_of_one_seed_each_become_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = runs(tmp_path, {"source-only": [0.2, 0.3, 0.4], "advent": [0.4, 0.4, 0.4], "oracle": [0.7, 0.8, 0.6]})
    table = printed("results_table", monkeypatch, capsys, folders[0] / "results.json", *folders[1:])
    assert "| source-only | 3 | 30.0 ± 10.0 |" in table
    assert "| advent | 3 | 40.0 ± 0.0 | +10.0 ± 10.0 | 25 % |" in table
    whole = tmp_path / "all.json"
    assert printed("results_table", monkeypatch, capsys, *folders, "-o", whole) == table
    assert printed("results_table", monkeypatch, capsys, whole) == table
    table = printed("results_table", monkeypatch, capsys, *folders, "--baseline", "advent")
    assert "| source-only | 3 | 30.0 ± 10.0 |  |  | -10.0 ± 10.0 |" in table
    assert "| advent | 3 | 40.0 ± 0.0 | +10.0 ± 10.0 | 25 % |  |  |" in table
    with pytest.raises(UserError, match="did you mean 'advent'"):
        printed("results_table", monkeypatch, capsys, *folders, "--baseline", "advnt")


def test_results_beside_others_and_shares_from_another_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = runs(tmp_path / "now", {"source-only": [0.2, 0.3], "augmented": [0.3, 0.3], "dacs": [0.4, 0.4]})
    oracle = runs(tmp_path / "best", {"oracle": [0.5, 0.5]})
    table = printed("results_table", monkeypatch, capsys, *now, *oracle, "--baseline", "augmented")
    assert "| dacs | 2 | 40.0 ± 0.0 | +15.0 ± 7.1 | 60 % | +10.0 ± 0.0 | 50 % |" in table
    before = runs(tmp_path / "before", {"source-only": [0.1, 0.1], "minent": [0.4, 0.4]})
    table = printed("results_table", monkeypatch, capsys, *now, "--against", *before)
    assert table.splitlines()[2:] == ["| source-only | 10.0 ± 0.0 | 25.0 ± 7.1 | +15.0 ± 7.1 |"]


def test_losses_are_means_over_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, values in enumerate(((2.0, 1.0, 0.5), (1.0, 0.0, 0.3))):
        lines = [f"{step},{value},0.1" for step, value in zip((20, 40, 1000), values, strict=True)]
        for place, name in (("1", "source-only"), ("10", "advent")):
            stage = tmp_path / f"seed-{seed}" / f"{place}-{name}"
            stage.mkdir(parents=True)
            (stage / "history.csv").write_text("\n".join(["step,segmentation,learning rate", *lines]), encoding="utf-8")
    table = printed("losses_table", monkeypatch, capsys, tmp_path)
    numbers = "1.50 | 0.50 | 0.40 |"
    lines = ["| step | 20 | 40 | end |", "|---|---|---|---|", f"| source-only | {numbers}", f"| advent | {numbers}"]
    assert table.splitlines() == lines
    assert len(printed("losses_table", monkeypatch, capsys, tmp_path, "--only", "advent").splitlines()) == 3
    with pytest.raises(UserError, match="did you mean 'advent'"):
        printed("losses_table", monkeypatch, capsys, tmp_path, "--only", "advnt")
    with pytest.raises(UserError, match="no training with a loss 'entropy'"):
        printed("losses_table", monkeypatch, capsys, tmp_path, "--loss", "entropy")


def test_what_choosing_a_system_by_a_score_was_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def scores(value: float) -> dict[str, Any]:  # the higher the better or the worse
        return {"label_free": dict.fromkeys(HIGHER_IS_BETTER, value)}

    rows = [
        row(name, seed, miou, **scores(score))
        for seed in (0, 1)
        for name, miou, score in (("source-only", 0.2, 1.0), ("dacs", 0.4, 3.0), ("advent", 0.3, 2.0 + 2 * seed))
    ]
    write_results(tmp_path / "results.json", [*rows, row("oracle", 0, 0.9, **scores(9.0)), row("bare", 0, 0.9)])
    line = printed("system_choice", monkeypatch, capsys, tmp_path / "results.json").splitlines()[-1]
    # dacs with seed 0, advent with seed 1; where lower is better source-only, with all ranks reversed
    higher, lower = "35.0 ± 7.1 (+0.75 ± 0.35)", "20.0 ± 0.0 (-0.75 ± 0.35)"
    worth = [higher if better else lower for better in HIGHER_IS_BETTER.values()]
    assert line == f"| {' | '.join([tmp_path.name, '3, 2', *worth, '40.0 ± 0.0', '40.0 ± 0.0'])} |"
    with pytest.raises(UserError, match="no seed has three rows with scores"):
        printed("system_choice", monkeypatch, capsys, runs(tmp_path / "bare", {"dacs": [0.2]})[0] / "results.json")


def test_detection_has_ap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, value in enumerate((0.1, 0.3)):
        content = row("minent", seed, value).model_dump()
        detected = DetectionRow.model_validate(content | {"map": value, "ap": {"car": value, "person": None}})
        write_results(tmp_path / f"{seed}/results.json", [detected])
    table = printed("results_table", monkeypatch, capsys, tmp_path / "0", tmp_path / "1")
    assert table.startswith("| model | seeds | mAP |")
    assert "| minent | 2 | 20.0 ± 14.1 |" in table
    assert "| car | 20.0 ± 14.1 |" in table


def test_boundaries_over_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []
    for seed, (before, after) in enumerate(((0.5, 0.6), (0.5, 0.8))):
        rows = [
            row(name, seed, 0.3, boundaries={"width": 5, "near": region(accuracy), "inside": region(0.9)})
            for name, accuracy in (("source-only", before), ("fine-grained", after))
        ]
        folders.append(tmp_path / str(seed))
        write_results(folders[-1] / "results.json", rows)
    table = printed("boundaries_table", monkeypatch, capsys, *folders)
    assert "| fine-grained | 2 | 30.0 ± 0.0 | 70.0 ± 14.1 (+20.0 ± 14.1) | 25.0 ± 0.0 (+0.0 ± 0.0) |" in table


def test_label_error_over_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = runs(tmp_path, {"cbst-1": [0.1, 0.3]})
    for number, folder in enumerate(folders):
        for stage, invalid, wrong in (("2-cbst-labels-1", 0, 0.1 + 0.1 * number), ("10-sisc-labels-1", 50, 0.05)):
            place = folder / stage
            place.mkdir()
            (place / "manifest.json").write_text(json.dumps({"predicted_pixels": [30, 20], "invalid_pixels": invalid}))
            curve = [{"kept": kept, "error": wrong * kept} for kept in (0.2, 0.4, 1.0)]
            (place / "curves.json").write_text(json.dumps({"softmax": curve}))
    table = printed("label_error", monkeypatch, capsys, *folders)
    lines = table.splitlines()
    # 20 % of everything is 40 % of what half of the pixels were covered for; more than half cannot be kept
    assert lines[2].startswith("| cbst | 3.00 ± 1.41 | 4.50 ± 2.12 |")
    assert lines[3].startswith("| sisc | 2.00 ± 0.00 | 3.00 ± 0.00 | 4.00 ± 0.00 | 5.00 ± 0.00 | – |")
    assert "| cbst-1 | 2 | 20.0 ± 14.1 | 20.00 ± 14.14 | 20.0 ± 14.1 |" in table


def test_translations_over_seeds() -> None:
    module = script("translation")
    seeds = [
        module.Measured([10.0, 20.0, 30.0], [1.0, 2.0, 3.0], 0.1, 0.9),
        module.Measured([10.0, 20.0, 30.0], [3.0, 2.0, 5.0], 0.2, 0.8),
    ]
    line = module.table({"G": seeds}).splitlines()[2]
    assert line.startswith("| G | 2 | 10.0 ± 0.0 | 20.0 ± 0.0 | 30.0 ± 0.0 | 2.0 ± 1.4 | 2.0 ± 0.0 | 4.0 ± 1.4 |")
    assert line.endswith("| 0.15 ± 0.07 | 85.0 ± 7.1 |")


def test_rows_that_have_no_common_mean_are_refused(tmp_path: Path) -> None:
    folders = runs(tmp_path, {"advent": [0.1, 0.2]})
    assert [each.seed for each in read_together(folders).rows] == [0, 1]
    with pytest.raises(UserError, match=r"both hold 'advent' with seed 0"):
        read_together([folders[0], folders[0] / "results.json"])
    write_results(tmp_path / "other.json", [row("advent", 5, 0.3, protocol="camvid-11")])
    with pytest.raises(UserError, match=r"camvid-11\), not on scenes \(val, scenes\)"):
        read_together([folders[0], tmp_path / "other.json"])
    write_results(tmp_path / "empty.json", [])
    with pytest.raises(UserError, match="no row of results"):
        read_together([tmp_path / "empty.json"])


def test_rows_that_joined_others_keep_where_they_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [
        {"commit": "aaa", "processor": "one"},
        {"commit": "bbb", "processor": "two"},
        {"commit": "aaa", "processor": "one"},
    ]
    for seed, environment in enumerate(made):
        write_results(tmp_path / f"{seed}.json", [row("advent", seed, 0.1)], environment=environment)
    files = [str(tmp_path / f"{seed}.json") for seed in range(3)]
    merged = str(tmp_path / "merged.json")
    for arguments in ([*files[:2], "-o", merged], [merged, files[2]]):
        monkeypatch.setattr("sys.argv", ["results_table", *arguments])
        script("results_table").main()
        assert capsys.readouterr().out.endswith("\ncommit aaa, one\ncommit bbb, two\n")


def test_what_a_suite_says_of_claims_is_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = {"claim": "a > b", "source": "Paper", "better": "a", "worse": "b", "where": "r", "decision": "held"}
    suite = {
        "suite": "scenes",
        "claims": [
            {**judged, "difference": {"mean": 0.0125, "deviation": 0.004, "count": 3}},
            {**judged, "claim": "unseen", "difference": None, "decision": "not measured"},
        ],
        "rank_correlation": [{"score": "mean entropy", "value": 0.5, "without_ends": None, "rows": 9}],
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps(suite))
    lines = printed("claims_table", monkeypatch, capsys, path).splitlines()
    assert "| scenes | a > b | Paper | a − b | r | +1.2 ± 0.4 | 3 | held |" in lines
    assert "| scenes | mean entropy | +0.50 | – | 9 |" in lines
    assert not any("unseen" in line for line in lines)
    path.write_text(json.dumps({"rows": []}))
    with pytest.raises(UserError, match="not the results of a suite"):
        printed("claims_table", monkeypatch, capsys, path)


def test_a_suite_is_a_table_of_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def model(name: str, role: str, miou: float, **other: Any) -> dict[str, Any]:
        known = {"name": name, "role": role, "seeds": [0, 1], "miou": {"mean": miou, "deviation": 0.01, "count": 2}}
        empty = dict.fromkeys(("gain", "over_control", "train_seconds", "peak_memory_mb", "kept", "wrong"))
        return {**known, **empty, "gap_closed": None, "relative_time": None, **other}

    advent = {
        "gain": {"mean": 0.06, "deviation": 0.005, "count": 2},
        "over_control": {"mean": -0.0001, "deviation": None, "count": 1},
        "train_seconds": {"mean": 468.0, "deviation": None, "count": 1},
        "peak_memory_mb": {"mean": 1141.2, "deviation": 1.0, "count": 2},
        "kept": {"mean": 0.5866, "deviation": None, "count": 1},
        "gap_closed": 0.295,
        "relative_time": 2.94,
    }
    suite = {
        "models": [
            model("source-only", "source-only", 0.268, gap_closed=0.0),
            model("advent", "adapted", 0.33, **advent),
        ],
        "hours": 1.26,
        "settings": [
            {"key": "w", "value": value, "row": "minent", "miou": {"mean": miou, "deviation": None, "count": 1}}
            for value, miou in (("0.1", 0.301), ("0.5", 0.25))
        ],
        "missing": ["scenes, seed 2"],
        "failed": [],
        "environment": {"commit": "abc", "processor": "P"},
    }
    (tmp_path / "results.json").write_text(json.dumps(suite))
    table = printed("suite_table", monkeypatch, capsys, tmp_path)
    assert "| source-only | 2 | 26.8 ± 1.0 |  |  |  |  |  |  |  |  |" in table
    assert "| advent | 2 | 33.0 ± 1.0 | +6.0 ± 0.5 | +0.0 | 30 % | 7.8 | 2.9 | 1,141 | 58.7 |  |" in table
    assert "| w | minent | 0.1: 30.1 · 0.5: 25.0 |" in table
    assert "1.3 hours" in table
    assert "missing: scenes, seed 2" in table
    assert "commit abc, P" in table
    (tmp_path / "results.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(UserError, match="not the results of a suite"):
        printed("suite_table", monkeypatch, capsys, tmp_path)


def test_what_choosing_a_snapshot_was_worth() -> None:
    choice = script("snapshot_choice")

    def training(name: str, divergence: list[float], miou: list[float]) -> Any:
        scores = {
            10 * n: dict.fromkeys(HIGHER_IS_BETTER, 0.0) | {"class-ratio divergence": d, "information maximisation": -d}
            for n, d in enumerate(divergence)
        }
        return choice.Training(name, scores, {10 * n: value for n, value in enumerate(miou)})

    falls = training("minent", [0.1, 0.2, 0.3], [0.30, 0.25, 0.20])
    assert falls.chosen_by("last") == 0.20
    assert falls.chosen_by("class-ratio divergence") == 0.30  # lower is better
    assert falls.chosen_by("information maximisation") == 0.30  # higher is better
    assert falls.correlation("class-ratio divergence") == pytest.approx(1.0)
    misled = training("minent", [0.3, 0.1, 0.2], [0.26, 0.20, 0.24])
    assert misled.chosen_by("labels") == 0.26
    assert misled.correlation("class-ratio divergence") == pytest.approx(-1.0)
    assert misled.correlation("mean entropy") is None  # the same everywhere
    chosen, rank = choice.tables([falls, misled]).split("\n\n")
    divergence = "25.0 ± 7.1"  # of 30 and 20
    assert chosen.splitlines()[2].split(" | ")[2] == "22.0 ± 2.8"  # the last ones, 20 and 24
    assert chosen.splitlines()[2].split(" | ")[6:] == [divergence, "28.0 ± 2.8 |"]
    assert chosen.splitlines()[3].split(" | ")[6:] == ["+3.0 ± 9.9", "+6.0 ± 5.7 |"]
    assert "| class-ratio divergence | +0.00 ± 1.41 | 2 |" in rank


def test_suites_are_drawn_best_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def model(name: str, gain: float | None, role: str = "adapted", over: float | None = None) -> dict[str, Any]:
        spreads = [None if value is None else {"mean": value, "deviation": 0.01, "count": 3} for value in (gain, over)]
        return {"name": name, "role": role, "gain": spreads[0], "over_control": spreads[1]}

    models = [
        model("source-only", None, "source-only"),
        model("adabn", 0.03, "control"),
        model("cbst-1", 0.01, over=-0.02),
        model("cbst-2", -0.05, over=-0.08),
        model("a<b", 0.06, over=0.005),
        model("oracle", 0.2, "oracle"),
    ]
    (tmp_path / "results.json").write_text(json.dumps({"suite": "scenes", "models": models}))
    output = tmp_path / "gains.svg"
    monkeypatch.setattr("sys.argv", ["suite_picture", str(tmp_path), str(tmp_path), "-o", str(output)])
    script("suite_picture").main()
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in ElementTree.parse(output).iter(f"{space}text")]
    names = [text for text in texts if text in {model["name"] for model in models}]
    assert names == ["a<b", "adabn", "cbst-2"] * 2  # the last round alone, without both ends
    assert texts.count("−5.0 ± 1.0") == 2
    dots = [element.attrib for element in ElementTree.parse(output).iter(f"{space}circle")][:3]
    assert [dot["fill"] == dot["stroke"] for dot in dots] == [False, True, True]  # hollow: within the control's spread
    assert float(dots[0]["cx"]) > float(dots[1]["cx"]) > float(dots[2]["cx"])
    (tmp_path / "results.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(UserError, match="not the results of a suite"):
        script("suite_picture").main()


def test_gains_stand_at_their_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gains = script("gain_picture")
    rows = [
        row(name, seed, miou + 0.01 * seed, train_seconds=seconds)
        for name, miou, seconds in (
            ("source-only", 0.30, 60.0),
            ("slow", 0.34, 300.0),
            ("five-labels-mic", 0.35, 240.0),
            ("quick", 0.31, 90.0),
            ("oracle", 0.60, 60.0),
        )
        for seed in (0, 1)
    ]
    write_results(tmp_path / "results.json", rows)
    found, top = gains.points(tmp_path / "results.json", "minutes")
    assert [(point.name, point.cost, round(100 * point.gain.mean)) for point in found] == [
        ("quick", 1.5, 1),
        ("five-labels-mic", 4.0, 5),
        ("slow", 5.0, 4),
    ]
    assert [point.name for point in gains.front(found)] == ["quick", "five-labels-mic"]
    assert round(100 * top.mean) == 30
    assert [gains.labels(name) for name in ("dacs", "20-labels", "one-label", "x-five-labels-mic")] == [0, 20, 1, 5]
    output = tmp_path / "gains.svg"
    monkeypatch.setattr("sys.argv", ["gain_picture", str(tmp_path / "results.json"), "-o", str(output)])
    gains.main()
    assert "<svg" in output.read_text()
    write_results(tmp_path / "results.json", rows[2:])
    with pytest.raises(UserError, match="no row source-only"):
        gains.points(tmp_path / "results.json", "minutes")
