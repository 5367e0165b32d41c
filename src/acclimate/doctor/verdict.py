"""Whether an adapted model is better than source-only, as far as that can be told.

Nothing measured without labels proves that a model is better. So the verdict may be wrong on the safe side alone: it
calls a model likely worse on any strong sign, and never better than "nothing speaks against it". Where both were scored
on labels of the target, these decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from acclimate.doctor.findings import Finding, listed
from acclimate.doctor.models import NEVER, findings_in_model
from acclimate.doctor.signals import ModelSignals

FORGOTTEN = 0.7
"""An adapted model that keeps less than this share of source-only's mIoU on the source has forgotten it."""
HAD = 0.005
"""Share of the target's pixels that a class had before, for its loss to be one."""
LEFT = 0.05
"""Of a class's share among the source's labels: who predicts less of it has lost it."""
DRIFTED = 0.12
"""By how much more class shares may differ from the source's than before (half the sum of differences)."""
LESS_INFORMED = 0.05
"""By how much information maximisation may fall."""


@dataclass(frozen=True)
class Verdict:
    """What speaks against the adapted model, and what for it, in words.

    Attributes:
        leaning: ``source-only``: likely worse, use source-only; ``adapted``: nothing speaks against it and scores speak
            for it; ``open``: neither. By labels, it is one of the first two.
        words: all of it.
        miou: of the adapted model on labels of the target, a fraction; None where they did not decide.
    """

    name: str
    baseline: str
    leaning: Literal["source-only", "adapted", "open"]
    against: tuple[str, ...]
    pro: tuple[str, ...]
    words: str
    miou: float | None = None

    def finding(self) -> Finding | None:
        """As a finding; None unless the model is likely worse."""
        if self.leaning != "source-only":
            return None
        return Finding(
            kind="likely worse",
            severity="alarm",
            words=f"{self.name} is likely worse than {self.baseline}: {'; '.join(self.against)}",
            advice=f"use {self.baseline}, which is kept beside it, until the pictures show otherwise",
        )


def verdict(
    name: str, after: ModelSignals, *, baseline: str, before: ModelSignals, same_frames: bool = False
) -> Verdict:
    """Compares an adapted model with the one trained on the source alone.

    Args:
        name, after: the adapted model.
        baseline, before: source-only.
        same_frames: see :func:`acclimate.doctor.models.findings_in_model`.
    """
    against = [*_forgotten(after, before), *_broken(name, after, before, same_frames), *_lost(after, before)]
    against += _drifted(after, before)
    pro = _for(after, before)
    leaning: Literal["source-only", "adapted", "open"] = (
        "source-only" if against else "adapted" if len(pro) >= 2 else "open"
    )
    if leaning == "source-only":
        words = f"{name} is likely worse than {baseline}: {'; '.join(against)}. Both are kept; use {baseline}."
    elif leaning == "adapted":
        words = (
            f"Nothing measured without labels speaks against {name}, and {listed(pro)}. That is no proof: look at the "
            "pictures, or label a few frames and score both."
        )
    else:
        words = (
            f"Without labels it cannot be told whether {name} is better than {baseline}. Look at the pictures; where "
            f"they show no difference, {baseline} is the safer one."
        )
    return Verdict(name, baseline, leaning, tuple(against), tuple(pro), words)


def by_labels(judged: Verdict, *, before: float, after: float, where: str) -> Verdict:
    """The verdict where both models were scored on labels of the target.

    Args:
        judged: what could be told without them.
        before, after: mIoU of source-only and of the adapted model, fractions.
        where: what they were scored on, in words.
    """
    figures = f"{judged.name} reaches {100 * after:.1f} % mIoU and {judged.baseline} {100 * before:.1f} %"
    words = f"On {where} {figures}: labels decide, use {judged.name if after > before else judged.baseline}."
    told = (f"on {where} it has {100 * abs(after - before):.1f} points {'more' if after > before else 'less'}",)
    if after > before:
        return replace(judged, leaning="adapted", against=(), pro=told, words=words, miou=after)
    return replace(judged, leaning="source-only", against=told, pro=(), words=words, miou=after)


def _forgotten(after: ModelSignals, before: ModelSignals) -> list[str]:
    if after.source is None or before.source is None or before.source.miou == 0:
        return []
    if after.source.miou >= FORGOTTEN * before.source.miou:
        return []
    fell = f"from {100 * before.source.miou:.0f} to {100 * after.source.miou:.0f} % mIoU"
    return [f"on the source's own labels it fell {fell}"]


def _broken(name: str, after: ModelSignals, before: ModelSignals, same_frames: bool) -> list[str]:
    kinds = ("one class swallows", "picture ignored")
    already = {finding.kind for finding in findings_in_model("", before, same_frames=same_frames)}
    found = [each for each in findings_in_model("it", after, same_frames=same_frames) if each.kind in kinds]
    return [each.words for each in found if each.kind not in already]


def _lost(after: ModelSignals, before: ModelSignals) -> list[str]:
    shares = before.source.labels if before.source else {}
    lost = [
        label
        for label, share in before.target.predicted.items()
        if share >= HAD
        and shares.get(label, 1) >= HAD
        and after.target.predicted.get(label, 0) < max(NEVER, LEFT * shares.get(label, 0))
    ]
    few = max(2, round(0.15 * len(before.target.predicted)))
    large = sum(before.target.predicted[label] for label in lost) > 0.1
    return [f"it hardly predicts {listed(lost)} on the target any more"] if len(lost) >= few or (lost and large) else []


def _distance(first: dict[str, float], second: dict[str, float]) -> float:
    """Half the sum of differences: 0 the same shares, 1 nothing in common."""
    return sum(abs(first.get(label, 0) - second.get(label, 0)) for label in {*first, *second}) / 2


def _drifted(after: ModelSignals, before: ModelSignals) -> list[str]:
    found = []
    if after.source is not None:
        labels = after.source.labels
        then, now = _distance(before.target.predicted, labels), _distance(after.target.predicted, labels)
        if now - then > DRIFTED:
            grown = max(labels, key=lambda k: after.target.predicted.get(k, 0) - before.target.predicted.get(k, 0))
            found.append(
                f"class shares on the target moved away from the source's, towards {grown} ({100 * then:.0f} to "
                f"{100 * now:.0f} % of the pixels differ)"
            )
    key = "information maximisation"
    if before.target.scores.get(key, 0) - after.target.scores.get(key, 0) > LESS_INFORMED:
        found.append("its predictions on the target tell fewer classes apart (information maximisation fell)")
    return found


def _for(after: ModelSignals, before: ModelSignals) -> list[str]:
    def change(score: str) -> float:
        return after.target.scores.get(score, 0.0) - before.target.scores.get(score, 0.0)

    found = []
    if change("information maximisation") > 0.02:
        found.append("it is surer and tells more classes apart than source-only")
    if change("class-ratio divergence") < -0.005:
        found.append("its class shares are nearer to the source's")
    return found
