from __future__ import annotations

import pytest
from pydantic import ValidationError

from acclimate.errors import UserError
from acclimate.models import NetworkConfig, build_network
from acclimate.models.registry import NETWORKS, settled


def test_an_unknown_option_names_the_nearest_one_and_the_place() -> None:
    with pytest.raises(
        UserError, match=r"recipe\.yaml: network: unknown network option 'widht'; did you mean 'width'\?"
    ):
        NetworkConfig.parse({"name": "small", "widht": 3}, where="recipe.yaml: network")


def test_the_nearest_option_is_also_named_when_the_config_is_part_of_another_model() -> None:
    with pytest.raises(ValidationError, match="did you mean 'multi_level'"):
        NetworkConfig.model_validate({"name": "small", "multilevel": True})


def test_a_value_of_the_wrong_kind_names_its_key() -> None:
    with pytest.raises(UserError, match=r"network: output_stride: .*8 or 16"):
        NetworkConfig.parse({"name": "deeplab-v2", "output_stride": 32})


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        NetworkConfig(name="small").width = 4


def test_an_option_the_network_lacks_is_an_error_not_ignored() -> None:
    with pytest.raises(UserError, match="network 'small' has no option 'backbone'"):
        build_network(NetworkConfig(name="small", backbone="timm/resnet18"), 5)


def test_an_unknown_network_names_the_nearest_one() -> None:
    with pytest.raises(UserError, match="unknown network 'deeplab-v2-resnet'; did you mean 'deeplab-v2-resnet101'"):
        build_network(NetworkConfig(name="deeplab-v2-resnet"), 5)


def test_settling_fills_defaults_and_keeps_what_was_said() -> None:
    config = settled(NetworkConfig(name="deeplab-v2-resnet101", branches=2))
    assert (config.batch_norm, config.branches, config.head_learning_rate_multiple) == ("published", 2, 10.0)
    assert settled(config) == config


@pytest.mark.parametrize("name", NETWORKS)
def test_registered_options_are_options_of_the_config(name: str) -> None:
    assert set(NETWORKS[name].options) <= set(NetworkConfig.model_fields) - {"name"}
    NetworkConfig.parse({"name": name, **{k: v for k, v in NETWORKS[name].options.items() if v is not None}})
