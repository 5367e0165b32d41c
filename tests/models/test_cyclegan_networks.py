"""The networks of CycleGAN: published counts, receptive field, shapes kept, the published initialisation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from acclimate.models.cyclegan import PatchDiscriminator, ResnetGenerator


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_published_parameter_counts() -> None:
    assert count(ResnetGenerator()) == 11_378_179
    assert count(PatchDiscriminator()) == 2_764_737


def test_count_of_another_width_and_number_of_blocks() -> None:
    width, blocks = 8, 2
    entry, leave = 3 * width * 49 + width, width * 3 * 49 + 3
    down = (width * 2 * width * 9 + 2 * width) + (2 * width * 4 * width * 9 + 4 * width)
    up = (4 * width * 2 * width * 9 + 2 * width) + (2 * width * width * 9 + width)
    block = 2 * (4 * width * 4 * width * 9 + 4 * width)
    for upsampling in ("transposed", "resized"):
        generator = ResnetGenerator(width=width, blocks=blocks, upsampling=upsampling)  # type: ignore[arg-type]
        assert count(generator) == entry + down + up + leave + blocks * block


def test_a_score_sees_70_by_70_pixels() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(width=4).double()
    images = torch.randn(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
    # instance norm spreads every pixel over the picture; the convolutions alone are what the 70 is about
    features = images
    for convolution in (discriminator.conv1, discriminator.conv2, discriminator.conv3, discriminator.conv4):
        features = nn.functional.leaky_relu(convolution(features), 0.2)
    scores = discriminator.classifier(features)
    assert scores.shape == discriminator(images).shape == (1, 1, 14, 14)
    (gradient,) = torch.autograd.grad(scores[0, 0, 7, 7], images)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 70


@pytest.mark.parametrize("size", [(32, 64), (33, 50), (30, 31)])
def test_any_size_is_kept_and_values_stay_in_range(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, *size)
    for residual in (False, True):
        generator = ResnetGenerator(width=4, blocks=1, residual=residual)
        nn.init.normal_(generator.exit.weight)
        with torch.no_grad():
            result = generator.translate(images)
        assert result.shape == images.shape
        assert 0 <= float(result.min()) <= float(result.max()) <= 1


def test_enlarging_before_convolving_leaves_no_checkerboard() -> None:
    """Flat features stay flat, whatever the weights; after a transposed convolution every pixel of a block differs."""
    torch.manual_seed(0)
    flat = torch.ones(1, 8, 6, 6)
    with torch.no_grad():
        resized, transposed = (
            ResnetGenerator(width=2, blocks=1, upsampling=upsampling).up1(flat)  # type: ignore[arg-type]
            for upsampling in ("resized", "transposed")
        )
    assert resized.shape == transposed.shape == (1, 4, 12, 12)
    assert torch.allclose(resized, resized[..., :1, :1].expand_as(resized), atol=1e-6)
    inner = transposed[..., 4:8, 4:8]
    assert not torch.allclose(inner[..., :2, :2], inner[..., :1, :1].expand(-1, -1, 2, 2), atol=1e-3)


def test_an_untrained_residual_generator_is_the_identity() -> None:
    images = torch.rand(1, 3, 17, 22)
    assert torch.allclose(ResnetGenerator(width=4, blocks=1, residual=True).translate(images), images, atol=1e-6)


def test_initial_weights_have_the_published_deviation() -> None:
    torch.manual_seed(0)
    generator = ResnetGenerator(width=16, blocks=2)
    weights = torch.cat([p.detach().flatten() for n, p in generator.named_parameters() if n.endswith("weight")])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.01)
    assert all(not p.any() for n, p in generator.named_parameters() if n.endswith("bias"))


def test_a_picture_is_translated_alike_in_any_batch() -> None:
    """Instance norm uses each picture's own statistics, in evaluation as in training."""
    torch.manual_seed(0)
    generator = ResnetGenerator(width=4, blocks=1).eval()
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(generator.translate(images)[:1], generator.train().translate(images[:1]), atol=1e-5)


def test_the_generator_written_out_layer_by_layer() -> None:
    """The published layers as a plain sequence of modules with the same weights."""
    torch.manual_seed(0)
    ours = ResnetGenerator(width=4, blocks=2)

    class Residual(nn.Module):
        def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
            super().__init__()
            self.inner = nn.Sequential(
                nn.ReflectionPad2d(1), bare(first), nn.InstanceNorm2d(16), nn.ReLU(),
                nn.ReflectionPad2d(1), bare(second), nn.InstanceNorm2d(16),
            )  # fmt: skip

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images + self.inner(images)

    def bare(layer: nn.Conv2d) -> nn.Conv2d:
        plain = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)  # type: ignore[arg-type]
        plain.load_state_dict(layer.state_dict())
        return plain

    def normed(layer: nn.Module, channels: int) -> list[nn.Module]:
        return [layer, nn.InstanceNorm2d(channels), nn.ReLU()]

    plain = nn.Sequential(
        nn.ReflectionPad2d(3), *normed(bare(ours.entry), 4), *normed(ours.down1, 8), *normed(ours.down2, 16),
        *(Residual(block.conv1, block.conv2) for block in ours.blocks),  # type: ignore[arg-type]
        *normed(ours.up1, 8), *normed(ours.up2, 4), nn.ReflectionPad2d(3), bare(ours.exit), nn.Tanh(),
    )  # fmt: skip
    images = torch.rand(2, 3, 24, 32) * 2 - 1
    torch.testing.assert_close(ours(images), plain(images), atol=1e-5, rtol=1e-4)
