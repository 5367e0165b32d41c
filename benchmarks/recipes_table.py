"""Prints every shipped recipe as Markdown: paper, published numbers, parameters, and whether its dry run passes.

python benchmarks/recipes_table.py
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "recipes"))
from dry_runs import UNSERVED, class_count, dry_run, full_networks
from parameter_counts import expected_parameters

from acclimate.recipe.load import Published, Recipe, TrainStage, load_recipe, recipe_names
from scripts import run_script


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("| recipe | paper | published, % | parameters | as published | dry run |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in recipe_names():
            recipe, _ = load_recipe(name)
            counts, right = parameters(recipe)
            numbers = ", ".join(f"{row.name} {shown(row)}" for row in recipe.published)
            print(
                f"| `{name}` | {recipe.paper or '–'} | {numbers or '–'} | {counts} | {right} | {tried(name, folder)} |"
            )


def shown(row: Published) -> str:
    """The mean of a published row; where none is printed, that over 13 classes, with a star."""
    if row.miou is not None:
        return f"{row.miou:.1f}"
    return f"{row.subsets['13']:.1f}*"


def parameters(recipe: Recipe) -> tuple[str, str]:
    """Numbers of parameters of the full networks, and whether they are the expected ones."""
    counts = full_networks(recipe)
    right = all(
        counts[key] == expected_parameters(recipe.network_config(stage), class_count(recipe))
        for key, stage in recipe.stages.items()
        if isinstance(stage, TrainStage)
    )
    return ", ".join(f"{count:,}" for count in sorted(set(counts.values()))), "yes" if right else "no"


def tried(name: str, folder: str) -> str:
    """What became of the dry run."""
    if name in UNSERVED:
        return UNSERVED[name]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            dry_run(name, Path(folder))
    except Exception as error:
        return f"failed: {type(error).__name__}"
    return "ok"


if __name__ == "__main__":
    run_script(main)
