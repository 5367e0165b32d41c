from __future__ import annotations

import pytest
from pydantic import ValidationError

from acclimate.errors import UserError
from acclimate.models import NetworkConfig, build_network
from acclimate.models.registry import NETWORKS


def test_an_unknown_option_names_the_nearest_one_and_the_place() -> None:
    with pytest.raises(UserError, match=r"recipe\.yaml: network: small: unknown key 'widht'; did you mean 'width'\?"):
        NetworkConfig.parse({"name": "small", "widht": 3}, where="recipe.yaml: network")


def test_the_nearest_option_is_also_named_when_the_config_is_part_of_another_model() -> None:
    with pytest.raises(ValidationError, match="did you mean 'multi_level'"):
        NetworkConfig.model_validate({"name": "small", "multilevel": True})


def test_a_value_of_the_wrong_kind_names_its_key() -> None:
    with pytest.raises(UserError, match=r"network: deeplab-v2: output_stride must be 8 or 16 \(got 32\)"):
        NetworkConfig.parse({"name": "deeplab-v2", "output_stride": 32})


def test_a_config_cannot_be_changed() -> None:
    config = NetworkConfig.parse({"name": "small"})
    with pytest.raises(ValidationError):
        config.options.width = 4  # type: ignore[attr-defined]


def test_an_option_the_network_lacks_is_an_error_not_ignored() -> None:
    with pytest.raises(UserError, match="small: unknown key 'backbone'"):
        NetworkConfig.parse({"name": "small", "backbone": "timm/resnet18"})


def test_an_unknown_network_names_the_nearest_one() -> None:
    with pytest.raises(UserError, match="unknown network 'deeplab-v2-resnet'; did you mean 'deeplab-v2-resnet101'"):
        NetworkConfig.parse({"name": "deeplab-v2-resnet"})


def test_an_unknown_decoder_and_its_options_name_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown decoder 'daformr'; did you mean 'daformer'"):
        NetworkConfig.parse({"name": "encoder-decoder", "decoder": "daformr"})
    with pytest.raises(UserError, match="decoder_options of fpn: unknown key 'rates'"):
        NetworkConfig.parse({"name": "encoder-decoder", "decoder": "fpn", "decoder_options": {"rates": [1]}})


def test_name_and_options_are_read_side_by_side_and_one_in_the_other() -> None:
    config = NetworkConfig.parse({"name": "deeplab-v2-resnet101", "branches": 2})
    written = config.model_dump(mode="json")
    assert written["options"]["branches"] == 2
    assert NetworkConfig.parse(written) == config
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config
    assert config.with_options(weights="file").without_weights() == config


def test_a_network_says_every_option_it_was_built_with() -> None:
    options = build_network(NetworkConfig.parse({"name": "deeplab-v2-vgg16", "branches": 2}), 5).config.options
    assert options.model_dump() == {
        "weights": None,
        "branches": 2,
        "head_learning_rate_multiple": 1.0,
        "preprocessing": "caffe",
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_options_of_its_own_and_explains_them(name: str) -> None:
    options = NETWORKS[name].Options
    assert NetworkConfig.parse({"name": name}).options == options()
    explained = options.__doc__ or ""
    if "Those of ``encoder-decoder``" not in explained:
        assert [field for field in options.model_fields if f"        {field}:" not in explained] == []
