from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.models import FineGrainedDiscriminator, OutputDiscriminator


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("classes", "parameters"), [(19, 2_781_121), (16, 2_778_049), (7, 2_768_833)])
def test_output_discriminator_has_the_published_size_and_keys(classes: int, parameters: int) -> None:
    with torch.device("meta"):
        discriminator = OutputDiscriminator(classes)
    assert count(discriminator) == parameters
    layers = ("conv1", "conv2", "conv3", "conv4", "classifier")
    assert list(discriminator.state_dict()) == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


@pytest.mark.parametrize(
    ("size", "expected"), [((720, 1280), (22, 40)), ((512, 1024), (16, 32)), ((760, 1280), (23, 40))]
)
def test_output_discriminator_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    with torch.device("meta"):
        assert OutputDiscriminator(19)(torch.zeros(1, 19, *size)).shape == (1, 1, *expected)


def test_output_discriminator_is_five_strided_convolutions_with_leaky_relus_between() -> None:
    torch.manual_seed(0)
    discriminator = OutputDiscriminator(3, width=4)
    modules: list[nn.Module] = []
    channels = 3
    for width in (4, 8, 16, 32):
        modules += [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        channels = width
    sequential = nn.Sequential(*modules, nn.Conv2d(channels, 1, 4, 2, 1))
    sequential.load_state_dict(dict(zip(sequential.state_dict(), discriminator.state_dict().values(), strict=True)))
    maps = torch.rand(2, 3, 64, 96, requires_grad=True)
    torch.testing.assert_close(discriminator(maps), sequential(maps))
    discriminator(maps).mean().backward()
    assert maps.grad is not None
    assert maps.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("in_channels", "classes", "parameters"), [(2048, 19, 5_057_702), (1024, 19, 2_698_406), (2048, 16, 5_050_784)]
)
def test_fine_grained_discriminator_has_the_published_size(in_channels: int, classes: int, parameters: int) -> None:
    with torch.device("meta"):
        discriminator = FineGrainedDiscriminator(in_channels, classes)
        assert discriminator(torch.zeros(1, in_channels, 9, 7)).shape == (1, 2 * classes, 9, 7)
    assert count(discriminator) == parameters


def test_fine_grained_logits_are_the_source_classes_then_the_target_classes() -> None:
    discriminator = FineGrainedDiscriminator(6, 3, width=8)
    features = torch.randn(2, 6, 5, 5)
    before = discriminator(features)
    with torch.no_grad():
        discriminator.source.bias += 1.0  # type: ignore[operator]
        discriminator.target.bias -= 2.0  # type: ignore[operator]
    change = discriminator(features) - before
    torch.testing.assert_close(change[:, :3], torch.ones(2, 3, 5, 5))
    torch.testing.assert_close(change[:, 3:], torch.full((2, 3, 5, 5), -2.0))
