"""Rows of results: assembled from a confusion matrix, compared, summarised over seeds, kept in ``results.json``."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator, model_validator

from acclimate.errors import UserError
from acclimate.evaluation.boundaries import BoundaryScores
from acclimate.evaluation.box_scores import ErrorCounts
from acclimate.evaluation.confusion import ConfusionMatrix
from acclimate.evaluation.protocols import Protocol
from acclimate.io import files
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.io.validation import problems_in

SOURCE_ONLY = "source-only"
ORACLE = "oracle"


class Row(BaseModel):
    """The scores of one model and seed on one set. IoUs are fractions; a class absent from the ground truth is None.

    ``label_free`` holds the scores of :mod:`acclimate.evaluation.label_free` on training images of the target,
    ``chosen_step`` the step of the snapshot that one of them chose; None where the last step's weights are scored.
    Keys this version does not know are kept as they are, so that rows written by a later version survive.
    """

    model_config = ConfigDict(extra="allow")

    metric: ClassVar[str] = "mIoU"

    name: str
    stage: str
    method: str
    seed: int
    data: str
    split: str
    images: int = Field(ge=0)
    protocol: str
    miou: float = Field(ge=0, le=1)
    classes_averaged: int = Field(ge=1)
    iou: dict[str, float | None]
    subsets: dict[str, float | None] = Field(default_factory=dict)
    train_seconds: float | None = Field(default=None, ge=0)
    images_per_second: float | None = Field(default=None, ge=0)
    peak_memory_mb: float | None = Field(default=None, ge=0)
    checkpoint: str | None = None
    label_free: dict[str, float] = Field(default_factory=dict)
    chosen_step: int | None = Field(default=None, ge=0)
    boundaries: BoundaryScores | None = None

    @model_validator(mode="after")
    def _scores_are_fractions(self) -> Row:
        for scores in (self.iou, self.subsets):
            for name, value in scores.items():
                if value is not None and not 0 <= value <= 1:
                    raise ValueError(f"the score of {name!r} is {value}; scores are fractions between 0 and 1, or null")
        return self


class DetectionRow(Row):
    """The scores of a detector: in files ``map`` and ``ap`` stand where segmentation has ``miou`` and ``iou``.

    ``errors`` are counts of each class, ``curves`` its interpolated precision at the ``RECALLS`` of ``box_scores``, at
    the protocol's (first) IoU; a class without objects has none.
    """

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    metric: ClassVar[str] = "mAP"

    miou: float = Field(ge=0, le=1, alias="map")
    iou: dict[str, float | None] = Field(alias="ap")
    errors: dict[str, ErrorCounts] = Field(default_factory=dict)
    curves: dict[str, list[float]] = Field(default_factory=dict)


class Results(BaseModel):
    """The content of ``results.json``.

    ``other_environments`` are those of rows that were made elsewhere or with other code, and joined these.
    """

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    rows: list[SerializeAsAny[Row]]
    environment: dict[str, Any] = Field(default_factory=dict)
    other_environments: list[dict[str, Any]] = Field(default_factory=list)

    @field_validator("rows", mode="before")
    @classmethod
    def _by_task(cls, rows: Any) -> Any:
        if not isinstance(rows, list):
            return rows
        return [DetectionRow.model_validate(row) if isinstance(row, dict) and "map" in row else row for row in rows]


def score_row(
    confusion: ConfusionMatrix,
    *,
    name: str,
    stage: str,
    method: str,
    seed: int,
    data: str,
    split: str,
    images: int,
    protocol: Protocol,
    train_seconds: float | None = None,
    images_per_second: float | None = None,
    peak_memory_mb: float | None = None,
    checkpoint: str | None = None,
) -> Row:
    """The row of results for a confusion matrix accumulated over a whole split.

    Raises:
        UserError: not one ground-truth pixel belongs to a class of the protocol.
    """
    absent = protocol.absent
    miou = confusion.miou(absent=absent)
    if miou is None or confusion.pixel_accuracy() is None:
        raise UserError(
            f"{data} ({split}): none of its {images} labels has a pixel of a class of protocol {protocol.name!r}; "
            "check the class space and the label folder with `acclimate check`"
        )
    return Row(
        name=name,
        stage=stage,
        method=method,
        seed=seed,
        data=data,
        split=split,
        images=images,
        protocol=protocol.name,
        miou=miou,
        classes_averaged=len(confusion.averaged(absent=absent)),
        iou=dict(zip(confusion.classes, confusion.iou(absent=absent), strict=True)),
        subsets=confusion.subset_miou(dict(protocol.subsets), absent=absent),
        train_seconds=train_seconds,
        images_per_second=images_per_second,
        peak_memory_mb=peak_memory_mb,
        checkpoint=checkpoint,
    )


def write_results(
    path: Path,
    rows: Sequence[Row],
    *,
    environment: Mapping[str, Any] | None = None,
    other_environments: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes ``results.json`` atomically."""
    others = [dict(each) for each in other_environments]
    results = Results(rows=list(rows), environment=dict(environment or {}), other_environments=others)
    files.write_json(path, results.model_dump(mode="json", by_alias=True))


def read_results(path: Path) -> Results:
    """Reads and validates ``results.json``.

    Raises:
        UserError: the file is missing, is not JSON or does not follow the schema; names the first offending key.
    """
    return _validated(path, files.read_json(path))


def read_together(paths: Sequence[Path]) -> Results:
    """The rows of several runs, of seeds that ran apart, as if they were of one.

    Args:
        paths: ``results.json`` files, or folders of runs that hold one.

    Raises:
        UserError: a file is missing or damaged, a model and seed occurs twice, or the runs have different sets or
            protocols.
    """
    found: list[Row] = []
    places: dict[tuple[str, int], Path] = {}
    environments: list[dict[str, Any]] = []
    for path in paths:
        file = path / "results.json" if path.is_dir() else path
        results = read_results(file)
        for environment in (results.environment, *results.other_environments):
            if environment and environment not in environments:
                environments.append(environment)
        for row in results.rows:
            key = (row.name, row.seed)
            if key in places:
                raise UserError(
                    f"{file} and {places[key]} both hold {row.name!r} with seed {row.seed}; give one of them"
                )
            places[key] = file
            if found and (row.data, row.split, row.protocol) != (found[0].data, found[0].split, found[0].protocol):
                ours, theirs = (f"{each.data} ({each.split}, {each.protocol})" for each in (row, found[0]))
                raise UserError(f"{file} is scored on {ours}, not on {theirs}; such rows have no common mean")
            found.append(row)
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: no row of results; run the recipe to its end first")
    first, *others = environments or [{}]
    return Results(rows=found, environment=first, other_environments=others)


def write_scores(path: Path, rows: Sequence[Row]) -> None:
    """Writes the ``scores.json`` of an evaluate stage atomically."""
    write_verified_json(path, {"rows": [row.model_dump(mode="json", by_alias=True) for row in rows]})


def read_scores(path: Path) -> list[Row]:
    """Reads and validates the ``scores.json`` of an evaluate stage; raises like :func:`read_results`."""
    return _validated(path, read_verified_json(path, unsigned=True)).rows


def _validated(path: Path, content: object) -> Results:
    try:
        return Results.model_validate(content)
    except ValidationError as error:
        problem = problems_in(error, Results)[0]
        raise UserError(
            f"{path} does not follow the results schema: {problem}; delete it and run the evaluation again"
        ) from error


@dataclass(frozen=True)
class Spread:
    """Mean and sample deviation (n - 1) of a value over seeds; the deviation of a single value is None."""

    mean: float
    deviation: float | None
    count: int


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and sample deviation of the values that are not None; None when none is left."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


def share_of_gap_closed(miou: float, *, source_only: float, oracle: float) -> float | None:
    """Which part of the way from source-only to the oracle a method went; None unless the oracle is above."""
    return (miou - source_only) / (oracle - source_only) if oracle > source_only else None


@dataclass(frozen=True)
class Summary:
    """The rows of one model on one set, one per seed."""

    name: str
    rows: tuple[Row, ...]

    @property
    def method(self) -> str:
        return self.rows[0].method

    @property
    def miou(self) -> Spread:
        result = spread([row.miou for row in self.rows])
        assert result is not None
        return result

    def iou(self, name: str) -> Spread | None:
        """Over the seeds, of one class."""
        return spread([row.iou.get(name) for row in self.rows])

    def subset(self, name: str) -> Spread | None:
        """Over the seeds, of one subset of the protocol."""
        return spread([row.subsets.get(name) for row in self.rows])

    def difference(self, other: Summary, name: str | None = None) -> Spread | None:
        """mIoU (or one class's IoU) minus that of another model, paired over the seeds that both have.

        Pairing removes what a seed does to both models (data order, initial weights), so the deviation is that of the
        difference itself. Without common seeds only the means are compared and there is no deviation.
        """
        mine, theirs = ({row.seed: _score(row, name) for row in summary.rows} for summary in (self, other))
        pairs = [(mine[seed], theirs[seed]) for seed in mine if seed in theirs]
        if pairs:
            return spread([a - b if a is not None and b is not None else None for a, b in pairs])
        here, there = spread(list(mine.values())), spread(list(theirs.values()))
        return Spread(here.mean - there.mean, None, 1) if here and there else None

    def gap_closed(self, source_only: Summary, oracle: Summary) -> float | None:
        """The share of the way from source-only to the oracle, of means over the seeds that all three have.

        Without common seeds the means of all are taken. None unless the oracle is above.
        """
        three = (self, source_only, oracle)
        common = set.intersection(*({row.seed for row in summary.rows} for summary in three))
        mine, base, top = (
            statistics.fmean(row.miou for row in summary.rows if row.seed in common or not common) for summary in three
        )
        return share_of_gap_closed(mine, source_only=base, oracle=top)


def _score(row: Row, name: str | None) -> float | None:
    return row.miou if name is None else row.iou.get(name)


def by_place(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows by what they were scored on and by which protocol, in order of first appearance."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.data, row.split, row.protocol), []).append(row)
    return list(groups.values())


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """Groups rows by name, in order of first appearance. Give it the rows of one set and protocol.

    Raises:
        ValueError: two rows share name and seed, or the rows mix sets or protocols: their mean would mean nothing.
    """
    if len({(row.data, row.split, row.protocol) for row in rows}) > 1:
        raise ValueError("rows of several sets or protocols cannot be averaged; summarise each on its own")
    groups: dict[str, dict[int, Row]] = {}
    for row in rows:
        seeds = groups.setdefault(row.name, {})
        if row.seed in seeds:
            raise ValueError(f"two rows are named {row.name!r} with seed {row.seed}")
        seeds[row.seed] = row
    return [Summary(name, tuple(seeds.values())) for name, seeds in groups.items()]


def find_role(summaries: Sequence[Summary], role: str) -> Summary | None:
    """The summary that plays ``source-only`` or ``oracle``: the one of that name, else the first of that method."""
    named = [summary for summary in summaries if summary.name == role]
    trained = [summary for summary in summaries if summary.method.replace("_", "-") == role]
    return next(iter(named + trained), None)
