"""What the doctor finds in a run that is on disk: in its data, its trainings, its models, and models side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from acclimate.doctor.findings import BASELINE, KINDS, Finding, Severity, worst_first
from acclimate.doctor.models import findings_in_labels, findings_in_model
from acclimate.doctor.sets import ALIKE, findings_in_sets
from acclimate.doctor.verdict import Verdict, by_labels, verdict
from acclimate.evaluation.scores import ORACLE, SOURCE_ONLY, Row, by_place
from acclimate.report.reading import Examined, Run


@dataclass(frozen=True)
class Told:
    """A finding and where it was made; ``seeds`` are those that have it, empty where a run has one seed alone."""

    where: str
    finding: Finding
    seeds: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        kind = KINDS.get(self.finding.kind)
        return kind.title if kind else self.finding.kind

    @property
    def severity(self) -> Severity:
        return self.finding.severity


@dataclass(frozen=True)
class Diagnosis:
    """All of a run's findings, worst first, and what can be said of its adapted models.

    Attributes:
        looked: whether the doctor looked at any model of the run.
        verdicts: one per adapted model of the first seed; empty where no source-only model stands beside them.
        baseline: the source-only model of the first seed.
    """

    told: tuple[Told, ...]
    verdicts: tuple[Verdict, ...]
    looked: bool
    baseline: Examined | None

    @property
    def final(self) -> Verdict | None:
        """Of the adapted model to speak of: the best by labels, where they decide, else the last."""
        known = [(judged.miou, judged) for judged in self.verdicts if judged.miou is not None]
        if known:
            return max(known, key=lambda each: each[0])[1]
        return self.verdicts[-1] if self.verdicts else None

    @property
    def safer(self) -> str | None:
        """What to use while nobody has looked at the pictures: the final model, or source-only where that is safer."""
        if self.final is None:
            return None
        return self.final.name if self.final.leaning == "adapted" else self.final.baseline


def diagnosis(run: Run, *, labels: bool = True) -> Diagnosis:
    """Puts together what the doctor finds; nothing is predicted anew.

    Args:
        run: on disk.
        labels: whether scores on labels of the target, where there are any, decide on the models.
    """
    on_source = run.recipe.get("evaluation") is not None and run.recipe["evaluation"] == run.recipe.get("source")
    scored = by_place(run.rows) if labels and not on_source else []
    found: dict[tuple[str, str, str], tuple[Finding, list[int]]] = {}

    def tell(where: str, finding: Finding, seed: int | None) -> None:
        _, seeds = found.setdefault((where, finding.kind, finding.about), (finding, []))
        if seed is not None and seed not in seeds:
            seeds.append(seed)

    if run.sets is not None:
        for finding in findings_in_sets(run.sets):
            tell("data", finding, None)
    for stage in run.stages:
        for finding in stage.findings:
            tell(stage.name, finding, stage.seed)
        if isinstance(kept := (stage.manifest or {}).get("kept_overall"), int | float):
            for finding in findings_in_labels(kept):
                tell(stage.name, finding, stage.seed)
    verdicts: list[Verdict] = []
    seeds = list(dict.fromkeys(model.seed for model in run.examined))
    for seed in seeds:
        models = [model for model in run.examined if model.seed == seed]
        for where, finding in _of_models(models, _same_frames(run)):
            tell(where, finding, seed)
        for judged in (_decided(each, scored, seed) for each in _verdicts(models, _same_frames(run))):
            if seed == seeds[0]:
                verdicts.append(judged)
            if (worse := judged.finding()) is not None:
                tell(judged.name, worse, seed)
    told = {id(finding): Told(where, finding, tuple(seeds)) for (where, _, _), (finding, seeds) in found.items()}
    ordered = worst_first([finding for finding, _ in found.values()])
    first = [model for model in run.examined if model.seed == seeds[0]] if seeds else []
    return Diagnosis(
        told=tuple(told[id(finding)] for finding in ordered),
        verdicts=tuple(verdicts),
        looked=bool(run.examined),
        baseline=_baseline(first),
    )


def _decided(judged: Verdict, scored: list[list[Row]], seed: int | None) -> Verdict:
    """The verdict by labels where both models were scored on the same ones, else as it is."""
    for rows in scored:
        of = [row for row in rows if seed is None or row.seed == seed]
        before = [row for row in of if row.name == judged.baseline]
        after = [row for row in of if row.name == judged.name]
        if before and after:
            return by_labels(
                judged,
                before=fmean(row.miou for row in before),
                after=fmean(row.miou for row in after),
                where=f"{after[0].images} labelled images of {after[0].data} ({after[0].split})",
            )
    return judged


def _same_frames(run: Run) -> bool:
    difference = run.sets.target_difference if run.sets else None
    return difference is not None and difference < ALIKE


def _baseline(models: list[Examined]) -> Examined | None:
    """The model called source-only, else the first that was trained on the source alone."""
    plain = [model for model in models if model.signals.method == BASELINE]
    return next((model for model in plain if model.name == SOURCE_ONLY), next(iter(plain), None))


def _of_models(models: list[Examined], same_frames: bool) -> Iterator[tuple[str, Finding]]:
    """The findings in each model; what source-only has too is said of source-only alone."""
    baseline = _baseline(models)
    inherited: set[str] = set()
    for model in sorted(models, key=lambda each: each is not baseline):
        for finding in findings_in_model(model.name, model.signals, same_frames=same_frames):
            said = finding.words.removeprefix(model.name)
            if model is baseline:
                inherited.add(said)
            elif said in inherited or (baseline is not None and finding.kind == "weak source model"):
                continue
            yield model.name, finding


def _verdicts(models: list[Examined], same_frames: bool) -> Iterator[Verdict]:
    baseline = _baseline(models)
    for model in models:
        if baseline is not None and model.signals.method not in (BASELINE, ORACLE):
            yield verdict(
                model.name,
                model.signals,
                baseline=baseline.name,
                before=baseline.signals,
                same_frames=same_frames,
            )
