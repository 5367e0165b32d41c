"""Snapshots of a training: scored without labels of the target, and one of them chosen by a score."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from acclimate.errors import UserError
from acclimate.evaluation.pictures import save_picture
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.io.files import atomic
from acclimate.training.settings import SnapshotSettings
from acclimate.training.trackers import Pictures

INDEX, FOLDER, STRIP = "snapshots.json", "snapshots", "strip"


class Snapshots:
    """The snapshots of one training stage, in ``snapshots/STEP/``, with their scores in ``snapshots.json``.

    Taking one again, as a training does that was killed and goes on, replaces it. Unless all are to be kept, only the
    best one's weights stay on disk.

    Args:
        folder: the stage's.
        settings: when to take one, and by which score to choose.
        score: scores the network as it is; name -> value.
        write: writes the network as it is, with all that belongs to it, into a folder; given the step too.
        higher_is_better: for every score, whether a better model has a higher one.
        look: pictures of what the network predicts as it is, name -> (H, W, 3); kept in ``strip/STEP/`` for good.

    Raises:
        UserError: ``snapshots.json`` is damaged.
    """

    def __init__(
        self,
        folder: Path,
        settings: SnapshotSettings,
        *,
        score: Callable[[], dict[str, float]],
        write: Callable[[Path, int], None],
        higher_is_better: Mapping[str, bool],
        look: Callable[[], Pictures] = dict,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self._score = score
        self._write = write
        self._higher_is_better = higher_is_better
        self._look = look
        self.pictures: Pictures = {}
        self.scores: dict[int, dict[str, float | None]] = {}
        if (folder / INDEX).exists():
            try:
                content = read_verified_json(folder / INDEX)
            except UserError as error:
                raise UserError(f"{error}; delete {folder} to train this stage anew") from error
            self.scores = {int(step): scores for step, scores in content["scores"].items()}

    def due(self, step: int, *, last: bool) -> bool:
        """Whether a snapshot is taken after ``step`` steps; after the last one always."""
        return last or step % self.settings.every == 0

    def take(self, step: int) -> dict[str, float]:
        """Scores the network after ``step`` steps and keeps its weights if need be.

        Returns:
            The scores that are numbers. What it looks like is in :attr:`pictures`.
        """
        others = [other for other in self._kept() if other != step]
        found = {name: value for name, value in self._score().items() if math.isfinite(value)}
        self.scores[step] = dict.fromkeys(self._higher_is_better) | found
        if self.settings.keep or self._best([*others, step]) == step:
            self._write(self._place(step), step)
        write_verified_json(self.folder / INDEX, self._content())
        self.pictures = self._look()
        for number, picture in enumerate(self.pictures.values()):
            save_picture(self.folder / STRIP / f"{step:08d}" / f"{number}.jpg", Image.fromarray(picture))
        if not self.settings.keep:
            for other in self._kept():
                if other != self.chosen():
                    shutil.rmtree(self._place(other))
        return found

    def chosen(self) -> int | None:
        """The step of the snapshot that the score chooses; None where the last weights are to be taken."""
        return self._best(self._kept())

    def install(self, names: list[str]) -> int | None:
        """Copies the chosen snapshot's files over the stage's own, in the order of ``names``; returns its step."""
        step = self.chosen()
        if step is not None:
            for name in names:
                if (source := self._place(step) / name).exists():
                    with atomic(self.folder / name) as temporary:
                        shutil.copyfile(source, temporary)
        return step

    def _content(self) -> dict[str, Any]:
        scores = {str(step): self.scores[step] for step in sorted(self.scores)}
        settings = self.settings
        return {"choose": settings.choose, "keep": settings.keep, "chosen": self.chosen(), "scores": scores}

    def _place(self, step: int) -> Path:
        return self.folder / FOLDER / f"{step:08d}"

    def _kept(self) -> list[int]:
        """Steps whose scores and weights are there; what a killed process left half-written is not."""
        return [step for step in sorted(self.scores) if self._place(step).is_dir()]

    def _best(self, steps: list[int]) -> int | None:
        """The best of those steps by the score that chooses, the earliest of equal ones."""
        name = self.settings.choose
        if name == "last" or not steps:
            return None
        sign = 1.0 if self._higher_is_better[name] else -1.0

        def rank(step: int) -> float:
            value = self.scores[step][name]
            return -math.inf if value is None else sign * value

        return max(steps, key=rank)


def forget_snapshots(folder: Path) -> None:
    """Removes the weights of a finished stage's snapshots, unless they are to be kept; the scores stay."""
    if (folder / INDEX).exists() and not read_verified_json(folder / INDEX)["keep"]:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
