"""The history of a training: rows of numbers, kept as CSV and as TensorBoard events."""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from acclimate.errors import UserError
from acclimate.io.files import write_text
from acclimate.training.trackers import Pictures, Tracker

Rows = list[dict[str, float]]
"""A row per step that was logged: ``step`` and named numbers."""


class History:
    """Rows (step -> named numbers) that survive interruption, because every checkpoint holds those before it.

    ``history.csv`` is for people and reports and is never read back. It holds what is reproducible (losses, learning
    rate); speed goes to the trackers alone, so that two runs of the same seed leave identical files.

    Args:
        folder: where the files go.
        rows: of the checkpoint from which the training goes on.
        trackers: who else is shown the rows, and pictures; closed with the history.
    """

    def __init__(self, folder: Path, *, rows: Rows | None = None, trackers: Sequence[Tracker] = ()) -> None:
        self.path = folder / "history.csv"
        self.rows: Rows = list(rows or [])
        self._trackers = trackers

    def add(self, step: int, values: dict[str, float], *, speed: dict[str, float] | None = None) -> None:
        """Adds the row of ``step``; ``speed`` is shown but not kept in the CSV.

        Raises:
            UserError: the disk is full.
        """
        self.rows.append({"step": float(step), **values})
        for tracker in self._trackers:
            with self._writing():
                tracker.numbers({**values, **(speed or {})}, step)

    def show(self, step: int, pictures: Pictures) -> None:
        """Shows pictures of ``step``; raises as :meth:`add` does."""
        for tracker in self._trackers:
            with self._writing():
                tracker.pictures(pictures, step)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"cannot write {self.path.parent / 'tensorboard'}: {error.strerror or error}; free some space, "
                "then run the same command again: it goes on from its last checkpoint"
            ) from error

    def save(self) -> None:
        """Writes ``history.csv``, whole."""
        columns = _columns(self.rows)
        stream = io.StringIO()
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({name: (int(v) if name == "step" else repr(v)) for name, v in row.items()})
        write_text(self.path, stream.getvalue())

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._trackers:
            with contextlib.suppress(OSError):  # what it could not write is in the CSV
                tracker.close()


def packed(rows: Rows) -> dict[str, Any]:
    """Rows as a checkpoint keeps them: the names of the columns, and one tensor, not a number where a cell is empty."""
    columns = _columns(rows)
    values = [[row.get(name, math.nan) for name in columns] for row in rows]
    return {"columns": columns, "values": torch.tensor(values, dtype=torch.float64)}


def unpacked(content: dict[str, Any]) -> Rows:
    """The rows that :func:`packed` was given."""
    columns: list[str] = content["columns"]
    return [
        {name: value for name, value in zip(columns, row, strict=True) if not math.isnan(value)}
        for row in content["values"].tolist()
    ]


def _columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))
