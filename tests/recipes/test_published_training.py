"""Settings of recipes that are easily wrong without any run failing: what the published codes train with."""

from __future__ import annotations

import pytest

from acclimate.models.config import NetworkConfig
from acclimate.recipe.load import Recipe, TrainStage, load_recipe
from acclimate.training.settings import TrainingSettings

IMAGES = {"gta5": 24_966, "synthia": 9_400}
EPOCHS = {"gta5": 30, "synthia": 50}


def stage_of(recipe: Recipe, name: str) -> TrainStage:
    stage = recipe.stages[name]
    assert isinstance(stage, TrainStage)
    return stage


@pytest.mark.parametrize(
    "name",
    [
        "gta5-cbst",
        "gta5-mlsl",
        "gta5-mlsl-eta",
        "gta5-mlsl-lambda",
        "gta5-mlsl-patches",
        "synthia-cbst",
        "synthia-mlsl",
    ],
)
def test_source_models_of_cbst_and_mlsl(name: str) -> None:
    recipe, _ = load_recipe(name)
    training = recipe.training_settings(stage_of(recipe, "source-only"))
    assert isinstance(training, TrainingSettings)
    source = name.partition("-")[0]
    assert training.batch_size == 16
    assert training.steps == EPOCHS[source] * IMAGES[source] // 16
    assert training.learning_rate_factor(training.steps - 1) == 1
    assert (training.optimizer.learning_rate, training.optimizer.momentum) == (0.0016, 0.9)
    assert training.optimizer.weight_decay == 0.0005
    rounds = [stage for key, stage in recipe.stages.items() if key[-2:] == "-1" and isinstance(stage, TrainStage)]
    assert rounds
    for stage in rounds:
        training = recipe.training_settings(stage)
        assert training.optimizer.learning_rate == 0.0001
        assert training.steps * training.batch_size == 2 * 2975, "two epochs of the target"


def test_the_stages_of_fada() -> None:
    recipe, _ = load_recipe("gta5-fada")
    rows = {}
    for name in ("source-only", "fine-grained", "self-distilled"):
        stage = stage_of(recipe, name)
        network, training = recipe.network_config(stage), recipe.training_settings(stage)
        assert isinstance(network, NetworkConfig)
        assert network.options.weights == "imagenet-v1"
        rows[name] = (
            network.options.batch_norm, network.options.batch_norm_epsilon, 
            training.batch_size, training.optimizer.learning_rate,
            training.steps, training.schedule.horizon,
        )  # fmt: skip
    assert rows == {
        "source-only": ("frozen", 0, 8, 0.0005, 20_000, 31_250),
        "fine-grained": ("frozen", 0, 4, 0.00025, 40_000, 62_500),
        "self-distilled": ("trained", None, 8, 0.0005, 20_000, 31_250),
    }
