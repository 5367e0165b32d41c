"""What a suite's table and page show besides the comparison: costs, controls, claims, scores without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from acclimate.bench.claims import Claim, Verdict, check_claims
from acclimate.bench.suite_runs import SuiteRun, curve_errors, pseudo_label_shares
from acclimate.evaluation.label_free import HIGHER_IS_BETTER, rank_correlation
from acclimate.evaluation.scores import Row, Spread, Summary, spread, summarise
from acclimate.report.naming import origins_of, renamed_rows, shown_names
from acclimate.report.tables import Comparison, Line, comparisons


@dataclass(frozen=True)
class SuiteLine:
    """One model of the suite; shares are fractions.

    Attributes:
        line: its scores, as in every other table.
        over_control: mIoU minus that of the AdaBN control.
        gap_closed: share of the way from source-only to the oracle.
        relative_time: training time divided by source-only's.
        kept, wrong: of the pseudo-labels it was trained on: share of all pixels kept, share wrong of the kept ones.
        label_free: scores without labels.
    """

    line: Line
    over_control: Spread | None = None
    gap_closed: float | None = None
    relative_time: float | None = None
    kept: Spread | None = None
    wrong: Spread | None = None
    label_free: dict[str, Spread | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Correlation:
    """How a score without labels follows the true mIoU over rows: Spearman's, turned so that 1 is ideal."""

    score: str
    value: float | None
    rows: int
    without_ends: float | None
    """The same without source-only and the oracle, which any score can tell from the rest."""


@dataclass(frozen=True)
class SuiteTable:
    """One evaluated set and protocol."""

    comparison: Comparison
    lines: tuple[SuiteLine, ...]
    correlations: tuple[Correlation, ...]


@dataclass(frozen=True)
class Setting:
    """One value of a key that a suite varies."""

    key: str
    value: str
    row: str
    miou: Spread
    seeds: int


@dataclass(frozen=True)
class SuiteView:
    """A suite as far as it is finished.

    Attributes:
        runs: by entry.
        rows: all of them, each once, under the name it is shown by.
        missing, failed: jobs without results, and what went wrong.
        hours: what all stages took together, those that several recipes share counted once.
    """

    name: str
    about: str
    runs: tuple[SuiteRun, ...]
    rows: list[Row]
    tables: tuple[SuiteTable, ...]
    verdicts: tuple[Verdict, ...]
    settings: tuple[Setting, ...]
    missing: list[str]
    failed: list[str]
    jobs: int
    hours: float

    def by_claim(self) -> list[tuple[Claim, list[Verdict]]]:
        """The verdicts on every claim, in order."""
        return [(claim, list(own)) for claim, own in groupby(self.verdicts, key=lambda verdict: verdict.claim)]

    def measured(self) -> dict[str, Any]:
        """Models, settings, claims and correlations as JSON."""
        return {
            "hours": self.hours,
            "settings": [asdict(setting) for setting in self.settings],
            "models": [_content(line) for table in self.tables for line in table.lines],
            "claims": [
                {**asdict(verdict), "claim": verdict.claim.text, "source": verdict.claim.source}
                for verdict in self.verdicts
            ],
            "rank_correlation": [
                asdict(correlation) for table in self.tables for correlation in table.correlations if correlation.rows
            ],
        }


def suite_view(
    runs: Sequence[SuiteRun],
    *,
    name: str,
    about: str = "",
    missing: Sequence[str] = (),
    failed: Sequence[str] = (),
    jobs: int = 0,
) -> SuiteView:
    """Everything that table and page show of the finished part of a suite."""
    read = [part.run for part in runs]
    names = shown_names(read, first_is_plain=True)
    origins = origins_of(names)
    rows = renamed_rows(read, names)
    published = list({row.source + row.name: row for run in read for row in run.published}.values())
    pseudo = pseudo_label_shares(runs, names)
    controls = {
        names[position, row.name]: names[position, control.name]
        for position, run in enumerate(read)
        for control in [next((row for row in run.rows if row.method == "adabn"), None)]
        if control is not None
        for row in run.rows
    }
    tables = []
    for comparison in comparisons(rows, published, origins=origins):
        own = [row for row in rows if (row.data, row.split, row.protocol) == _place(comparison)]
        tables.append(_suite_table(comparison, own, controls, pseudo))
    return SuiteView(
        name=name,
        about=about,
        runs=tuple(runs),
        rows=rows,
        tables=tuple(tables),
        verdicts=tuple(_verdicts(runs)),
        settings=tuple(_settings(runs)),
        missing=list(missing),
        failed=list(failed),
        jobs=jobs,
        hours=_hours(runs),
    )


def _hours(runs: Sequence[SuiteRun]) -> float:
    stages = [stage for part in runs for run in part.seeds.values() for stage in run.stages]
    # in a run's folder a stage is a link into the store
    return sum({stage.folder.resolve(): stage.seconds or 0.0 for stage in stages}.values()) / 3600


def _content(model: SuiteLine) -> dict[str, Any]:
    """One model as JSON: what the tables show, as fractions, seconds and megabytes."""
    line = model.line
    spreads = {
        "miou": line.miou,
        "gain": line.gain,
        "over_control": model.over_control,
        "train_seconds": line.train_seconds,
        "peak_memory_mb": line.peak_memory_mb,
        "kept": model.kept,
        "wrong": model.wrong,
    }
    return {
        "name": line.name,
        "role": line.role,
        "seeds": list(line.seeds),
        "source_only": line.source_only,
        "gap_closed": model.gap_closed,
        "relative_time": model.relative_time,
        **{name: asdict(value) if value else None for name, value in spreads.items()},
    }


def _place(comparison: Comparison) -> tuple[str, str, str]:
    return comparison.data, comparison.split, comparison.protocol


def _suite_table(
    comparison: Comparison,
    rows: Sequence[Row],
    controls: Mapping[str, str],
    pseudo: Mapping[str, tuple[Spread | None, Spread | None]],
) -> SuiteTable:
    summaries = {summary.name: summary for summary in summarise(rows)}
    any_control = comparison.line("control")
    lines = []
    for line in comparison.ours:
        summary = summaries[line.name]
        base = comparison.named(line.source_only)
        top = comparison.named(line.oracle)
        control = summaries.get(controls.get(line.name, any_control.name if any_control else ""))
        kept, wrong = pseudo.get(line.name, (None, None))
        lines.append(
            SuiteLine(
                line=line,
                over_control=summary.difference(control) if control and control is not summary else None,
                gap_closed=summary.gap_closed(summaries[base.name], summaries[top.name]) if base and top else None,
                relative_time=_ratio(line.train_seconds, base.train_seconds if base else None),
                kept=kept,
                wrong=wrong,
                label_free={
                    score: spread([row.label_free.get(score) for row in summary.rows]) for score in HIGHER_IS_BETTER
                },
            )
        )
    ends = {line.name for line in comparison.ours if line.role in ("source-only", "oracle")}
    return SuiteTable(comparison, tuple(lines), tuple(_correlations(rows, ends)))


def _ratio(value: Spread | None, base: Spread | None) -> float | None:
    return value.mean / base.mean if value and base and base.mean > 0 else None


def _correlations(rows: Sequence[Row], ends: set[str]) -> list[Correlation]:
    return [
        Correlation(
            score,
            _correlation(score, rows),
            sum(score in row.label_free for row in rows),
            _correlation(score, [row for row in rows if row.name not in ends]),
        )
        for score in HIGHER_IS_BETTER
    ]


def _correlation(score: str, rows: Sequence[Row]) -> float | None:
    known = [row for row in rows if score in row.label_free]
    value = rank_correlation([row.label_free[score] for row in known], [row.miou for row in known])
    return value if value is None or HIGHER_IS_BETTER[score] else -value


def _verdicts(runs: Sequence[SuiteRun]) -> list[Verdict]:
    recipes: dict[str, list[Summary]] = {}
    for part in runs:
        if part.varied is not None:
            continue  # the papers speak of their own settings, not of every one that a suite tries
        places = list(dict.fromkeys((row.data, row.split, row.protocol) for row in part.run.rows))
        for place in places:
            own = [row for row in part.run.rows if (row.data, row.split, row.protocol) == place]
            recipes[part.name] = summarise(own)
    return check_claims(recipes, errors=curve_errors(runs))


def _settings(runs: Sequence[SuiteRun]) -> list[Setting]:
    found = []
    for part in runs:
        if part.varied is not None:
            key, value = part.varied
            for summary in summarise(part.run.rows):
                found.append(Setting(key, str(value), summary.name, summary.miou, len(summary.rows)))
    return found
