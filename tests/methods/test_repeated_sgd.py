"""The published optimiser's repeats against transcriptions that list parameters several times, in float64."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from acclimate.methods.optimizers import OptimizerSettings, holding_modules, network_optimizer
from acclimate.methods.repeated_sgd import Arithmetic, RepeatedSGD
from acclimate.models.config import NetworkConfig
from acclimate.models.network import ParameterGroup, SegmentationNetwork
from acclimate.models.registry import build_network

RATE, MOMENTUM, DECAY = 0.05, 0.9, 0.02
ARITHMETICS: list[Arithmetic] = ["pytorch-0.4", "pytorch-2"]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 1, bias=False)
        self.downsample = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False))

    def forward(self, maps: Tensor) -> Tensor:
        return torch.tanh(self.conv1(maps)) + self.downsample(maps)  # type: ignore[no-any-return]


class Net(nn.Module):
    """A body and a head as the published network nests them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3, bias=False)
        self.layer1 = nn.Sequential(Block())
        self.layer5 = nn.Conv2d(3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer5(self.layer1(self.conv1(images)))  # type: ignore[no-any-return]

    def parameter_groups(self) -> list[ParameterGroup]:
        body = [*self.conv1.parameters(), *self.layer1.parameters()]
        return [ParameterGroup("body", body), ParameterGroup("heads", list(self.layer5.parameters()), 10.0)]

    def walk(self) -> Iterator[nn.Parameter]:
        """The body's parameters as the published walk lists them, some of them several times."""
        for part in (self.conv1, self.layer1):
            for module in part.modules():
                yield from module.parameters()


def transcribed(network: Net, momenta: dict[int, Tensor], arithmetic: Arithmetic) -> None:
    """One step of SGD over the list with its repetitions, one parameter at a time, as PyTorch has it."""
    first = not momenta
    for rate, params in ((RATE, list(network.walk())), (10 * RATE, list(network.layer5.parameters()))):
        for weights in params:
            assert weights.grad is not None
            if arithmetic == "pytorch-0.4":
                weights.grad.add_(DECAY * weights.data)
                change = weights.grad
            else:
                change = weights.grad + DECAY * weights.data
            if id(weights) in momenta and not (first and arithmetic == "pytorch-2"):
                momenta[id(weights)] = MOMENTUM * momenta[id(weights)] + change
            else:
                momenta[id(weights)] = change.clone()
            weights.data -= rate * momenta[id(weights)]


def settings(arithmetic: Arithmetic) -> OptimizerSettings:
    return OptimizerSettings(learning_rate=RATE, momentum=MOMENTUM, weight_decay=DECAY, body_repeats=arithmetic)


def backward(network: Net, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    images = torch.rand(1, 3, 5, 5, generator=generator, dtype=torch.float64)
    network.zero_grad()
    network(images).square().mean().backward()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_steps_equal_those_over_a_list_with_repetitions(arithmetic: Arithmetic, steps: int) -> None:
    torch.manual_seed(0)
    ours = Net().double()
    theirs, momenta = copy.deepcopy(ours), dict[int, Tensor]()
    optimizer = network_optimizer(ours, settings(arithmetic))
    for step in range(steps):
        backward(ours, step)
        optimizer.step()
        backward(theirs, step)
        transcribed(theirs, momenta, arithmetic)
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, other, rtol=0, atol=1e-12), name


def test_the_present_pytorch_steps_such_a_list_like_this() -> None:
    torch.manual_seed(0)
    ours = Net().double()
    theirs = copy.deepcopy(ours)
    optimizer = network_optimizer(ours, settings("pytorch-2"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = [{"params": list(theirs.walk())}, {"params": theirs.layer5.parameters(), "lr": 10 * RATE}]
        sgd = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY, foreach=False)
    for step in range(3):
        for network, stepped in ((ours, optimizer), (theirs, sgd)):
            backward(network, step)
            stepped.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("arithmetic", "first"), [("pytorch-0.4", 1 + 1.9 + 2.71), ("pytorch-2", 3.0)])
def test_a_constant_gradient_moves_three_times_as_far(arithmetic: Arithmetic, first: float) -> None:
    """The first step by hand; after a thousand steps 3.02 times, because the momentum is sooner up to its speed."""
    single, thrice = (nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in range(2))
    groups = [{"params": [single]}, {"params": [thrice], "repeats": 3}]
    optimizer = RepeatedSGD(groups, learning_rate=0.1, momentum=0.9, arithmetic=arithmetic)
    ratios = []
    for _ in range(1000):
        single.grad, thrice.grad = torch.ones_like(single), torch.ones_like(thrice)
        optimizer.step()
        ratios.append((thrice / single).item())
    assert ratios[0] == pytest.approx(first)
    assert ratios[-1] == pytest.approx(3.02, abs=0.005)


def test_the_published_network_is_listed_as_in_the_published_code() -> None:
    """99 convolutions three times, four shortcuts four times, the first convolution and the heads once."""
    with torch.device("meta"):
        network = build_network(NetworkConfig.model_validate({"name": "deeplab-v2-resnet101", "multi_level": True}), 19)
    assert isinstance(network, SegmentationNetwork)
    optimizer = network_optimizer(network, settings("pytorch-0.4"))
    counts = {}
    for group in optimizer.param_groups:
        key = group["repeats"], round(group["lr"] / RATE)
        counts[key] = counts.get(key, 0) + len(group["params"])
    assert counts == {(1, 1): 1, (3, 1): 99, (4, 1): 4, (1, 10): 16}
    assert holding_modules("layer4.2.conv3.weight") == 3


def test_adamw_has_no_repeats() -> None:
    with pytest.raises(ValidationError, match="set it to none"):
        OptimizerSettings(kind="adamw", body_repeats="pytorch-2")
