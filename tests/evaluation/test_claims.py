"""Verdicts on claims, on rows whose differences are worked out by hand."""

from __future__ import annotations

import pytest

from acclimate.bench.claims import CLAIMS, Claim, check_claims, decide, mean_error_at_same_share, small_class_iou
from acclimate.evaluation.scores import Row, Spread, Summary, summarise


def rows(name: str, mious: list[float], **iou: float) -> list[Row]:
    return [
        Row(
            name=name, stage="", method=name, seed=seed, data="scenes", split="val", images=1, protocol="scenes",
            miou=miou, classes_averaged=1, iou={"road": miou, **iou},
        )
        for seed, miou in enumerate(mious)
    ]  # fmt: skip


def summaries(**mious: list[float]) -> list[Summary]:
    return summarise([row for name, values in mious.items() for row in rows(name, values)])


def test_decision_needs_a_difference_larger_than_its_deviation() -> None:
    assert decide(Spread(0.02, 0.01, 3)) == "held"
    assert decide(Spread(-0.02, 0.01, 3)) == "not held"
    assert decide(Spread(0.01, 0.01, 3)) == "not decidable"
    assert decide(Spread(0.2, None, 1)) == "not decidable"
    assert decide(None) == "not measured"


def test_rows_are_paired_by_seed_within_a_recipe() -> None:
    claim = Claim("a > b", "", (("a", "b"),))
    one = summaries(a=[0.50, 0.40, 0.30], b=[0.48, 0.38, 0.28])  # +2 points for every seed, though seeds differ by 10
    other = summaries(a=[0.9])
    (verdict,) = check_claims({"one": one, "other": other}, claims=[claim])
    assert verdict.where == "one"
    assert verdict.decision == "held"
    assert verdict.difference is not None
    assert verdict.difference.mean == pytest.approx(0.02)
    assert verdict.difference.deviation == pytest.approx(0.0, abs=1e-9)


def test_seeds_only_one_row_has_are_left_out() -> None:
    found = check_claims({"x": summaries(a=[0.5, 0.4], b=[0.4])}, claims=[Claim("a > b", "", (("a", "b"),))])
    assert found[0].difference == Spread(pytest.approx(0.1), None, 1)
    assert found[0].decision == "not decidable"


def test_shared_rows_are_one_piece_of_evidence() -> None:
    same = summaries(a=[0.5, 0.4], b=[0.4, 0.35])
    assert len(check_claims({"x": same, "y": same}, claims=[Claim("a > b", "", (("a", "b"),))])) == 1


def test_claim_without_rows_is_not_measured() -> None:
    assert {verdict.decision for verdict in check_claims({"x": summaries(lonely=[0.1])})} == {"not measured"}
    assert len(check_claims({})) == len(CLAIMS)


def test_small_classes_are_measured_alone() -> None:
    claim = Claim("pwl", "", (("a", "b"),), "small classes")
    both = summarise(rows("a", [0.1, 0.1], pole=0.4, sign=0.2) + rows("b", [0.9, 0.9], pole=0.2, sign=0.2))
    (verdict,) = check_claims({"x": both}, claims=[claim])
    assert verdict.difference is not None
    assert verdict.difference.mean == pytest.approx(0.1)
    assert small_class_iou({"road": 0.9, "pole": None}) is None


def test_errors_at_the_same_kept_share() -> None:
    # both curves reach kept shares 0.2 to 0.6; entropy is 0.1 + share, softmax 0.2 + share there: means 0.5 and 0.6
    entropy = [(0.0, 0.1), (0.6, 0.7)]
    softmax = [(1.0, 1.2), (0.2, 0.4)]
    assert mean_error_at_same_share(entropy, softmax) == (pytest.approx(0.5), pytest.approx(0.6))
    assert mean_error_at_same_share([(0.1, 0.0), (0.2, 0.1)], [(0.3, 0.0), (0.4, 0.1)]) is None
    claim = Claim("entropy", "", (("entropy", "softmax"),), "pseudo-label error")
    (verdict,) = check_claims({}, errors={"labels": {0: (0.1, 0.15), 1: (0.1, 0.16)}}, claims=[claim])
    assert verdict.decision == "held"
    assert verdict.difference is not None
    assert verdict.difference.mean == pytest.approx(0.055)


def test_rounds_are_compared_by_their_last_one() -> None:
    claim = Claim("sisc > cbst", "", (("sisc", "cbst"),))
    found = check_claims(
        {
            "x": summaries(
                **{"sisc-1": [0.9], "sisc-2": [0.3], "sisc-10": [0.5], "cbst-1": [0.2], "cbst-2": [0.4]},
                **{"sisc-pwl-11": [0.8], "sisc-sp": [0.8]},
            )
        },
        claims=[claim],
    )
    assert [(verdict.better, verdict.worse) for verdict in found] == [("sisc-10", "cbst-2")]
    assert found[0].difference == Spread(pytest.approx(0.1), None, 1)
