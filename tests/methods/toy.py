"""A segmentation network and batches small enough to check methods on."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from acclimate.data.sample import Batch
from acclimate.methods import METHODS, Method, MethodOptions, Setting, method_class, method_options
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.models.batch_norm import BatchNormSetting
from acclimate.models.network import Level, Output, SegmentationNetwork
from acclimate.models.small import SmallOptions
from acclimate.models.twin_heads import with_twin_head

CLASSES, STEPS = 3, 10
SOURCE_SIZE, TARGET_SIZE = (40, 56), (36, 48)
"""(height, width); they differ on purpose, but for methods that mix images: see :func:`sizes_that_fit`."""


class ToyNetwork(SegmentationNetwork):
    """Two strided convolutions and a head per level; remembers the images it was called on."""

    name = "small"

    def __init__(
        self,
        *,
        multi_level: bool = False,
        batch_norm: BatchNormSetting | None = "published",
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            SmallOptions(multi_level=multi_level),
            CLASSES,
            stride=4,
            preprocessing="imagenet",
            batch_norm=batch_norm,
            head_learning_rate_multiple=10.0,
            multi_level=multi_level,
        )
        torch.manual_seed(seed)
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.Identity() if batch_norm is None else nn.BatchNorm2d(4)
        self.deep = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(6, CLASSES, 1)
        self.auxiliary_head = nn.Conv2d(4, CLASSES, 1) if multi_level else None
        self.calls: list[Tensor] = []
        self.features: list[weakref.ref[Tensor]] = []
        self.alive_at_call: list[int] = []
        self.finish()

    def forward(self, images: Tensor) -> Output:
        self.calls.append(images)
        self.alive_at_call.append(sum(reference() is not None for reference in self.features))
        output = super().forward(images)
        assert output.features is not None
        self.features.append(weakref.ref(output.features))
        return output

    def segment(self, images: Tensor) -> Output:
        middle = torch.tanh(self.norm(self.stem(images)))
        last = self.dropout(torch.tanh(self.deep(middle)))
        if self.auxiliary_head is None:
            return Output({"main": Level(self.head(last), last)})
        main, auxiliary = Level(self.head(last), last), Level(self.auxiliary_head(middle), middle)
        return Output({"main": main, "auxiliary": auxiliary})

    def heads(self) -> list[nn.Module]:
        return [self.head] if self.auxiliary_head is None else [self.auxiliary_head, self.head]


def batch(
    step: int,
    *,
    size: tuple[int, int] = SOURCE_SIZE,
    labels: bool = True,
    count: int = 2,
    void: float = 0.2,
    domain: int = 0,
) -> Batch:
    """Images and labels that depend on the step, the size and the domain; ``void`` is the share of void pixels."""
    generator = torch.Generator().manual_seed(1000 * step + size[0] + 500 * domain)
    images = torch.rand(count, 3, *size, generator=generator)
    ids = torch.randint(0, CLASSES, (count, *size), generator=generator)
    ids[torch.rand(ids.shape, generator=generator) < void] = 255
    return Batch(images, ids if labels else None, [f"{step}-{index}" for index in range(count)])


def target_batch(step: int, *, labels: bool = False, count: int = 2, void: float = 0.2) -> Batch:
    """A batch of another size than the source's, without labels unless they are asked for."""
    return batch(step, size=TARGET_SIZE, labels=labels, count=count, void=void, domain=1)


@pytest.fixture(autouse=True)
def sizes_that_fit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives both domains one size where a test's parameter ``name`` is a method that mixes their images."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if "mixing" in getattr(METHODS.get(parameters.get("name")), "Options", MethodOptions).model_fields:
        monkeypatch.setitem(globals(), "TARGET_SIZE", SOURCE_SIZE)


def make_method(
    name: str,
    network: SegmentationNetwork | None = None,
    *,
    optimizer: OptimizerSettings | None = None,
    **options: Any,
) -> Method:
    """A method on a toy network, with a narrow discriminator where it has one and published settings otherwise."""
    cls = method_class(name)
    if "discriminator_dropout" in cls.Options.model_fields:  # of four channels none might pass anything on
        options = {"discriminator_width": 16, "discriminator_dropout": 0.0} | options
    if "discriminator_width" in cls.Options.model_fields:
        options.setdefault("discriminator_width", 4)
    for narrow in ("translator_width", "perceptual_width"):
        if narrow in cls.Options.model_fields:
            options.setdefault(narrow, 2)
    network = network or ToyNetwork()
    if cls.network_options.get("twin_heads"):
        with_twin_head(network)
    torch.manual_seed(1)
    setting = Setting(
        optimizer=optimizer or OptimizerSettings(learning_rate=0.01),
        steps=STEPS,
        class_ratios=torch.tensor([0.5, 0.3, 0.2]),
        class_names=("road", "person", "car"),
        initial=ToyNetwork(seed=5),
    )
    return cls(network, options=method_options(name, options), setting=setting)


def gradients(method: Method) -> dict[str, Tensor]:
    """A copy of every gradient there is."""
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def descend(method: Method, source: Batch, target: Batch | None, step: int = 0) -> dict[str, float]:
    """Backpropagates a step's losses in order, as the loop does, without stepping; returns their values."""
    torch.manual_seed(step)
    values: dict[str, float] = {}
    for losses in method.losses(source, target, step):
        for name, term in losses.items():
            assert name not in values, f"two losses of one step are called {name}"
            values[name] = term.value.item()
        if losses:
            torch.stack([term.weight * term.value for term in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
    return values
