"""Every shipped recipe: its full networks have the published parameter count, and every stage takes a real step."""

from __future__ import annotations

from pathlib import Path

import pytest
from dry_runs import UNSERVED, class_count, dry_run, full_networks
from parameter_counts import expected_parameters

from acclimate.evaluation.scores import DetectionRow
from acclimate.recipe.load import TrainStage, load_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_the_full_network_has_the_published_parameter_count(name: str) -> None:
    recipe, _ = load_recipe(name)
    counts = full_networks(recipe)
    assert counts
    for key, stage in recipe.stages.items():
        if isinstance(stage, TrainStage):
            assert counts[key] == expected_parameters(recipe.network_config(stage), class_count(recipe)), key


@pytest.mark.parametrize("name", [name for name in recipe_names() if name not in UNSERVED])
def test_every_stage_takes_a_real_step(name: str, workspace: Path) -> None:
    recipe, _ = load_recipe(name)
    rows = dry_run(name, workspace)
    for row in rows:
        if not isinstance(row, DetectionRow):
            assert len(row.iou) == class_count(recipe) or recipe.protocol is None
            assert row.protocol == (recipe.protocol or row.protocol)


def test_what_cannot_be_served_exists_and_has_a_reason() -> None:
    assert set(UNSERVED) <= set(recipe_names())
    assert all(len(reason.split()) > 3 for reason in UNSERVED.values())
