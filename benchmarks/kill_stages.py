"""Kills a recipe once in each of its stages and compares what it leaves with an uninterrupted run: a table.

    python benchmarks/kill_stages.py scenes-bdl

The recipe is run in small: a few small pictures, a few steps, every stage and its order as they are. A product is lost
where weights, checkpoint, history, pseudo-label, translated picture or score differs by a bit.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from acclimate.pipeline.recipe_run import RecipeRun
from acclimate.recipe.load import load_recipe
from acclimate.stages.stage import Done, Stage
from kill_stress import Command, Life, import_all
from scripts import run_script

PICTURES = "images=6,size=64x32"
STEPS = {"checkpoint_minutes": 0, "log_every": 1}
SMALL = {
    "source": f"scenes:render,{PICTURES}",
    "target": f"scenes:camera,{PICTURES}",
    "network": {"name": "small", "width": 16},
    "training": {"batch_size": 2, "precision": "32-true", "source_transform": {"size": [64, 32]}, **STEPS},
    "translation": {
        "training": {"steps": 12, "batch_size": 2, "source_transform": {}, "target_transform": {}, **STEPS}
    },
}
ADVANCE = 8
"""Steps of every train stage."""


def small(recipe: str, folder: Path) -> Path:
    """The recipe with small data and few steps, as a file."""
    import yaml

    shipped = load_recipe(recipe)[0]
    stages = {}
    for name, stage in shipped.stages.items():
        fields = stage.model_dump(mode="json", exclude_unset=True)
        if "train" in fields:
            fields["training"] = {**fields.get("training", {}), "steps": ADVANCE}
        stages[name] = fields
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "extends": recipe, **SMALL, "stages": stages}, sort_keys=False))
    return path


def _mark_all(marks: Path) -> None:
    """Lets the run leave a mark where each stage begins and ends."""
    marks.mkdir(parents=True)
    done_once = RecipeRun._done_once

    def marking(self: RecipeRun, stage: Stage) -> Done:
        number = len(list(marks.glob("begun-*")))
        (marks / f"begun-{number}").write_text(repr(time.time()))
        done = done_once(self, stage)
        (marks / f"ended-{number}").write_text(repr(time.time()))
        return done

    RecipeRun._done_once = marking  # type: ignore[method-assign]


def _seconds(marks: Path, number: int) -> float:
    return float((marks / f"ended-{number}").read_text()) - float((marks / f"begun-{number}").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recipe = small(arguments.recipe, folder)
        import_all()
        command = Command(["run", str(recipe), "-o", "OUT/run", "--store", "OUT/.stages"])
        whole = Life(command, folder / "whole", folder / "log", keeps_state=True)
        if not whole.to_the_end(prepare=partial(_mark_all, folder / "marks")):
            raise SystemExit((folder / "log").read_text()[-800:])
        life = Life(command, folder / "cut", folder / "log", keeps_state=True)
        stages = len(list((folder / "marks").glob("ended-*")))
        inside = passed = 0
        for number in range(stages):
            marks = folder / f"marks-{number}"
            process = life.start(prepare=partial(_mark_all, marks))
            while process.is_alive() and not (marks / f"begun-{number}").exists():
                time.sleep(0.001)
            time.sleep(chance.uniform(0.05, 0.9) * _seconds(folder / "marks", number))
            ended = (marks / f"ended-{number}").exists()
            process.kill()
            process.join()
            inside, passed = inside + (not ended), passed + ended
            print(f"stage {number + 1} of {stages}: {'already over' if ended else 'killed'}", file=sys.stderr)
        ended_well = life.to_the_end()
        wanted, found = whole.products(), life.products()
        lost = [key for key, value in wanted.items() if found.get(key) != value]
    print("| recipe | stages and scores | killed inside | over before the kill | products compared | lost |")
    print("|---|---|---|---|---|---|")
    print(f"| {arguments.recipe} | {stages} | {inside} | {passed} | {len(wanted)} | {len(lost)} |")
    sys.exit(bool(lost) or not ended_well)


if __name__ == "__main__":
    run_script(main)
