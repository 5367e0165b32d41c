from __future__ import annotations

import torch
from torch.nn import functional

from acclimate.models import NetworkConfig, build_network, upsample


def test_size_of_the_default_network() -> None:
    network = build_network(NetworkConfig(name="small"), 14)
    assert 0.5e6 < sum(p.numel() for p in network.parameters()) < 1.5e6
    output = network(torch.zeros(2, 3, 128, 256))
    assert output.logits.shape == (2, 14, 16, 32)
    assert list(output.levels) == ["main"]


def test_auxiliary_logits_ignore_the_dilated_blocks() -> None:
    network = build_network(NetworkConfig(name="small", multi_level=True, width=8), 4).eval()
    images = torch.rand(1, 3, 32, 64)
    before = network(images)
    torch.nn.init.normal_(network.layer3[0].conv1.weight)  # type: ignore[union-attr,index]
    after = network(images)
    assert torch.equal(before.levels["auxiliary"].logits, after.levels["auxiliary"].logits)
    assert torch.equal(before.levels["auxiliary"].features, after.levels["auxiliary"].features)
    assert not torch.allclose(before.logits, after.logits)


def test_signal_keeps_its_scale_at_the_start() -> None:
    torch.manual_seed(0)
    output = build_network(NetworkConfig(name="small"), 11)(torch.rand(4, 3, 64, 128))
    assert 0.3 < output.features.std() < 3
    assert output.logits.std() < 3  # near-uniform probabilities: no class is dead from the start


def test_learns_colours_from_scratch() -> None:
    """Four classes told apart by colour, in blocks of 16 pixels: SGD finds them within forty steps."""
    torch.manual_seed(0)
    colours = torch.tensor([[0.8, 0.2, 0.2], [0.2, 0.8, 0.2], [0.2, 0.2, 0.8], [0.6, 0.6, 0.1]])
    network = build_network(NetworkConfig(name="small", width=16), 4)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    accuracy = torch.zeros(())
    for _ in range(40):
        blocks = torch.randint(0, 4, (4, 1, 4, 8))
        labels = functional.interpolate(blocks.float(), scale_factor=16, mode="nearest").long()[:, 0]
        images = (colours[labels].permute(0, 3, 1, 2) + 0.1 * torch.randn(4, 3, 64, 128)).clamp(0, 1)
        logits = upsample(network(images).logits, (64, 128))
        accuracy = (logits.argmax(1) == labels).float().mean()
        optimiser.zero_grad()
        functional.cross_entropy(logits, labels).backward()
        optimiser.step()
    assert accuracy > 0.7
