"""Each finding on signs made by hand: just past its bound it is there, just before it is not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from acclimate.doctor.findings import KINDS, Finding, listed, worst_first
from acclimate.doctor.models import findings_in_model
from acclimate.doctor.sets import findings_in_sets
from acclimate.doctor.signals import ModelSignals, SetSignals, SourceSignals, TargetSignals
from acclimate.doctor.training import (
    LONG,
    discriminator_finding,
    kept_share_finding,
    risen_loss_finding,
    swallowing_finding,
    vanished_classes_finding,
)
from acclimate.doctor.verdict import verdict

LABELS = {"road": 0.4, "sky": 0.3, "tree": 0.25, "car": 0.04, "sign": 0.01}
SCORES = {"information maximisation": 0.4, "class-ratio divergence": 0.05}


def model(method: str = "source_only", *, source: dict[str, Any] | None = None, **target: Any) -> ModelSignals:
    """A healthy model of five classes, but for what is given."""
    on_source = {
        "split": "val", "held_out": True, "images": 8, "iou": dict.fromkeys(LABELS, 0.6), "accuracy": 0.9,
        "labels": LABELS, "predicted": LABELS, "similarity": 0.6,
    } | (source or {})  # fmt: skip
    on_target = {
        "images": 8, "predicted": LABELS, "similarity": 0.6, "confidence": 0.8, "scores": SCORES,
    } | target  # fmt: skip
    return ModelSignals(
        method=method,
        source=SourceSignals.model_validate(on_source),
        target=TargetSignals.model_validate(on_target),
    )


def shares(**changed: float) -> dict[str, float]:
    """The labels' shares with some changed, the road making up for them."""
    found = {**LABELS, **changed}
    rest = 1 - sum(value for name, value in found.items() if name != "road")
    return {**found, "road": rest} if "road" not in changed else found


def kinds(found: Any) -> list[str]:
    return [finding.kind for finding in found]


def test_a_healthy_model_and_healthy_sets_have_no_findings() -> None:
    assert kinds(findings_in_model("m", model())) == []
    assert kinds(findings_in_sets(SetSignals(colour_distance=(20, 30, 10), aspects=(1.8, 2.0)))) == []


@pytest.mark.parametrize(
    ("signals", "kind"),
    [
        ({"colour_distance": (60, 50, 41)}, "colours differ"),
        ({"colour_distance": (60, 50, 39)}, None),
        ({"colour_distance": (90, 90, 90), "translated": True}, None),
        ({"source_rim": {"bottom": 0.183}}, "source rim without labels"),
        ({"stretches": (1.5, 1.0)}, "aspect ratios differ"),
        ({"stretches": (0.75, 1.0)}, "aspect ratios differ"),
        ({"stretches": (1.5, 1.5)}, None),
        ({"stretches": (1.19, 1.0)}, None),
        ({"target_difference": 1.2}, "target frames alike"),
        ({"target_difference": 3.5}, None),
    ],
)
def test_sets(signals: dict[str, Any], kind: str | None) -> None:
    base = {"colour_distance": (20, 20, 20), "aspects": (1.33, 2.0)}
    assert kinds(findings_in_sets(SetSignals.model_validate(base | signals))) == ([kind] if kind else [])


def test_a_weak_model_names_the_number_where_it_was_measured_and_the_classes_at_zero() -> None:
    iou = {"road": 0.8, "sky": 0.6, "tree": 0.3, "car": 0.0, "sign": 0.0}
    (finding,) = findings_in_model("plain", model(source={"iou": iou}))
    assert (finding.kind, finding.severity) == ("weak source model", "warning")
    assert "plain reaches only 34 % mIoU on the source itself, on 8 held-out pictures (val); car and sign at 0" in (
        finding.words
    )
    iou = dict.fromkeys(LABELS, 0.2) | {"sign": None}  # one that does not occur counts for nothing
    (finding,) = findings_in_model("plain", model(source={"iou": iou, "held_out": False}))
    assert finding.severity == "alarm"
    assert "20 % mIoU" in finding.words
    assert "the very pictures it was trained on" in finding.words
    assert kinds(findings_in_model("m", model(source={"iou": dict.fromkeys(LABELS, 0.401)}))) == []


def test_one_class_that_swallows_the_others() -> None:
    tree = {"road": 0.05, "sky": 0.03, "tree": 0.9, "car": 0.01, "sign": 0.01}
    (finding,) = findings_in_model("advent", model(predicted=tree, similarity=0.99))  # not that it ignores the picture
    assert (finding.kind, finding.severity) == ("one class swallows", "alarm")
    assert "advent calls 90 % of the target tree, against 25 % of the source's labels" in finding.words
    assert kinds(findings_in_model("m", model(predicted=shares(tree=0.5)))) == []


@pytest.mark.parametrize(
    ("predicted", "labels", "ignores"),
    [(0.98, 0.6, True), (0.88, 0.6, True), (0.84, 0.6, False), (0.98, 0.975, False), (0.9, 0.8, False)],
)
def test_maps_that_are_the_same_for_every_frame(predicted: float, labels: float, ignores: bool) -> None:
    signals = model(similarity=predicted, source={"similarity": labels})
    assert kinds(findings_in_model("m", signals)) == ["picture ignored"] * ignores
    assert kinds(findings_in_model("m", signals, same_frames=True)) == []


def test_a_model_no_better_than_one_who_sees_nothing() -> None:
    (finding,) = findings_in_model("m", model(source={"accuracy": 0.64, "blind": 0.6}))
    assert (finding.kind, finding.severity) == ("picture ignored", "alarm")
    assert "64 % of the source's pixels right, hardly more than the 60 %" in finding.words
    assert kinds(findings_in_model("m", model(source={"accuracy": 0.69, "blind": 0.6}))) == []
    # frames of one drive: places alone tell nearly everything, and no model could be better by so much
    assert kinds(findings_in_model("m", model(source={"accuracy": 0.94, "blind": 0.93}))) == []


def test_classes_that_are_never_predicted() -> None:
    without = {**LABELS, "car": 0.0, "road": 0.44}
    found = list(findings_in_model("m", model(predicted=without, source={"predicted": without})))
    assert [(finding.kind, finding.severity) for finding in found] == [("class never predicted", "warning")]
    assert "never predicts car (4.0 % of the source's labels), neither on the source nor on the target" in (
        found[0].words
    )
    found = list(findings_in_model("m", model(predicted=without)))
    assert [(finding.kind, finding.severity) for finding in found] == [("class never predicted", "note")]
    rare = {**LABELS, "sign": 0.001}  # too rare to ask for
    assert kinds(findings_in_model("m", model(predicted={**LABELS, "sign": 0.0}, source={"labels": rare}))) == []


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.001] * LONG, "discriminator won"),
        ([0.001] * (LONG - 1), None),
        ([math.log(2)] * LONG, "discriminator gave up"),
        ([math.log(2) - 0.002] * LONG, "discriminator gave up"),
        ([math.log(2) + 0.002 * (-1) ** k for k in range(LONG)], None),
        ([0.4] * LONG, None),
    ],
)
def test_discriminators(values: list[float], kind: str | None) -> None:
    found = discriminator_finding("discriminator", values, chance=math.log(2), step=400)
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize(("share", "kind"), [(0.004, "nothing kept"), (0.5, None), (0.996, "everything kept")])
def test_kept_shares(share: float, kind: str | None) -> None:
    found = kept_share_finding("kept share", [share] * LONG, step=400)
    assert (found.kind if found else None) == kind
    assert kept_share_finding("kept share", [share] * (LONG - 1), step=400) is None


def test_a_loss_that_comes_back_up() -> None:
    falling = [2.0 * 0.95**k + 0.4 for k in range(60)]
    assert risen_loss_finding("segmentation", falling, step=60) is None
    found = risen_loss_finding("segmentation", falling + [1.6] * LONG, step=70)
    assert found is not None
    assert found.step == 70
    assert "come back up to 1.60 at step 70, after 0." in found.words
    noisy = [0.5 + 0.3 * math.sin(7 * k) for k in range(100)]
    assert risen_loss_finding("segmentation", noisy, step=100) is None
    assert risen_loss_finding("segmentation", [0.1] * 10 + [2.0] * 10, step=20) is None, "too short to tell"


def test_classes_in_training() -> None:
    found = vanished_classes_finding([0.5, 0.02, 0.0], [0.6, 0.0, 0.0], ["road", "car", "sign"], step=90)
    assert found is not None
    assert found.words.startswith("car (2.0 % of the pixels) was predicted earlier")
    assert vanished_classes_finding([0.5, 0.02], [0.6, 0.01], ["road", "car"], step=90) is None
    assert swallowing_finding([0.96, 0.0], ["road", "car"], step=9) is not None
    assert swallowing_finding([0.9, 0.0], ["road", "car"], step=9) is None


def leaning(after: ModelSignals, before: ModelSignals | None = None) -> str:
    return verdict("a", after, baseline="source-only", before=before or model()).leaning


@pytest.mark.parametrize(
    "after",
    [
        model("advent", source={"iou": dict.fromkeys(LABELS, 0.41)}),  # forgot the source: 60 to 41
        model("advent", predicted={"road": 0.05, "sky": 0.03, "tree": 0.9, "car": 0.01, "sign": 0.01}),
        model("advent", similarity=0.99),
        model("advent", predicted=shares(car=0.0, sign=0.0)),  # two classes lost
        model("advent", predicted=shares(car=0.0019, sign=0.0004)),  # a twentieth of their labels' shares is left
        model("advent", predicted=shares(tree=0.4)),  # drifted by 15 % of the pixels
        model("advent", scores={"information maximisation": 0.3, "class-ratio divergence": 0.05}),
    ],
    ids=["forgot", "swallowed", "ignores", "lost", "nearly lost", "drifted", "less informed"],
)
def test_a_model_that_is_likely_worse(after: ModelSignals) -> None:
    judged = verdict("advent", after, baseline="source-only", before=model())
    assert judged.leaning == "source-only"
    assert "Both are kept; use source-only" in judged.words
    finding = judged.finding()
    assert finding is not None
    assert finding.severity == "alarm"


def test_nothing_is_ever_called_better() -> None:
    better = {"information maximisation": 0.5, "class-ratio divergence": 0.02}
    judged = verdict("a", model("dacs", scores=better), baseline="source-only", before=model())
    assert judged.leaning == "adapted"
    assert "no proof" in judged.words
    assert judged.finding() is None
    assert leaning(model("dacs")) == "open"
    # a class that source-only saw too often may fall to what its labels have
    assert leaning(model("dacs", predicted=shares(sign=0.001)), model(predicted=shares(sign=0.1))) == "open"
    assert leaning(model("dacs", scores={**better, "class-ratio divergence": 0.08})) == "open"
    # what source-only has too speaks against neither
    tree = {"road": 0.05, "sky": 0.03, "tree": 0.9, "car": 0.01, "sign": 0.01}
    assert leaning(model("dacs", predicted=tree), model(predicted=tree)) == "open"


def test_findings_are_ordered_and_every_kind_is_known() -> None:
    made = [Finding(kind="k", severity=s, words=s, advice="") for s in ("note", "alarm", "warning", "alarm")]
    assert [f.severity for f in worst_first(made)] == ["alarm", "alarm", "warning", "note"]
    assert listed(["a"]) == "a"
    assert listed(list("abcdefgh")) == "a, b, c, d, e and 3 more"
    assert {kind.when for kind in KINDS.values()} == {"data", "training", "model", "comparison"}
