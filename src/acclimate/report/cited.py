"""Rows of systems that the papers only cite: what else was measured on the same benchmark."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib import resources

from acclimate.evaluation.scores import spread
from acclimate.io.yaml import load_yaml
from acclimate.report.published import Published, published_rows
from acclimate.report.tables import Comparison, Line


@dataclass(frozen=True)
class Cited:
    """A system as a paper cites it; scores are fractions.

    Attributes:
        row: its name, scores, and in ``source`` the citing paper and table.
        network: where the paper prints it, else empty.
        oracle: mIoU of that system's own upper bound.
        note: what is odd about the printed numbers.
    """

    row: Published
    network: str = ""
    oracle: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Benchmark:
    """Cited systems on one pair of data sets: kinds of source and target, and the protocol of the scores."""

    name: str
    source: str
    target: str
    protocol: str
    rows: tuple[Cited, ...]


def benchmarks() -> list[Benchmark]:
    """All benchmarks with cited rows."""
    folder = resources.files("acclimate") / "published"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda entry: entry.name)
    return [_benchmark(entry.name.removesuffix(".yaml"), entry.read_text(encoding="utf-8")) for entry in files]


def _benchmark(name: str, text: str) -> Benchmark:
    content = load_yaml(text)
    entries = content["rows"]
    rows = published_rows([{**entry, "source": entry["paper"]} for entry in entries], where=f"{name}.yaml")
    cited = tuple(
        Cited(
            row,
            network=str(entry.get("network", "")),
            oracle=entry["oracle"] / 100 if "oracle" in entry else None,
            note=str(entry.get("note", "")),
        )
        for row, entry in zip(rows, entries, strict=True)
    )
    return Benchmark(name, content["source"], content["target"], content["protocol"], cited)


def with_cited(comparison: Comparison, sources: Collection[str]) -> Comparison:
    """The comparison with the cited rows of the same protocol, adapted from one of the ``sources``, below ours.

    Args:
        comparison: ours and the published rows beside them.
        sources: kinds of the source sets of the runs compared.
    """
    lines = tuple(
        _line(cited, comparison)
        for benchmark in benchmarks()
        if benchmark.protocol == comparison.protocol and benchmark.source in sources
        for cited in benchmark.rows
        if cited.row.fits(comparison.classes)
    )
    names = dict.fromkeys(name for line in lines for name in line.subsets)
    return replace(
        comparison, lines=comparison.lines + lines, subsets=tuple(dict.fromkeys((*comparison.subsets, *names)))
    )


def _line(cited: Cited, comparison: Comparison) -> Line:
    row = cited.row
    iou = row.by_class(comparison.classes)
    gap = row.miou - cited.oracle if row.miou is not None and cited.oracle is not None else None
    described = ", ".join(part for part in (row.source, cited.network) if part)
    return Line(
        name=row.name,
        kind="cited",
        role="adapted",
        miou=spread([row.miou]),
        gap=spread([gap]),
        iou={name: spread([iou.get(name)]) for name in comparison.classes},
        iou_gain=dict.fromkeys(comparison.classes),
        subsets={name: spread([value]) for name, value in row.subsets.items()},
        source=f"{described}; {cited.note}" if cited.note else described,
    )
