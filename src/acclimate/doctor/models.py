"""Findings in a trained model, from its predictions on a few source and target pictures."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.doctor.findings import Finding, listed
from acclimate.doctor.signals import ModelSignals, SourceSignals

WEAK, VERY_WEAK = 0.40, 0.25
"""mIoU on the source below which nothing good can be expected on the target."""
OCCURS = 0.002
"""Share of the source's labelled pixels from which on a class should be predicted."""
NEVER = 0.00002
"""Share of the predicted pixels below which a class counts as never predicted."""
SWALLOWS = 0.85
"""Share of the target's pixels, in one class, that leaves the others nothing."""
GROWN = 0.45
"""By how much a class may be larger on the target than among the source's labels."""
ALIKE = 0.97
"""Share of the pixels on which maps of any two frames agree when the picture does not matter."""
FEW_LABELS = 0.01
"""Pseudo-labels on less than this share of the pixels, or on all but this, teach little."""
SEES = 0.08
"""By how much more of the source a model gets right than one who sees no picture."""
PLACES_TELL = 0.85
"""Where one who sees no picture is right more often than this, the source's pictures are too much alike to compare."""
MUCH_MORE_ALIKE = 0.35
"""Predicted maps differ by less than this share of what label maps differ by when the picture matters little."""


def findings_in_model(name: str, signals: ModelSignals, *, same_frames: bool = False) -> Iterator[Finding]:
    """What is wrong with one model.

    Args:
        name: of the model, for the words.
        signals: what was measured.
        same_frames: whether the target's frames are alike themselves, so that like maps say nothing.
    """
    source, target = signals.source, signals.target
    if source is not None and source.miou < WEAK:
        yield _weak(name, source)
    largest, share = max(target.predicted.items(), key=lambda item: item[1])
    expected = source.labels.get(largest, 0.0) if source else 0.0
    swallowed = share > SWALLOWS or (source is not None and share > expected + GROWN)
    if swallowed and share - expected > 0.2:
        before = f", against {100 * expected:.0f} % of the source's labels" if source else ""
        yield Finding(
            kind="one class swallows",
            severity="alarm",
            words=f"{name} calls {100 * share:.0f} % of the target {largest}{before}",
            advice="do not use this model; lower the weights of the adapting losses and train the source model longer "
            "before adapting",
        )
    elif not same_frames and _ignores(target.similarity, source.similarity if source else None):
        yield Finding(
            kind="picture ignored",
            severity="alarm",
            words=f"{name} predicts nearly the same map for every target frame: any two agree on "
            f"{100 * target.similarity:.0f} % of the pixels"
            + (f", where the source's label maps agree on {100 * source.similarity:.0f} %" if source else ""),
            advice="look whether every label lies beside its own picture (`acclimate check`), then train longer or "
            "with a higher learning rate",
        )
    elif (
        not same_frames
        and source is not None
        and source.blind is not None
        and source.blind <= PLACES_TELL
        and source.accuracy < source.blind + SEES
    ):
        yield Finding(
            kind="picture ignored",
            severity="alarm",
            words=f"{name} gets {100 * source.accuracy:.0f} % of the source's pixels right, hardly more than the "
            f"{100 * source.blind:.0f} % of one who sees no picture and says what is most common at each place",
            advice="look whether every label lies beside its own picture (`acclimate check`), then train longer",
        )
    if source is not None:
        yield from _never_predicted(name, source, target.predicted)


def findings_in_labels(kept: float) -> Iterator[Finding]:
    """What is wrong with a set of pseudo-labels; ``kept`` is the share of all pixels that has one."""
    if kept < FEW_LABELS:
        yield Finding(
            kind="nothing kept",
            severity="warning",
            words=f"the pseudo-labels cover {100 * kept:.2f} % of the pixels, so that they teach next to nothing",
            advice="lower the floor or raise the portion of the selection, or train the model that labels longer",
        )
    elif kept > 1 - FEW_LABELS:
        yield Finding(
            kind="everything kept",
            severity="warning",
            words=f"the pseudo-labels cover {100 * kept:.1f} % of the pixels, right or wrong",
            advice="raise the floor or lower the portion of the selection, so that doubtful pixels are left out",
        )


def _weak(name: str, source: SourceSignals) -> Finding:
    on = f"held-out pictures ({source.split})" if source.held_out else "of the very pictures it was trained on"
    zero = [label for label, iou in source.iou.items() if iou is not None and iou < 0.01]
    missing = f"; {listed(zero)} at 0" if zero else ""
    return Finding(
        kind="weak source model",
        severity="alarm" if source.miou < VERY_WEAK else "warning",
        words=f"{name} reaches only {100 * source.miou:.0f} % mIoU on the source itself, on {source.images} "
        f"{on}{missing}",
        advice="adaptation cannot mend this: train longer (training.steps), with a pretrained network or a higher "
        "learning rate, and check the labels (`acclimate check`) before looking at the target",
    )


def _ignores(predicted: float, labels: float | None) -> bool:
    if predicted > ALIKE:
        return labels is None or labels < ALIKE
    return labels is not None and predicted > 0.85 and 1 - predicted < MUCH_MORE_ALIKE * (1 - labels)


def _never_predicted(name: str, source: SourceSignals, target: dict[str, float]) -> Iterator[Finding]:
    common = [label for label, share in source.labels.items() if share >= OCCURS]
    nowhere = [label for label in common if source.predicted.get(label, 0) < NEVER and target.get(label, 0) < NEVER]
    on_source = [label for label in common if label not in nowhere and target.get(label, 0) < NEVER]
    if nowhere:
        shares = listed([f"{label} ({100 * source.labels[label]:.1f} % of the source's labels)" for label in nowhere])
        yield Finding(
            kind="class never predicted",
            severity="warning",
            words=f"{name} never predicts {shares}, neither on the source nor on the target",
            advice="train longer, or let the source be sampled for rare classes (training.source_sampling)",
        )
    if on_source:
        yield Finding(
            kind="class never predicted",
            severity="note",
            words=f"{name} never predicts {listed(on_source)} on the target, though it does on the source",
            advice="right if the target shows none; else the classes look too different there, or adaptation has "
            "driven them out",
        )
