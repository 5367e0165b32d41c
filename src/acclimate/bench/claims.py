"""What the papers of this field say of one method against another, checked on rows of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from acclimate.evaluation.scores import Spread, Summary, spread

Decision = Literal["held", "not held", "not decidable", "not measured"]
Measure = Literal["miou", "small classes", "pseudo-label error"]

SMALL_CLASSES = frozenset(
    {"pole", "traffic light", "traffic sign", "sign", "person", "pedestrian", "rider", "motorcycle", "bicycle"}
    | {"bicyclist"}
)
"""Classes of street scenes that cover few pixels; the claims on small classes are about their mean IoU."""


@dataclass(frozen=True)
class Claim:
    """One statement: the first of each pair of rows is better than the second.

    Attributes:
        text, source: the statement, and who makes it.
        pairs: names of rows, (better, worse); every pair that is there is checked.
        measure: what is compared; a pseudo-label error is better when it is lower.
    """

    text: str
    source: str
    pairs: tuple[tuple[str, str], ...]
    measure: Measure = "miou"


CLAIMS: tuple[Claim, ...] = (
    Claim("MinEnt > source-only", "ADVENT, Table 1", (("minent", "source-only"),)),
    Claim("AdvEnt > MinEnt", "ADVENT, Table 1", (("advent", "minent"),)),
    Claim("AdvEnt > AdaptSegNet", "ADVENT, Table 1", (("advent", "adaptsegnet"),)),
    Claim("ensemble > each member", "ADVENT, Table 1", (("ensemble", "advent"), ("ensemble", "minent"))),
    Claim("entropy range helps MinEnt", "ADVENT, section 4.2", (("minent-range", "minent"),)),
    Claim(
        "class-ratio prior helps",
        "ADVENT, section 4.2",
        (("minent-prior", "minent"), ("advent-prior", "advent"), ("adaptsegnet-prior", "adaptsegnet")),
    ),
    Claim(
        "SSL > base", "ESL, Table 1", (("advent-ssl", "advent"), ("bdl-ssl", "bdl"), ("advent-ssl", "advent-longer"))
    ),
    Claim(
        "ESL > SSL",
        "ESL, Table 1",
        (
            ("advent-esl", "advent-ssl"),
            ("bdl-esl", "bdl-ssl"),
            ("step-1-esl", "step-1-ssl"),
            ("step-2-esl", "step-2-ssl"),
        ),
    ),
    Claim(
        "entropy errs less than softmax at the same kept share",
        "ESL, Table 4 and Figure 3",
        (("entropy", "softmax"),),
        "pseudo-label error",
    ),
    Claim("CBST > source-only", "MLSL, Table 3", (("cbst", "source-only"),)),
    Claim("SISC > single inference", "MLSL, Table 1", (("sisc", "cbst"),)),
    Claim(
        "PWL helps small classes",
        "MLSL, Table 1",
        (("sisc-pwl", "sisc"), ("cbst-pwl", "cbst")),
        "small classes",
    ),
    Claim(
        "fine-grained > binary adversary",
        "Zhao, Tian and Li 2022, Table 3",
        (("fine-grained", "feature-binary"), ("fine-grained", "adaptsegnet")),
    ),
    Claim(
        "entropy helps the fine-grained adversary",
        "Zhao, Tian and Li 2022",
        (("fine-grained-entropy", "fine-grained"),),
    ),
    Claim(
        "translation helps",
        "BDL, Table 1",
        (
            ("on-translated", "source-only"),
            ("bdl", "adaptsegnet"),
            ("advent-translated", "advent"),
            ("adapt-1", "source-only"),
        ),
    ),
)


@dataclass(frozen=True)
class Verdict:
    """A claim on one pair of rows.

    Attributes:
        claim: which.
        where: the recipe whose rows these are; empty where there are none.
        better, worse: rows; the claim is that the first is the better one.
        difference: how much better, a fraction, over the seeds both have; None: not measured.
        decision: ``not decidable`` where the difference is within its deviation over seeds, or there is one seed.
    """

    claim: Claim
    where: str = ""
    better: str = ""
    worse: str = ""
    difference: Spread | None = None
    decision: Decision = "not measured"


def decide(difference: Spread | None) -> Decision:
    """Held or not where the mean difference is larger than its sample deviation over at least two seeds."""
    if difference is None:
        return "not measured"
    if difference.deviation is None or abs(difference.mean) <= difference.deviation:
        return "not decidable"
    return "held" if difference.mean > 0 else "not held"


def check_claims(
    recipes: Mapping[str, Sequence[Summary]],
    *,
    errors: Mapping[str, Mapping[int, tuple[float, float]]] | None = None,
    claims: Sequence[Claim] = CLAIMS,
) -> list[Verdict]:
    """Every claim on every recipe that has both rows of a pair; one line saying so where none has.

    Rows are compared within a recipe: only there are the budget and the start the same.

    Args:
        recipes: name -> its rows by model.
        errors: label stage -> seed -> mean error of entropy's and of softmax's pseudo-labels at the same kept shares.
        claims: which.
    """
    verdicts: list[Verdict] = []
    for claim in claims:
        found: list[Verdict] = []
        if claim.measure == "pseudo-label error":
            found = [_on_errors(claim, where, by_seed) for where, by_seed in (errors or {}).items()]
        else:
            for where, summaries in recipes.items():
                by_name = {summary.name: summary for summary in summaries}
                for pair in claim.pairs:
                    better, worse = (by_name.get(name) or _last_round(name, summaries) for name in pair)
                    if better is not None and worse is not None:
                        difference = _difference(better, worse, claim.measure)
                        found.append(Verdict(claim, where, better.name, worse.name, difference, decide(difference)))
        verdicts += _without_repetition(found) or [Verdict(claim)]
    return verdicts


def _last_round(name: str, summaries: Sequence[Summary]) -> Summary | None:
    """The row ``NAME-N`` of the highest N: what rounds of self-training end with."""
    rounds = {
        int(number): summary
        for summary in summaries
        if (number := summary.name.removeprefix(f"{name}-")) != summary.name and number.isdecimal()
    }
    return rounds[max(rounds)] if rounds else None


def _difference(better: Summary, worse: Summary, measure: Measure) -> Spread | None:
    """Over the seeds both have, paired."""
    theirs = {row.seed: row for row in worse.rows}
    pairs = [(row, theirs[row.seed]) for row in better.rows if row.seed in theirs]
    if measure == "miou":
        return spread([a.miou - b.miou for a, b in pairs])
    both = [(small_class_iou(a.iou), small_class_iou(b.iou)) for a, b in pairs]
    return spread([a - b if a is not None and b is not None else None for a, b in both])


def small_class_iou(iou: Mapping[str, float | None]) -> float | None:
    """The mean IoU over those of :data:`SMALL_CLASSES` that are scored; None where none is."""
    mean = spread([value for name, value in iou.items() if name.casefold() in SMALL_CLASSES])
    return mean.mean if mean else None


def _on_errors(claim: Claim, where: str, by_seed: Mapping[int, tuple[float, float]]) -> Verdict:
    difference = spread([softmax - entropy for entropy, softmax in by_seed.values()])
    better, worse = claim.pairs[0]
    return Verdict(claim, where, better, worse, difference, decide(difference))


def _without_repetition(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Recipes that share their stages give the same rows; those are one piece of evidence, not two."""
    unique: dict[tuple[object, ...], Verdict] = {}
    for verdict in verdicts:
        unique.setdefault((verdict.better, verdict.worse, verdict.difference), verdict)
    return list(unique.values())


def mean_error_at_same_share(
    entropy: Sequence[tuple[float, float]], softmax: Sequence[tuple[float, float]], *, points: int = 20
) -> tuple[float, float] | None:
    """Mean errors of two curves over the kept shares both reach, read off by linear interpolation.

    Args:
        entropy, softmax: (kept share, error share), in any order.
        points: at how many evenly spaced kept shares the curves are read.

    Returns:
        (entropy's, softmax's); None where the curves share no range of kept shares.
    """
    curves = [sorted(curve) for curve in (entropy, softmax)]
    if any(len(curve) < 2 for curve in curves):
        return None
    low, high = max(curve[0][0] for curve in curves), min(curve[-1][0] for curve in curves)
    if high <= low:
        return None
    shares = [low + (high - low) * position / (points - 1) for position in range(points)]
    first, second = (sum(_read_off(curve, share) for share in shares) / points for curve in curves)
    return first, second


def _read_off(curve: Sequence[tuple[float, float]], share: float) -> float:
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 <= share <= x1:
            return y0 if x1 == x0 else y0 + (y1 - y0) * (share - x0) / (x1 - x0)
    return curve[-1][1]
