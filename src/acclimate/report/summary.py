"""One paragraph that says what a comparison shows, in words a reader can check against the table."""

from __future__ import annotations

from acclimate.evaluation.scores import share_of_gap_closed
from acclimate.report.tables import Comparison, Line


def paragraph(comparison: Comparison) -> str:
    """Best adapting model, its gain, the share of the gap to the oracle it closed, and how far to trust it."""
    best = best_adapted(comparison)
    if best is None:
        return _without_adaptation(comparison)
    source_only, oracle = comparison.named(best.source_only), comparison.named(best.oracle)
    candidates = sum(line.role == "adapted" for line in comparison.ours)
    sentences = [_best(best, source_only, candidates, comparison.metric)]
    if source_only and oracle and _mean(best) > _mean(source_only):
        share = share_of_gap_closed(_mean(best), source_only=_mean(source_only), oracle=_mean(oracle))
        top = f"the oracle, trained with the target's labels ({_points(_mean(oracle))} %)"
        if share is None:
            sentences.append(f"The oracle ({_points(_mean(oracle))} %) is not above source-only: the gap says nothing.")
        elif share > 1:
            sentences.append(f"That is above {top}.")
        else:
            sentences.append(f"That closes {100 * share:.0f} % of the gap to {top}.")
    control = comparison.line("control")
    if control and source_only:
        change = _mean(best) - _mean(control)
        sentences.append(
            f"Letting batch norm see the target without any loss on it ({control.name}) gives "
            f"{_points(_mean(control))} %; the method itself {'adds' if change > 0 else 'loses'} "
            f"{_points(abs(change))} points."
        )
    sentences.append(_trust(best, comparison))
    return " ".join(sentences)


def best_adapted(comparison: Comparison) -> Line | None:
    """Our adapted model of the highest mIoU; source-only, oracle and the AdaBN control do not compete."""
    adapted = [line for line in comparison.ours if line.role == "adapted"]
    return max(adapted, key=_mean, default=None)


def _best(best: Line, source_only: Line | None, candidates: int, metric: str) -> str:
    reached = f"reaches {_points(_mean(best))} % {metric}"
    who = best.name if candidates == 1 else f"The best of {candidates} adapting models, {best.name},"
    if source_only is None:
        return f"{who} {reached}; without a source-only row there is nothing to measure its gain against."
    difference = _mean(best) - _mean(source_only)
    if difference > 0:
        return f"{who} {reached}, {_points(difference)} points above source-only ({_points(_mean(source_only))} %)."
    return (
        f"{who} {reached}: adaptation did not help here, source-only alone has {_points(_mean(source_only))} % "
        f"({_points(-difference)} points more)."
    )


def _trust(best: Line, comparison: Comparison) -> str:
    if comparison.most_seeds < 2:
        return "One seed only: a difference of a point or two may be chance."
    if best.gain and best.gain.deviation is not None and abs(best.gain.mean) < best.gain.deviation:
        return f"Over {best.gain.count} seeds that difference is smaller than its own deviation."
    if best.miou and best.miou.deviation is not None:
        return f"Means over {best.miou.count} seeds; the best model varies by ± {_points(best.miou.deviation)} points."
    return "The best model was run with one seed only."


def _without_adaptation(comparison: Comparison) -> str:
    parts = [
        f"{line.name} reaches {_points(_mean(line))} % {comparison.metric}" for line in comparison.ours if line.miou
    ]
    if not parts:
        return "No model of this run has been evaluated yet."
    return "No adapting model was evaluated: " + ", ".join(parts) + "."


def _mean(line: Line) -> float:
    assert line.miou is not None
    return line.miou.mean


def _points(value: float) -> str:
    return f"{100 * value:.1f}"
