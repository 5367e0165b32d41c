"""What a run left on disk, read for the report. Nothing is changed, and a run that is not finished can be read too."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ValidationError, field_validator

from acclimate.doctor.findings import FINDINGS, Finding, read_findings
from acclimate.doctor.signals import EXAMINED, SIGNALS, ModelSignals, SetSignals
from acclimate.errors import UserError
from acclimate.evaluation.scores import Row, read_results, read_scores
from acclimate.io.checksums import read_verified_json
from acclimate.io.reading import text_of
from acclimate.io.validation import problems_in
from acclimate.io.yaml import load_yaml
from acclimate.report.published import Published, published_rows

M = TypeVar("M", bound=BaseModel)
_STAGE = re.compile(r"(\d+)-(.+)")
_SEED = re.compile(r"seed-(\d+)")


class ModelPictures(BaseModel):
    """Paths of one model's pictures of one image, relative to the pictures folder."""

    prediction: str
    entropy: str | None = None


class PicturedImage(BaseModel):
    """One image, its label where there is one, and what each model made of it."""

    domain: str
    name: str
    input: str
    label: str | None = None
    models: dict[str, ModelPictures]


class PictureIndex(BaseModel):
    """The content of ``pictures/index.json``."""

    kind: Literal["labels", "boxes"] = "labels"
    """What predictions and labels are: label maps of train ids, or photographs with boxes drawn on them."""
    classes: list[str]
    colours: list[tuple[int, int, int]]
    images: list[PicturedImage]

    @field_validator("colours")
    @classmethod
    def _bytes(cls, colours: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        if any(not 0 <= channel <= 255 for colour in colours for channel in colour):
            raise ValueError("colours are RGB triples of 0 to 255")
        return colours


@dataclass(frozen=True)
class History:
    """A training's ``history.csv``: steps, and one value per step and column (None where the cell is empty)."""

    steps: list[int]
    columns: dict[str, list[float | None]]


@dataclass(frozen=True)
class Stage:
    """One stage folder of a run.

    Attributes:
        place: its path inside the run, as the rows of results name it.
        seconds: what training, labelling or translating took; None for a stage that is not finished or only scores.
    """

    number: int
    name: str
    place: str
    seed: int | None
    folder: Path
    history: History | None = None
    pictures: PictureIndex | None = None
    manifest: dict[str, Any] | None = None
    figures: tuple[Path, ...] = ()
    translation: dict[str, Any] | None = None
    seconds: float | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Examined:
    """A trained model that the doctor looked at.

    Attributes:
        place: of the stage that trained it, inside the run.
        folder: of what was measured, and perhaps of pictures.
    """

    number: int
    name: str
    place: str
    seed: int | None
    folder: Path
    signals: ModelSignals
    pictures: PictureIndex | None = None


@dataclass(frozen=True)
class Run:
    """A run's folder: settings, environment, results and stages, whatever of them is there yet."""

    name: str
    folder: Path
    recipe_text: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    sets: SetSignals | None = None
    examined: list[Examined] = field(default_factory=list)


def read_run(folder: Path) -> Run:
    """Reads a run's folder.

    Raises:
        UserError: the folder is missing or holds nothing of a run, or one of its files is broken; names the file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"there is no run folder {folder}; give the folder that `acclimate run` wrote with -o")
    stages = list(_stages(folder))
    recipe_path, environment_path, results_path = (
        folder / name for name in ("recipe.yaml", "environment.json", "results.json")
    )
    if not stages and not recipe_path.exists() and not results_path.exists():
        raise UserError(f"{folder} holds no run: no recipe.yaml, no results.json and no stage folder such as 1-advent")
    recipe_text, recipe = _recipe(recipe_path)
    environment = _read(environment_path) or {}
    if results_path.exists():
        rows = read_results(results_path).rows
    else:
        rows = [row for stage in stages for row in _scores(stage)]
    return Run(
        name=folder.resolve().name,
        folder=folder,
        recipe_text=recipe_text,
        recipe=recipe,
        environment=environment,
        rows=rows,
        stages=stages,
        published=published_rows(recipe.get("published"), where=recipe_path),
        sets=next(_signals_of_sets(folder), None),
        examined=list(_examined(folder)),
    )


def _recipe(path: Path) -> tuple[str, dict[str, Any]]:
    if not path.exists():
        return "", {}
    try:
        text = text_of(path)
        content = load_yaml(text)
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"cannot read {path} as YAML: {error}; run the recipe again to write it anew") from error
    return text, content if isinstance(content, dict) else {}


def _stages(folder: Path) -> Iterator[Stage]:
    """Stage folders in order of seed and number; they are usually links into the store of finished stages."""
    for seed, home in _homes(folder):
        for number, name, child in _numbered(home):
            yield _stage(number, name, seed, child, child.relative_to(folder).as_posix())


def _homes(folder: Path) -> list[tuple[int | None, Path]]:
    """The folders that hold a seed's stages: the run's own, and ``seed-N`` where it has several."""
    homes: list[tuple[int | None, Path]] = [(None, folder)]
    homes += sorted((int(match[1]), child) for child in folder.iterdir() if (match := _SEED.fullmatch(child.name)))
    return [(seed, home) for seed, home in homes if home.is_dir()]


def _numbered(home: Path) -> list[tuple[int, str, Path]]:
    """(number, name, folder) of every ``NUMBER-NAME`` in it, in that order."""
    if not home.is_dir():
        return []
    found = ((match, child) for child in home.iterdir() if (match := _STAGE.fullmatch(child.name)))
    return sorted((int(match[1]), match[2], child) for match, child in found if child.is_dir())


def _signals_of_sets(folder: Path) -> Iterator[SetSignals]:
    for _, home in _homes(folder):
        if (path := home / EXAMINED / "sets" / SIGNALS).exists():
            yield _validated(SetSignals, path)


def _examined(folder: Path) -> Iterator[Examined]:
    for seed, home in _homes(folder):
        for number, name, child in _numbered(home / EXAMINED):
            if (child / SIGNALS).exists():
                pictures = child / "pictures" / "index.json"
                yield Examined(
                    number=number,
                    name=name,
                    place=(home / child.name).relative_to(folder).as_posix(),
                    seed=seed,
                    folder=child,
                    signals=_validated(ModelSignals, child / SIGNALS),
                    pictures=_picture_index(pictures) if pictures.exists() else None,
                )


def _validated(kind: type[M], path: Path) -> M:
    try:
        return kind.model_validate(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{path} is not what the doctor writes at {where}: {first['msg']}; run the recipe again"
        ) from error


def _stage(number: int, name: str, seed: int | None, folder: Path, place: str) -> Stage:
    history, pictures, manifest = folder / "history.csv", folder / "pictures" / "index.json", folder / "manifest.json"
    figures = (path for where in (folder, folder / "pictures") for path in sorted(where.glob("figure*.png")))
    return Stage(
        number=number,
        name=name,
        place=place,
        seed=seed,
        folder=folder,
        history=read_history(history) if history.exists() else None,
        pictures=_picture_index(pictures) if pictures.exists() else None,
        manifest=_read(manifest),
        figures=tuple(figures),
        translation=_read(folder / "translation.json"),
        seconds=_seconds(folder / "done.json"),
        findings=tuple(read_findings(folder / FINDINGS)),
    )


def _read(path: Path) -> dict[str, Any] | None:
    """What a JSON file of the run's holds; None where there is none. Checksums are looked at where there are any."""
    return read_verified_json(path, unsigned=True) if path.exists() else None


def _seconds(path: Path) -> float | None:
    value = (_read(path) or {}).get("train_seconds")
    return float(value) if isinstance(value, int | float) else None


def _scores(stage: Stage) -> list[Row]:
    path = stage.folder / "scores.json"
    return read_scores(path) if path.exists() else []


def _picture_index(path: Path) -> PictureIndex:
    try:
        return PictureIndex.model_validate(_read(path))
    except ValidationError as error:
        problem = problems_in(error, PictureIndex)[0]
        raise UserError(f"{path} is not an index of pictures: {problem}; evaluate again") from error


def read_history(path: Path) -> History:
    """Reads a ``history.csv``: a ``step`` column and any number of others.

    Raises:
        UserError: there is no ``step`` column or a cell is not a number.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(text_of(path), newline="")))
        if any(None in line or None in line.values() for line in lines):
            raise ValueError("its rows differ in length")
        steps = [int(float(line["step"])) for line in lines]
        names = [name for name in (lines[0] if lines else {}) if name and name != "step"]
        return History(steps, {name: [_number(line.get(name)) for line in lines] for name in names})
    except UserError:
        raise
    except (KeyError, ValueError, OverflowError, csv.Error) as error:
        raise UserError(f"{path} is not a training history: {error!r}; train the stage again") from error


def _number(cell: str | None) -> float | None:
    if not cell:
        return None
    value = float(cell)
    return value if math.isfinite(value) else None
