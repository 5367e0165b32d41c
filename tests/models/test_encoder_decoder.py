"""Any backbone under any decoder: padding, freezing, learning rates and weight decay by depth, checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from acclimate.errors import UserError
from acclimate.models import ModelCard, NetworkConfig, build_network, load_network, save_network
from acclimate.models.encoder_decoder import EncoderDecoder

VIT = "timm/vit_tiny_patch16_224"


def network(**options: Any) -> EncoderDecoder:
    torch.manual_seed(0)
    built = build_network(NetworkConfig.parse({"name": "encoder-decoder", **options}), 4)
    assert isinstance(built, EncoderDecoder)
    return built


@pytest.mark.parametrize(
    ("options", "side"),
    [
        ({"backbone": VIT, "decoder": "vit-pyramid"}, 16),
        ({"backbone": VIT, "decoder": "dpt", "decoder_options": {"channels": 8, "level_channels": [8] * 4}}, 32),
        ({"backbone": "timm/pvt_v2_b0", "decoder": "segformer", "decoder_options": {"channels": 8}}, 32),
        ({"backbone": "torchvision/mobilenet_v2", "decoder": "v3plus-light", "output_stride": 16}, 16),
    ],
    ids=["vit-pyramid", "dpt", "segformer", "v3plus-light"],
)
def test_images_are_padded_with_the_mean_colour_and_logits_cut(options: dict[str, Any], side: int) -> None:
    made = network(**options).eval()
    assert made.multiple == side
    images = torch.rand(1, 3, 3 * side - 8, 2 * side)
    whole = made.preprocessing.mean_colour.expand(1, 3, 3 * side, 2 * side).clone()
    whole[:, :, : 3 * side - 8] = images
    with torch.no_grad():
        found, expected = made(images), made(whole)
        odd = made(torch.rand(1, 3, 37, 51))
    height = math.ceil((3 * side - 8) / made.stride)
    assert found.logits.shape[2] == height
    if (3 * side - 8) % made.stride == 0:
        torch.testing.assert_close(found.logits, expected.logits[:, :, :height], atol=1e-4, rtol=1e-4)
    assert odd.logits.shape[2:] == (math.ceil(37 / made.stride), math.ceil(51 / made.stride))
    assert odd.features.shape[1] == made.feature_channels()["main"]


def test_learning_rates_fall_block_by_block_and_decay_spares_norms_and_positions() -> None:
    made = network(backbone=VIT, decoder="linear", layer_decay=0.5, head_learning_rate_multiple=4.0)
    names = {id(parameter): name for name, parameter in made.named_parameters()}
    rate, decay = {}, {}
    for group in made.parameter_groups():
        for parameter in group.params:
            rate[names[id(parameter)]] = group.learning_rate_multiple
            decay[names[id(parameter)]] = group.weight_decay_multiple
    assert set(rate) == set(names.values())
    block = "backbone.model.blocks.{}.attn.qkv.weight"
    assert rate["decoder.classifier.weight"] == 4.0
    assert [rate[block.format(number)] for number in (11, 10, 0)] == [1.0, 0.5, 0.5**11]
    assert rate["backbone.model.norm.weight"] == 1.0
    assert rate["backbone.model.pos_embed"] == rate["backbone.model.patch_embed.proj.weight"] == 0.5**12
    undecayed = {name for name, multiple in decay.items() if multiple == 0}
    assert undecayed == {
        name for name in names.values() if name.endswith(("bias", "pos_embed", "cls_token")) or "norm" in name
    }
    everything = network(backbone=VIT, decoder="linear", decay_norms=True).parameter_groups()
    assert {group.weight_decay_multiple for group in everything} == {1.0}
    assert [group.name for group in everything] == ["body", "heads"]


def test_a_frozen_backbone_keeps_its_weights_and_statistics() -> None:
    made = network(backbone="torchvision/mobilenet_v2", decoder="small-aspp", freeze_backbone=True).train()
    before = {key: value.clone() for key, value in made.backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for group in made.parameter_groups() for p in group.params], lr=0.1)
    output = made(torch.rand(2, 3, 64, 64))
    assert output.features is not None
    assert not output.features.requires_grad
    output.logits.square().mean().backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in made.backbone.state_dict().items())
    assert [group.name for group in made.parameter_groups()] == ["heads", "heads, not decayed"]
    head = network(backbone="torchvision/mobilenet_v2", decoder="small-aspp").decoder.state_dict()
    assert not torch.equal(made.decoder.state_dict()["head.reduce.weight"], head["head.reduce.weight"])


def test_the_auxiliary_level_reads_the_features_before_the_last() -> None:
    made = network(backbone="torchvision/resnet18", decoder="daformer", multi_level=True, output_stride=16).eval()
    with torch.no_grad():
        output = made(torch.rand(1, 3, 64, 96))
    assert list(output.levels) == ["main", "auxiliary"]
    assert {name: level.features.shape[1] for name, level in output.levels.items()} == {"main": 512, "auxiliary": 256}
    assert made.feature_channels() == {"main": 512, "auxiliary": 256}
    assert output.levels["auxiliary"].logits.shape == (1, 4, 4, 6)


def test_a_checkpoint_is_the_same_network_in_another_process(tmp_path: Path) -> None:
    made = network(backbone=VIT, decoder="vit-pyramid", layer_decay=0.9, drop_path=0.1).eval()
    names = ("a", "b", "c", "d")
    card = ModelCard(network=made.config, classes=names, colours=((0, 0, 0),) * 4, class_space="toy")
    save_network(tmp_path / "model.safetensors", made, card=card)
    loaded, card = load_network(tmp_path / "model.safetensors")
    assert card.network.options.preprocessing == "half"  # type: ignore[attr-defined]
    images = torch.rand(1, 3, 40, 70)
    with torch.no_grad():
        assert torch.equal(loaded(images).logits, made(images).logits)


def test_a_mobilenet_leaves_out_what_only_its_classifier_needs() -> None:
    with torch.device("meta"):
        made = network(backbone="torchvision/mobilenet_v2", decoder="linear")
    published = 3_504_872 - 1_281_000  # without the classifier
    assert sum(p.numel() for p in made.backbone.parameters()) == published - (320 * 1280 + 2 * 1280)
    assert made.backbone.channels == [16, 24, 32, 96, 320]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "vit_tiny"}, "neither 'torchvision/NAME' nor 'timm/NAME'"),
        ({"backbone": VIT, "decoder": "fpn"}, "half as fine as the one before"),
        ({"backbone": VIT, "weights": "imagenet-v1"}, "are torchvision's"),
        ({"decoder_options": {"widht": 3}, "decoder": "linear"}, "decoder_options of linear: unknown key 'widht'"),
        ({"layer_decay": 1.5}, "layer_decay must be less than or equal to 1"),
    ],
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        network(**options)
