"""The comparison of models: one data structure, shown on a terminal and in the HTML page, and its number formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from acclimate.evaluation.scores import (
    ORACLE,
    SOURCE_ONLY,
    Row,
    Spread,
    Summary,
    by_place,
    find_role,
    spread,
    summarise,
)
from acclimate.report.published import Published

Role = Literal["source-only", "control", "adapted", "oracle"]


@dataclass(frozen=True)
class Origin:
    """Where a model of several runs comes from: its own name, and the names its run's two ends are shown by."""

    name: str
    source_only: str | None = None
    oracle: str | None = None


@dataclass(frozen=True)
class Line:
    """One model, ours or published, in a comparison. Scores are fractions; None is unknown or not run.

    Attributes:
        kind: ``ours``; ``published``; ``not run``: a published row's counterpart of ours that has no result yet;
            ``cited``: another system on the same benchmark.
        role: ``source-only`` and ``oracle`` are the two ends the others are measured against; ``control`` is AdaBN,
            what looking at the target is worth without any loss on it.
        gain: mIoU minus source-only's, and ``iou_gain`` the same by class; published rows against the published one.
        gap: mIoU minus the oracle's.
        source_only, oracle: names of the lines that gain and gap are measured against.
        seed_mious: mIoU of each seed.
        chosen_steps: where snapshots were chosen by a score without labels, the step of each seed's.
        source: of a published row, paper and table.
    """

    name: str
    kind: Literal["ours", "published", "not run", "cited"]
    role: Role
    miou: Spread | None = None
    gain: Spread | None = None
    gap: Spread | None = None
    iou: dict[str, Spread | None] = field(default_factory=dict)
    iou_gain: dict[str, Spread | None] = field(default_factory=dict)
    subsets: dict[str, Spread | None] = field(default_factory=dict)
    seed_mious: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    train_seconds: Spread | None = None
    images_per_second: Spread | None = None
    peak_memory_mb: Spread | None = None
    chosen_steps: tuple[int, ...] = ()
    source: str = ""
    source_only: str | None = None
    oracle: str | None = None


@dataclass(frozen=True)
class Comparison:
    """All models scored on one set by one protocol."""

    data: str
    split: str
    protocol: str
    images: int
    classes: tuple[str, ...]
    absent: tuple[str, ...]
    subsets: tuple[str, ...]
    lines: tuple[Line, ...]
    metric: str = "mIoU"
    """What is averaged over classes: mIoU of IoUs, or mAP of APs."""

    @property
    def class_metric(self) -> str:
        """What it is for one class: IoU or AP."""
        return self.metric.removeprefix("m")

    @property
    def ours(self) -> list[Line]:
        return [line for line in self.lines if line.kind == "ours"]

    def line(self, role: str) -> Line | None:
        """Our first line of that role."""
        return next((line for line in self.ours if line.role == role), None)

    def named(self, name: str | None) -> Line | None:
        """Our line of that name."""
        return next((line for line in self.ours if line.name == name), None)

    @property
    def most_seeds(self) -> int:
        return max((len(line.seeds) for line in self.ours), default=0)

    def caption(self) -> str:
        """What the numbers are, in words."""
        if not self.ours:
            return "Nothing of ours has been evaluated yet; the published numbers are as printed."
        averaged = len(self.classes) - len(self.absent)
        parts = [
            f"{self.metric} in % over {averaged} class{'' if averaged == 1 else 'es'}",
            f"{self.data}, split {self.split}, {self.images} images, protocol {self.protocol}",
        ]
        if self.absent:
            parts[0] += f" (without ground truth, left out: {', '.join(self.absent)})"
        if self.most_seeds > 1:
            parts.append(f"mean ± sample deviation over up to {self.most_seeds} seeds")
        return "; ".join(parts) + "."


def comparisons(
    rows: Sequence[Row],
    published: Sequence[Published] = (),
    *,
    classes: Sequence[str] = (),
    origins: Mapping[str, Origin] | None = None,
) -> list[Comparison]:
    """One comparison per evaluated set and protocol, in order of first appearance.

    Published rows stand right after ours of the same name; where ours has no such row, an empty one takes its place.
    They join the comparisons whose classes their per-class numbers are about.

    Args:
        rows: ours, of one run or several.
        published: numbers of papers.
        classes: what the published numbers are about when there are no rows of ours yet.
        origins: for rows of several runs, where each name comes from: every model is measured against the ends of its
            own run.
    """
    if groups := by_place(rows):
        return [_comparison(group, published, origins or {}) for group in groups]
    fitting = [row for row in published if row.fits(classes)]
    if not fitting:
        return []
    lines = tuple(_lines([], fitting, classes, {}))
    return [Comparison("", "", "", 0, tuple(classes), (), _subset_names([], fitting), lines)]


def _comparison(rows: list[Row], published: Sequence[Published], origins: Mapping[str, Origin]) -> Comparison:
    first = rows[0]
    classes = list(dict.fromkeys(name for row in rows for name in row.iou))
    fitting = [row for row in published if row.fits(classes)]
    return Comparison(
        data=first.data,
        split=first.split,
        protocol=first.protocol,
        images=first.images,
        classes=tuple(classes),
        absent=tuple(name for name in classes if all(row.iou.get(name) is None for row in rows)),
        subsets=_subset_names(rows, fitting),
        lines=tuple(_lines(summarise(rows), fitting, classes, origins)),
        metric=first.metric,
    )


def _subset_names(rows: Sequence[Row], published: Sequence[Published]) -> tuple[str, ...]:
    ours, printed = [name for row in rows for name in row.subsets], [name for row in published for name in row.subsets]
    return tuple(dict.fromkeys(ours + printed))


def _lines(
    summaries: Sequence[Summary],
    published: Sequence[Published],
    classes: Sequence[str],
    origins: Mapping[str, Origin],
) -> list[Line]:
    source_only, oracle = find_role(summaries, SOURCE_ONLY), find_role(summaries, ORACLE)
    references = {role: next((row for row in published if row.name == role), None) for role in (SOURCE_ONLY, ORACLE)}
    by_name = {summary.name: summary for summary in summaries}
    lines: list[Line] = []
    waiting = list(published)
    for summary in summaries:
        origin = origins.get(summary.name, Origin(summary.name))
        base = by_name.get(origin.source_only or "", source_only)
        top = by_name.get(origin.oracle or "", oracle)
        lines.append(_our_line(summary, base, top, classes))
        beside = [row for row in waiting if row.name == origin.name]
        lines += [_published_line(row, references, classes) for row in beside]
        waiting = [row for row in waiting if row.name != origin.name]
    for name in dict.fromkeys(row.name for row in waiting):
        lines.append(Line(name, "not run", _published_role(name)))
        lines += [_published_line(row, references, classes) for row in waiting if row.name == name]
    return lines


def _role(summary: Summary, source_only: Summary | None, oracle: Summary | None) -> Role:
    if source_only is not None and summary.name == source_only.name:
        return "source-only"
    if summary.method == ORACLE or (oracle is not None and summary.name == oracle.name):
        return "oracle"
    return "control" if summary.method == "adabn" else "adapted"


def _published_role(name: str) -> Role:
    return "source-only" if name == SOURCE_ONLY else "oracle" if name == ORACLE else "adapted"


def _our_line(summary: Summary, source_only: Summary | None, oracle: Summary | None, classes: Sequence[str]) -> Line:
    base = source_only if source_only is not None and source_only.name != summary.name else None
    top = oracle if oracle is not None and oracle.name != summary.name else None
    rows = summary.rows
    return Line(
        name=summary.name,
        kind="ours",
        role=_role(summary, source_only, oracle),
        miou=summary.miou,
        gain=summary.difference(base) if base else None,
        gap=summary.difference(top) if top else None,
        iou={name: summary.iou(name) for name in classes},
        iou_gain={name: summary.difference(base, name) if base else None for name in classes},
        subsets={name: summary.subset(name) for row in rows for name in row.subsets},
        seed_mious=tuple(row.miou for row in rows),
        seeds=tuple(row.seed for row in rows),
        chosen_steps=tuple(row.chosen_step for row in rows if row.chosen_step is not None),
        train_seconds=spread([row.train_seconds for row in rows]),
        images_per_second=spread([row.images_per_second for row in rows]),
        peak_memory_mb=spread([row.peak_memory_mb for row in rows]),
        source_only=base.name if base else None,
        oracle=top.name if top else None,
    )


def _published_line(row: Published, references: Mapping[str, Published | None], classes: Sequence[str]) -> Line:
    base, top = references[SOURCE_ONLY], references[ORACLE]
    iou = row.by_class(classes)
    base_iou = base.by_class(classes) if base and base.name != row.name else {}
    return Line(
        name=row.name,
        kind="published",
        role=_published_role(row.name),
        miou=spread([row.miou]),
        gain=_minus(row.miou, base.miou) if base and base.name != row.name else None,
        gap=_minus(row.miou, top.miou) if top and top.name != row.name else None,
        iou={name: spread([iou.get(name)]) for name in classes},
        iou_gain={name: _minus(iou.get(name), base_iou.get(name)) for name in classes},
        subsets={name: spread([value]) for name, value in row.subsets.items()},
        source=row.source,
    )


def _minus(a: float | None, b: float | None) -> Spread | None:
    return spread([a - b]) if a is not None and b is not None else None


def percent(value: Spread | None, *, digits: int = 1) -> str:
    """``41.2 ± 0.3`` for a fraction over seeds, ``41.2`` for a single one, empty for None."""
    return mean_and_deviation(value, scale=100, digits=digits)


def signed_points(value: Spread | None, *, digits: int = 1) -> str:
    """``+10.5 ± 0.8``: a difference of fractions in points; empty for None."""
    return mean_and_deviation(value, scale=100, digits=digits, sign="+")


def mean_and_deviation(
    value: Spread | None, *, scale: float = 1.0, digits: int = 1, sign: Literal["+", "-"] = "-"
) -> str:
    """``41.2 ± 0.3``, ``41.2`` for a single seed, empty for None.

    Args:
        value: over seeds.
        scale: what mean and deviation are multiplied by.
        digits: after the point, of both.
        sign: ``+``: means above zero have one too; ``-``: only those below.
    """
    if value is None:
        return ""
    # adding 0.0 turns the -0.0 that rounding leaves into 0.0
    mean = f"{round(scale * value.mean, digits) + 0.0:{sign}.{digits}f}"
    return mean if value.deviation is None else f"{mean} ± {scale * value.deviation:.{digits}f}"


def subset_title(name: str) -> str:
    """The heading of a mean over a subset: ``13`` alone would not say of what."""
    return f"mIoU, {name} classes" if name.isdigit() else name


def number(value: Spread | None, *, scale: float = 1.0) -> str:
    """A mean with three significant digits, times ``scale``; empty for None."""
    if value is None:
        return ""
    mean = value.mean * scale
    digits = 0 if abs(mean) >= 100 else 1 if abs(mean) >= 1 else 2
    return f"{mean:,.{digits}f}"
