"""What is found in a run's folder: put together over seeds, told once, the same on page and terminal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from synthetic_run import write_unlabelled_run

from acclimate.cli.doctor import doctor_command
from acclimate.errors import UserError
from acclimate.evaluation.scores import Row, write_results
from acclimate.report.diagnosis import diagnosis
from acclimate.report.reading import read_run


def spoil(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    for key, value in changes.items():
        part, _, name = key.partition("__")
        content[part][name] = value
    path.write_text(json.dumps(content))


def test_a_healthy_run_but_for_its_colours(tmp_path: Path) -> None:
    found = diagnosis(read_run(write_unlabelled_run(tmp_path / "run")))
    assert [(told.where, told.finding.kind) for told in found.told] == [("data", "colours differ")]
    assert found.final is not None
    assert found.final.leaning == "adapted"
    assert found.safer == "dacs"


def test_what_source_only_has_too_is_said_of_it_alone(tmp_path: Path) -> None:
    run = write_unlabelled_run(tmp_path / "run")
    weak = {"road": 0.2, "sky": 0.1}
    for model in ("1-source-only", "2-dacs"):
        spoil(run / "examined" / model / "signals.json", source__iou=weak)
    found = diagnosis(read_run(run))
    assert [(t.where, t.finding.kind) for t in found.told if t.where != "data"] == [
        ("source-only", "weak source model")
    ]
    assert [told.severity for told in found.told] == ["alarm", "warning"], "worst first"


def test_the_model_called_source_only_is_the_one_to_compare_with(tmp_path: Path) -> None:
    run = write_unlabelled_run(tmp_path / "run")
    (run / "examined" / "2-dacs").rename(run / "examined" / "3-dacs")
    (run / "examined" / "1-source-only").rename(run / "examined" / "2-source-only")
    shutil.copytree(run / "examined" / "2-source-only", run / "examined" / "1-base")
    (judged,) = diagnosis(read_run(run)).verdicts
    assert (judged.name, judged.baseline) == ("dacs", "source-only")


@pytest.mark.parametrize(
    ("before", "after", "safer", "words"),
    [
        (0.30, 0.41, "dacs", "dacs reaches 41.0 % mIoU and source-only 30.0 %: labels decide, use dacs"),
        (0.41, 0.30, "source-only", "dacs reaches 30.0 % mIoU and source-only 41.0 %: labels decide, use source-only"),
    ],
)
def test_labels_of_the_target_decide(before: float, after: float, safer: str, words: str, tmp_path: Path) -> None:
    run = write_unlabelled_run(tmp_path / "run")
    spoil(run / "examined" / "2-dacs" / "signals.json", target__confidence=0.01)
    rows = [scored("source-only", before), scored("dacs", after), scored("dacs", 0.0, split="another")]
    write_results(run / "results.json", rows)
    found = diagnosis(read_run(run))
    assert found.final is not None
    assert f"On 7 labelled images of street (val) {words}" in found.final.words
    assert found.safer == safer
    assert ("likely worse" in [told.finding.kind for told in found.told]) == (safer == "source-only")
    without = diagnosis(read_run(run), labels=False)
    assert without.final is not None
    assert "Nothing measured without labels speaks against dacs" in without.final.words
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"source": "street:a", "evaluation": "street:a"}))
    assert diagnosis(read_run(run)).final == without.final, "labels of the source say nothing about the target"


def test_of_several_adapted_models_the_best_by_labels_is_named(tmp_path: Path) -> None:
    run = write_unlabelled_run(tmp_path / "run")
    shutil.copytree(run / "examined" / "2-dacs", run / "examined" / "3-minent")
    assert [judged.name for judged in diagnosis(read_run(run)).verdicts] == ["dacs", "minent"]
    assert diagnosis(read_run(run)).safer == "minent", "the last, where labels tell nothing"
    rows = [scored("source-only", 0.3), scored("dacs", 0.5), scored("minent", 0.4)]
    write_results(run / "results.json", rows)
    assert diagnosis(read_run(run)).safer == "dacs"
    write_results(run / "results.json", [scored("source-only", 0.6), *rows[1:]])
    assert diagnosis(read_run(run)).safer == "source-only"


def scored(name: str, miou: float, *, split: str = "val") -> Row:
    return Row(
        name=name, stage=name, method=name, seed=0, data="street", split=split, images=7, protocol="camvid-11",
        miou=miou, classes_averaged=1, iou={"road": miou},
    )  # fmt: skip


def test_several_seeds_are_told_together(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for seed in (0, 3):
        write_unlabelled_run(run / f"seed-{seed}", seed=seed)
        (run / f"seed-{seed}" / "recipe.yaml").rename(run / "recipe.yaml")
        spoil(run / f"seed-{seed}" / "examined" / "2-dacs" / "signals.json", target__similarity=0.99)
    shutil.rmtree(run / "seed-3" / "examined" / "sets")
    found = diagnosis(read_run(run))
    assert [(told.finding.kind, told.seeds) for told in found.told] == [
        ("picture ignored", (0, 3)),
        ("likely worse", (0, 3)),
        ("colours differ", ()),
    ]
    assert found.safer == "source-only"


def test_the_terminal_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_unlabelled_run(tmp_path / "run")
    (run / "2-dacs" / "findings.json").write_text(
        json.dumps(
            {"findings": [{"kind": "nothing kept", "severity": "warning", "words": "w", "advice": "a", "step": 9}]}
        )
    )
    spoil(run / "examined" / "2-dacs" / "signals.json", target__similarity=0.99)
    doctor_command([run])
    out = capsys.readouterr().out
    assert f"{run}: 4 findings" in out
    assert "ALARM    dacs: Predictions ignore the picture" in out
    assert "WARNING  dacs: Pseudo-labels cover next to nothing" in out
    assert f"source-only: {run}/1-source-only/model.safetensors" in out


@pytest.mark.parametrize(("kept", "kind"), [(0.002, "nothing kept"), (0.4, None), (0.999, "everything kept")])
def test_pseudo_labels_of_a_label_stage(kept: float, kind: str | None, tmp_path: Path) -> None:
    run = write_unlabelled_run(tmp_path / "run")
    (run / "3-labels").mkdir()
    (run / "3-labels" / "manifest.json").write_text(json.dumps({"classes": ["a"], "kept_overall": kept}))
    found = diagnosis(read_run(run))
    assert [told.finding.kind for told in found.told if told.where == "labels"] == ([kind] if kind else [])


def test_a_file_that_is_not_the_doctors_is_named(tmp_path: Path) -> None:
    run = write_unlabelled_run(tmp_path / "run")
    path = run / "examined" / "2-dacs" / "signals.json"
    path.write_text(json.dumps({"method": "dacs"}))
    with pytest.raises(UserError, match=r"signals\.json is not what the doctor writes at (source|target)"):
        read_run(run)
