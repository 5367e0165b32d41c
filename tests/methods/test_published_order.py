"""AdaptSegNet and AdvEnt against a plain implementation of the published iteration, weight by weight in float64."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from toy import CLASSES, ToyNetwork, batch, make_method, target_batch

from acclimate.data.sample import Batch
from acclimate.methods import Method
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.training.loop import train_step
from acclimate.training.schedule import Schedule, set_learning_rates

STEPS = 10
RATE, DISCRIMINATOR_RATE, MOMENTUM, DECAY = 0.05, 0.01, 0.9, 5e-4
WEIGHTS = {"main": 0.3, "auxiliary": 0.06}
"""Larger than published, so that three steps make a difference that the comparison can see."""


class PlainTrainer:
    """One iteration as the papers' code has it: every loss backpropagated by itself, then three optimisers step."""

    def __init__(self, network: ToyNetwork, discriminators: dict[str, nn.Sequential], *, entropy: bool) -> None:
        self.network, self.discriminators, self.entropy = network, discriminators, entropy
        heads = [network.head] + ([network.auxiliary_head] if network.auxiliary_head is not None else [])
        body = [network.stem, network.deep]  # the affine parameters of batch norm are frozen
        self.sgd = torch.optim.SGD(
            [
                {"params": [p for module in body for p in module.parameters()], "lr": RATE},
                {"params": [p for module in heads for p in module.parameters()], "lr": 10 * RATE},
            ],
            lr=RATE,
            momentum=MOMENTUM,
            weight_decay=DECAY,
        )
        self.adams = {
            level: torch.optim.Adam(discriminator.parameters(), lr=DISCRIMINATOR_RATE, betas=(0.9, 0.99))
            for level, discriminator in discriminators.items()
        }

    def iterate(self, source: Batch, target: Batch, step: int) -> None:
        factor = (1 - step / STEPS) ** 0.9
        self.sgd.zero_grad()
        self.sgd.param_groups[0]["lr"] = RATE * factor
        self.sgd.param_groups[1]["lr"] = 10 * RATE * factor
        for adam in self.adams.values():
            adam.zero_grad()
            adam.param_groups[0]["lr"] = DISCRIMINATOR_RATE * factor

        for discriminator in self.discriminators.values():
            for parameter in discriminator.parameters():
                parameter.requires_grad = False

        assert source.labels is not None
        source_logits = self.logits(source)
        loss = cross_entropy(source_logits["main"], source.labels)
        if "auxiliary" in source_logits:
            loss = loss + 0.1 * cross_entropy(source_logits["auxiliary"], source.labels)
        loss.backward()  # type: ignore[no-untyped-call]

        target_logits = self.logits(target)
        loss = torch.zeros((), dtype=torch.float64)
        for level, discriminator in self.discriminators.items():
            score = discriminator(self.seen(target_logits[level]))
            loss = loss + WEIGHTS[level] * binary_cross_entropy(score, 0.0)
        loss.backward()  # type: ignore[no-untyped-call]

        for discriminator in self.discriminators.values():
            for parameter in discriminator.parameters():
                parameter.requires_grad = True
        for logits, domain in ((source_logits, 0.0), (target_logits, 1.0)):
            for level, discriminator in self.discriminators.items():
                score = discriminator(self.seen(logits[level].detach()))
                (binary_cross_entropy(score, domain) / 2).backward()  # type: ignore[no-untyped-call]

        self.sgd.step()
        for adam in self.adams.values():
            adam.step()

    def logits(self, images: Batch) -> dict[str, Tensor]:
        output = self.network(images.images)
        enlarge = nn.Upsample(size=images.images.shape[-2:], mode="bilinear", align_corners=True)
        levels = {"main": enlarge(output.logits)}
        if "auxiliary" in output.levels:
            levels["auxiliary"] = enlarge(output.levels["auxiliary"].logits)
        return levels

    def seen(self, logits: Tensor) -> Tensor:
        powers = torch.exp(logits - logits.max(dim=1, keepdim=True).values)
        probabilities = powers / powers.sum(dim=1, keepdim=True)
        if not self.entropy:
            return probabilities
        return -probabilities * torch.log2(probabilities + 1e-30) / math.log2(CLASSES)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over valid pixels of -log of the probability of the right class, one pixel's row at a time."""
    rows = logits.permute(0, 2, 3, 1).reshape(-1, CLASSES)
    right = labels.reshape(-1)
    rows, right = rows[right != 255], right[right != 255]
    return (torch.logsumexp(rows, dim=1) - rows[torch.arange(len(rows)), right]).mean()


def binary_cross_entropy(score: Tensor, domain: float) -> Tensor:
    probability = 1 / (1 + torch.exp(-score))
    return -(domain * torch.log(probability) + (1 - domain) * torch.log(1 - probability)).mean()


def plain_discriminator(ours: nn.Module) -> nn.Sequential:
    """The published stack of convolutions with our weights."""
    layers: list[nn.Module] = []
    for convolution in ("conv1", "conv2", "conv3", "conv4"):
        layers += [copy.deepcopy(getattr(ours, convolution)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, copy.deepcopy(ours.classifier))


def both(name: str, *, multi_level: bool) -> tuple[Method, PlainTrainer]:
    network = ToyNetwork(multi_level=multi_level).double()
    method = make_method(
        name,
        network,
        optimizer=OptimizerSettings(learning_rate=RATE, discriminator_learning_rate=DISCRIMINATOR_RATE),
        adversarial_weight=WEIGHTS["main"],
        auxiliary_adversarial_weight=WEIGHTS["auxiliary"],
    ).double()
    discriminators = {level: plain_discriminator(d) for level, d in method.discriminators.items()}  # type: ignore[union-attr,operator]
    plain = PlainTrainer(copy.deepcopy(network), discriminators, entropy=name == "advent")
    return method, plain


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("multi_level", [False, True])
@pytest.mark.parametrize("name", ["advent", "adaptsegnet"])
def test_steps_equal_the_published_iteration(name: str, multi_level: bool, steps: int) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
    method, plain = both(name, multi_level=multi_level)
    start = copy.deepcopy(method.state_dict())
    for step in range(steps):
        source, target = batch(step, count=1), target_batch(step, count=1)
        source.images, target.images = source.images.double(), target.images.double()
        plain.iterate(source, target, step)
        set_learning_rates(method.optimizers.values(), Schedule().factor(step, steps=STEPS))
        train_step(method, source, target, step, fabric=fabric)

    theirs = plain.network.state_dict()
    for key, value in method.network.state_dict().items():
        assert torch.allclose(value, theirs[key], rtol=0, atol=1e-9), key
    for level, discriminator in plain.discriminators.items():
        ours = [value for key, value in method.state_dict().items() if key.startswith(f"discriminators.{level}.")]
        for value, theirs_value in zip(ours, discriminator.state_dict().values(), strict=True):
            assert torch.allclose(value, theirs_value, rtol=0, atol=1e-9), level
    moved = {key for key, value in method.state_dict().items() if not torch.equal(value, start[key])}
    still = {key for key in start if key not in moved}
    assert still == {"network.norm.weight", "network.norm.bias"}


def test_full_precision_means_no_autocast() -> None:
    for precision, expected in (("64-true", False), ("32-true", False), ("bf16-mixed", True)):
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
        with fabric.autocast():
            assert torch.is_autocast_enabled("cpu") is expected
