from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from acclimate.models import NetworkConfig, SegmentationNetwork, build_network
from acclimate.models.batch_norm import batch_norms

SETTINGS = {
    # setting: (normalises with the batch, running statistics move, affine trained)
    "published": (True, True, False),
    "frozen": (False, False, False),
    "global": (False, False, True),
    "trained": (True, True, True),
}


def build(setting: str) -> SegmentationNetwork:
    torch.manual_seed(0)
    return build_network(NetworkConfig(name="small", batch_norm=setting, width=8), 3)  # type: ignore[arg-type]


def statistics(network: nn.Module) -> Tensor:
    return torch.cat([layer.running_mean for layer in batch_norms(network)])  # type: ignore[misc]


@pytest.mark.parametrize("setting", SETTINGS)
def test_running_statistics_and_gradients_in_training(setting: str) -> None:
    _, moves, affine = SETTINGS[setting]
    network = build(setting)
    before = statistics(network).clone()
    network(torch.rand(2, 3, 32, 48)).logits.square().mean().backward()
    assert torch.equal(before, statistics(network)) is not moves
    for layer in batch_norms(network):
        assert (layer.weight.grad is not None) is affine
        assert (layer.bias.grad is not None) is affine
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_an_image_is_normalised_with(setting: str) -> None:
    """With batch statistics an image's logits depend on its company; with running statistics they do not."""
    uses_batch, _, _ = SETTINGS[setting]
    network = build(setting)
    image, companions = torch.rand(1, 3, 32, 48), torch.rand(3, 3, 32, 48) * 0.2
    alone = network(image).logits
    together = network(torch.cat([image, companions])).logits[:1]
    assert torch.allclose(alone, together, atol=1e-4) is not uses_batch


@pytest.mark.parametrize("setting", SETTINGS)
def test_evaluation_always_uses_running_statistics_and_moves_nothing(setting: str) -> None:
    network = build(setting)
    network(torch.rand(2, 3, 32, 48))
    network.eval()
    before = copy.deepcopy(network.state_dict())
    image = torch.rand(1, 3, 32, 48)
    torch.testing.assert_close(network(image).logits, network(image.expand(4, -1, -1, -1)).logits[:1])
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_momentum_is_a_tenth() -> None:
    network = build("published")
    image = torch.rand(1, 3, 32, 48)
    expected = 0.1 * network.stem[0](network.preprocessing(image)).mean(dim=(0, 2, 3))  # type: ignore[operator,index]
    network(image)
    torch.testing.assert_close(network.stem[1].running_mean, expected.detach())  # type: ignore[index]


@pytest.mark.parametrize("setting", ["frozen", "global"])
def test_the_setting_survives_every_call_of_train(setting: str) -> None:
    network = build(setting)
    network.eval().train().train(False).train(True)
    assert network.training
    assert not any(layer.training for layer in batch_norms(network))
