"""Findings in the two sets, before an hour is spent on them."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.doctor.findings import Finding
from acclimate.doctor.signals import SetSignals

FAR_COLOURS = 50.0
"""Grey levels between the domains' colours beyond which a colour match comes first."""
STRETCHED = 1.25
"""Factor by which one domain may be stretched against the other before shapes no longer fit."""
ALIKE = 3.0
"""Grey levels: frames that differ by less show the same."""


def findings_in_sets(signals: SetSignals) -> Iterator[Finding]:
    """What is wrong with the two sets, or with how they are brought to size."""
    distance = sum(signals.colour_distance) / 3
    if distance > FAR_COLOURS and not signals.translated:
        yield Finding(
            kind="colours differ",
            severity="warning",
            words=f"the colours of source and target are {distance:.0f} grey levels apart on average "
            f"(more than {FAR_COLOURS:.0f}), as day and night are",
            advice="match the colours first: a stage `translate: histogram`, and `source: THAT STAGE` in the stages "
            "that train; it takes minutes",
        )
    relative = signals.stretches[0] / signals.stretches[1]
    if max(relative, 1 / relative) > STRETCHED:
        source, target = signals.aspects
        yield Finding(
            kind="aspect ratios differ",
            severity="warning",
            words=f"pictures of the source are {source:.2f} times as wide as high, the target's {target:.2f} times, "
            f"and training brings both to sizes at which things in the source look {relative:.2f} times as wide as in "
            "the target",
            advice="give source_transform and target_transform sizes of their pictures' own shape, then the same crop",
        )
    if signals.source_rim:
        written = ", ".join(f"{side}: {share:g}" for side, share in signals.source_rim.sides().items())
        yield Finding(
            kind="source rim without labels",
            severity="warning",
            words=f"no label of the source has a class in {signals.source_rim.words()}, as where a camera car's own "
            "bonnet is void: the network learns nothing of what the target shows there, often the road",
            advice=f"leave that margin out, in the recipe: `source_cut: {{{written}}}`, and give source_transform a "
            "size of the shape that remains",
        )
    if signals.target_difference is not None and signals.target_difference < ALIKE:
        yield Finding(
            kind="target frames alike",
            severity="warning",
            words=f"the target's frames are nearly all the same: they differ by {signals.target_difference:.1f} grey "
            f"levels (less than {ALIKE:.0f}) from one to the next",
            advice="give frames of other places and times; from a standing camera a few are enough, and no score on "
            "them says anything about other views",
        )
