"""What choosing a snapshot without labels was worth: every kept snapshot is scored with labels, after the fact.

    python benchmarks/snapshot_choice.py runs/scenes-continued

Reads finished runs of recipes with ``training.snapshots`` and ``keep: true``; those of seeds that ran apart are taken
together. First table: mIoU of the last snapshot, of the one that each score chooses, and of the best one by labels,
which is what no one without labels can choose. Second table: the rank correlation of each score with mIoU over the
snapshots of one training, mean and deviation over trainings.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acclimate.errors import UserError
from acclimate.evaluation.label_free import HIGHER_IS_BETTER, rank_correlation
from acclimate.evaluation.scores import Spread, spread
from acclimate.io.checksums import read_verified_json
from acclimate.pipeline.recipe_run import opened as open_sets
from acclimate.recipe.load import load_recipe
from acclimate.report.tables import percent, signed_points
from acclimate.stages.evaluate import EvaluateRequest, evaluate
from acclimate.training.snapshots import FOLDER, INDEX
from scripts import run_script


@dataclass(frozen=True)
class Training:
    """The snapshots of one stage and seed: by step, the scores without labels and the mIoU."""

    name: str
    scores: dict[int, dict[str, float | None]]
    miou: dict[int, float]

    def chosen_by(self, rule: str) -> float:
        """The mIoU of the snapshot that a rule chooses: ``last``, ``labels`` or a score."""
        if rule == "last":
            return self.miou[max(self.miou)]
        if rule == "labels":
            return max(self.miou.values())
        sign = 1.0 if HIGHER_IS_BETTER[rule] else -1.0
        known = {step: sign * value for step in self.miou if (value := self.scores[step].get(rule)) is not None}
        return self.miou[max(known, key=lambda step: known[step])]

    def correlation(self, score: str) -> float | None:
        """Spearman's between a score, its sign turned where lower is better, and mIoU."""
        steps = [step for step in self.miou if self.scores[step].get(score) is not None]
        value = rank_correlation([float(self.scores[s][score] or 0.0) for s in steps], [self.miou[s] for s in steps])
        return value if value is None or HIGHER_IS_BETTER[score] else -value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    arguments = parser.parse_args()
    print(tables([training for run in arguments.runs for training in measured(run)]))


def measured(run: Path) -> list[Training]:
    """The trainings of a run that kept snapshots, each of them scored on the recipe's evaluation set.

    Raises:
        UserError: there is no run, or none of its stages kept snapshots.
    """
    if not (run / "recipe.yaml").is_file():
        raise UserError(f"there is no run in {run}; give the folder that `acclimate run` wrote with -o")
    recipe, _ = load_recipe(str(run / "recipe.yaml"))
    sets = open_sets(recipe)
    homes = [run, *sorted(child for child in run.glob("seed-*") if re.fullmatch(r"seed-\d+", child.name))]
    found = []
    for stage in (stage for home in homes for stage in sorted(home.glob("[0-9]*-*"), key=_number)):
        if not (stage / FOLDER).is_dir():
            continue
        index = read_verified_json(stage / INDEX)
        name = stage.name.partition("-")[2]
        miou = {}
        for place in sorted((stage / FOLDER).iterdir()):
            request = EvaluateRequest(
                name=name,
                method="",
                seed=0,
                checkpoints=[place / "model.safetensors"],
                weights=None,
                data=sets.evaluation,
                protocol=sets.protocol,  # type: ignore[arg-type]
                class_space=sets.class_space,
                input_size=recipe.prediction_size(),
                pictured={},
                pictures=0,
            )
            step = int(place.name)
            miou[step] = evaluate(request, folder=None, title=f"{stage}, step {step}").miou
        found.append(Training(name, {int(step): scores for step, scores in index["scores"].items()}, miou))
    if not found:
        raise UserError(f"{run} keeps no snapshots; set training.snapshots with keep: true in its recipe and run it")
    return found


def _number(stage: Path) -> int:
    return int(stage.name.partition("-")[0])


def tables(trainings: Sequence[Training]) -> str:
    """Both tables as Markdown."""
    rules = ["last", *HIGHER_IS_BETTER, "labels"]
    lines = [f"| model | seeds | {' | '.join(rules)} |", "|---" * (len(rules) + 2) + "|"]
    for name in dict.fromkeys(training.name for training in trainings):
        own = [training for training in trainings if training.name == name]
        cells = [percent(spread([training.chosen_by(rule) for training in own])) for rule in rules]
        lines.append(f"| {name} | {len(own)} | {' | '.join(cells)} |")
    gains = [
        signed_points(spread([training.chosen_by(rule) - training.chosen_by("last") for training in trainings]))
        for rule in rules
    ]
    lines.append(f"| all, over the last | {len(trainings)} | {' | '.join(gains)} |")
    lines += ["", "| score | rank correlation with mIoU within a training | trainings |", "|---|---|---|"]
    for score in HIGHER_IS_BETTER:
        value = spread([training.correlation(score) for training in trainings])
        lines.append(f"| {score} | {_shown(value)} | {value.count if value else 0} |")
    return "\n".join(lines)


def _shown(value: Spread | None) -> str:
    if value is None:
        return "–"
    return f"{value.mean:+.2f}" + ("" if value.deviation is None else f" ± {value.deviation:.2f}")


if __name__ == "__main__":
    run_script(main)
