"""What an adaptation gave, where no label says it: the scores without labels of the control and of the result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from acclimate.evaluation.label_free import HIGHER_IS_BETTER
from acclimate.io.checksums import read_verified_json
from acclimate.planning.defaults import ADAPTED, CONTROL
from acclimate.recipe.load import Recipe
from acclimate.training.snapshots import INDEX


def stage_folder(output: Path, recipe: Recipe, name: str, seed: int) -> Path:
    """Where a run has a stage."""
    folder = f"{list(recipe.stages).index(name) + 1}-{name}"
    alone = output / folder
    return alone if alone.exists() else output / f"seed-{seed}" / folder


def label_free_lines(output: Path, recipe: Recipe, seeds: Sequence[int]) -> list[str]:
    """The last scores without labels of :data:`CONTROL` and :data:`ADAPTED`, means over the seeds, as a table.

    Empty where a recipe takes no snapshots.
    """
    found: dict[str, dict[str, float]] = {}
    for name in (CONTROL, ADAPTED):
        rows = [_last_scores(stage_folder(output, recipe, name, seed) / INDEX) for seed in seeds]
        if not all(rows):
            return []
        found[name] = {
            score: fmean(values)
            for score in HIGHER_IS_BETTER
            if len(values := [value for row in rows if (value := row.get(score)) is not None]) == len(rows)
        }
    if any(not scores for scores in found.values()):
        return []
    lines = [f"{'scores without labels':28}  {CONTROL:>12}  {ADAPTED:>12}"]
    for score, higher in HIGHER_IS_BETTER.items():
        if all(score in scores for scores in found.values()):
            name = f"{score} ({'+' if higher else '-'})"
            lines.append(f"{name:28}  {found[CONTROL][score]:12.3f}  {found[ADAPTED][score]:12.3f}")
    return [*lines, "(+) higher, (-) lower is expected of a better model; none of them is proof: look at the pictures"]


def _last_scores(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    scores = read_verified_json(path)["scores"]
    return scores[max(scores, key=int)] if scores else {}
