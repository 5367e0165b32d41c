"""The history of a training: rows of numbers, kept as CSV and as TensorBoard events."""

from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from acclimate.errors import UserError
from acclimate.io.files import write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class History:
    """Rows (step -> named numbers) that survive interruption: a resumed run drops what came after its checkpoint.

    ``history.csv`` holds what is reproducible (losses, learning rate); speed goes to TensorBoard alone, so that two
    runs of the same seed leave identical files.
    """

    def __init__(self, folder: Path, *, first_step: int = 0, tensorboard: bool = True) -> None:
        self.path = folder / "history.csv"
        self.rows: list[dict[str, float]] = [
            row for row in read_history(self.path) if row["step"] <= first_step and first_step > 0
        ]
        self._writer: SummaryWriter | None = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1)

    def add(self, step: int, values: dict[str, float], *, speed: dict[str, float] | None = None) -> None:
        """Adds the row of ``step``; ``speed`` is shown but not kept in the CSV.

        Raises:
            UserError: the disk is full.
        """
        self.rows.append({"step": float(step), **values})
        if self._writer is not None:
            try:
                for name, value in {**values, **(speed or {})}.items():
                    self._writer.add_scalar(name, value, step)
            except OSError as error:
                raise UserError(
                    f"cannot write {self.path.parent / 'tensorboard'}: {error.strerror or error}; free some space, "
                    "then run the same command again: it goes on from its last checkpoint"
                ) from error

    def save(self) -> None:
        """Writes ``history.csv``, whole."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
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
        if self._writer is not None:
            with contextlib.suppress(OSError):  # what it could not write is in the CSV
                self._writer.close()


def read_history(path: Path) -> list[dict[str, float]]:
    """The rows of a ``history.csv``; empty where there is none yet."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as stream:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]
