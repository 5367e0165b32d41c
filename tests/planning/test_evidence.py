"""What `acclimate adapt` chooses is what won in the evidence: the files of docs/results and the recipes behind them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

import numpy as np
import yaml

from acclimate.data.cut import Cut
from acclimate.data.readers.scenes import ScenesDataset
from acclimate.planning.choice import chosen
from acclimate.planning.defaults import ADAPTED, BASE, CONTROL, LIGHT
from acclimate.planning.domains import Domain
from acclimate.planning.machine import Machine
from acclimate.recipe.load import load_recipe

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PAIRS = {
    "carla-camvid-modern": "dacs-mic",
    "carla-camvid-modern-weights": "dacs-mic",
    "carla-iddlite": "dacs",
    "carla-camvid-short": "dacs",
    "carla-iddlite-short": "dacs",
    "carla-camvid-neighbours": "dacs",
}
"""File of results -> the adapted row that is best in it."""
NOT_ADAPTED = ("base", "source-only", "source-only-augmented", "oracle")


def means(name: str) -> dict[str, float]:
    """Mean mIoU of the adapted rows that have three seeds."""
    rows = defaultdict(list)
    for row in json.loads((RESULTS / f"{name}.json").read_text())["rows"]:
        rows[row["name"]].append(row["miou"])
    return {row: mean(values) for row, values in rows.items() if row not in NOT_ADAPTED and len(values) >= 3}


def test_the_rows_that_are_best() -> None:
    for name, best in PAIRS.items():
        found = means(name)
        assert max(found, key=lambda row: found[row]) == best, f"{name}: change adapt.yaml, results.md and this table"


def test_the_default_is_the_row_that_is_best_on_the_pair_it_was_chosen_for(tmp_path: Path) -> None:
    def domain(spec: str, size: tuple[int, int], **more: Cut) -> Domain:
        data = ScenesDataset("render", split="train", images=1, size=(32, 16))
        counts = np.ones((3, 256), dtype=np.int64)
        return Domain(spec, "train", data, size, Counter({"any": 1}), counts, **more)

    source = domain("carla:CARLA", (800, 490), cut=Cut(bottom=0.183))
    target = domain("camvid:CAMVID", (480, 360))
    area = LIGHT.areas[LIGHT.usual]
    choice = chosen(source, target, Machine(2, 16.0), fit=LIGHT, weights="imagenet", why="", area=area)
    path = tmp_path / "adapt.yaml"
    path.write_text(yaml.safe_dump(choice.content, sort_keys=False))
    ours, _ = load_recipe(str(path))
    sets = {"source": source.spec, "target": target.spec}
    theirs, _ = load_recipe("carla-camvid-modern", overrides=sets)
    assert ours.source_cut == theirs.source_cut
    for stage, row in ((BASE, "base"), (CONTROL, "source-only-augmented"), (ADAPTED, PAIRS["carla-camvid-modern"])):
        one, other = ours.stages[stage], theirs.stages[row]
        assert (one.train, one.options, one.start and "") == (other.train, other.options, other.start and "")
        same = {"log_every", "checkpoint_minutes", "workers", "cache"}
        settings = [
            recipe.training_settings(each).model_dump(exclude=same) for recipe, each in ((ours, one), (theirs, other))
        ]
        for each in settings:
            each["optimizer"].pop("discriminator_learning_rate")  # nothing here has a discriminator
        assert settings[0] == settings[1]
        networks = [recipe.network_config(each) for recipe, each in ((ours, one), (theirs, other))]
        assert networks[0] == networks[1]
