"""The tolerant mode: images and labels that cannot be read are left out, listed, and capped.

What is left out is settled before training begins, from one look at every file, and kept with the finished stages under
the set's fingerprint. Which images a step sees is thus the same for every process, worker and resumption.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from acclimate.data.cache import Progress, in_parallel, reported
from acclimate.data.sample import Dataset
from acclimate.data.wrappers import Subset
from acclimate.errors import UserError
from acclimate.io.checksums import remembered_json, write_verified_json
from acclimate.io.files import hash_of, write_json

log = logging.getLogger(__name__)

BadData = Literal["stop", "skip"]


def without_bad_files(
    dataset: Dataset, *, cap: float, folder: Path, progress: Progress | None = None
) -> tuple[Dataset, list[str]]:
    """The part of a set that can be read, and one line for each image that is left out.

    Args:
        dataset: labels are read too where it has them.
        cap: the largest share of images that may be left out.
        folder: where the result of the look is kept; never the user's data.
        progress: told how far the look is; None: a bar on stderr.

    Raises:
        UserError: more than ``cap`` of the images would be left out, or all of them.
    """
    kept = folder / f"bad-{hash_of([dataset.fingerprint(), dataset.has_labels])}.json"
    bad = _remembered(kept)
    if bad is None:
        count, read = len(dataset), _reader(dataset)
        looks = reported(in_parallel(read, count), count, f"look for bad files in {dataset.spec}", progress)
        bad = {index: problem for index, problem in enumerate(looks) if problem is not None}
        write_verified_json(kept, {str(index): problem for index, problem in bad.items()})
    lines = [f"{dataset.names[index]}: {problem}" for index, problem in bad.items()]
    if len(bad) > cap * len(dataset) or len(bad) == len(dataset):
        raise UserError(
            f"{dataset.spec} ({dataset.split}): {len(bad)} of {len(dataset)} images cannot be used, more than "
            f"bad_data_cap={cap:g} allows; the first: {lines[0]}; `acclimate check {dataset.spec}` lists all"
        )
    if not bad:
        return dataset, []
    log.warning(
        "%s (%s): %d of %d images are left out (bad_data: skip), the first: %s",
        dataset.spec, dataset.split, len(bad), len(dataset), lines[0],
    )  # fmt: skip
    return Subset(dataset, [index for index in range(len(dataset)) if index not in bad]), lines


def write_skipped(folder: Path, skipped: dict[str, list[str]]) -> None:
    """Leaves ``skipped.json`` in a run's or stage's folder: set -> what was left out and why. Nothing without any."""
    if any(skipped.values()):
        write_json(folder / "skipped.json", {key: lines for key, lines in skipped.items() if lines})


def _remembered(path: Path) -> dict[int, str] | None:
    found = remembered_json(path)
    return None if found is None else {int(index): str(problem) for index, problem in found.items()}


def _reader(dataset: Dataset) -> Callable[[int], str | None]:
    def problem(index: int) -> str | None:
        try:
            dataset.image(index)
            if dataset.has_labels:
                dataset.label(index)
        except UserError as error:
            return str(error)
        return None

    return problem
