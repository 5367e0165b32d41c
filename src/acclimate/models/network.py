"""What every segmentation network is: images in, logits and features out, parameters in groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from acclimate.models.batch_norm import BatchNormSetting, freeze_affine, set_epsilon, use_running_statistics
from acclimate.models.config import NetworkConfig, NetworkOptions
from acclimate.models.preprocessing import Preprocessing, PreprocessingName

AnyModule = TypeVar("AnyModule", bound=nn.Module)
MAIN, AUXILIARY = "main", "auxiliary"
"""The level that is evaluated, which every network has, and AdaptSegNet's second one on mid-level features."""


class Region(NamedTuple):
    """A rectangle of the input, in its pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, maps: Tensor) -> Tensor:
        """The rectangle of maps (..., H, W) at the input's size."""
        return maps[..., self.top : self.top + self.height, self.left : self.left + self.width]


class Level(NamedTuple):
    """What one head says about a batch, at its own stride: h and w are about H / stride and W / stride.

    Attributes:
        logits: (B, C, h, w).
        features: (B, D, h, w), the input of the head; None where the network does not tell.
        weight: of this level's cross-entropy; None leaves it to the method: 1 for ``main``, its ``auxiliary_weight``
            for others.
        region: the part of the input that the logits cover; None for all of it.
    """

    logits: Tensor
    features: Tensor | None = None
    weight: float | None = None
    region: Region | None = None

    def size_within(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) in pixels of what the level covers of an input of ``size`` (H, W)."""
        return size if self.region is None else (self.region.height, self.region.width)


class Output(NamedTuple):
    """What a network says about a batch: named levels, ``main`` first, which is the one to evaluate."""

    levels: dict[str, Level]

    @property
    def logits(self) -> Tensor:
        """(B, C, h, w) of the main level."""
        return self.levels[MAIN].logits

    @property
    def features(self) -> Tensor | None:
        """(B, D, h, w) of the main level."""
        return self.levels[MAIN].features

    def with_logits(self, change: Callable[[Level], Tensor]) -> Output:
        """The same levels with other logits, each of them what ``change`` makes of its level."""
        return Output({name: level._replace(logits=change(level)) for name, level in self.levels.items()})


@dataclass(frozen=True)
class ParameterGroup:
    """Trainable parameters that share a learning rate.

    Attributes:
        name: ``body``, ``heads``, ...
        params: each parameter once, none of them frozen.
        learning_rate_multiple: factor on the optimiser's learning rate.
        weight_decay_multiple: factor on the optimiser's weight decay.
    """

    name: str
    params: list[nn.Parameter]
    learning_rate_multiple: float = 1.0
    weight_decay_multiple: float = 1.0


class SegmentationNetwork(nn.Module, ABC):
    """A network from RGB images in [0, 1] to low-resolution logits; it normalises by itself.

    Subclasses build their layers, call :meth:`finish` last in ``__init__``, and implement :meth:`segment` and
    :meth:`heads`. Everything works under bfloat16 autocast and in the channels-last memory format.

    Attributes:
        name: how recipes call it.
        summary: one line for a person choosing.
        Options: its options, with their defaults.
        config: its name and every option at the value it was built with.
        classes: number of classes C.
        stride: input pixels per output position.
        levels: names of the levels of every output that have features, ``main`` first.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type[NetworkOptions]]

    def __init__(
        self,
        options: NetworkOptions,
        classes: int,
        *,
        stride: float,
        preprocessing: PreprocessingName,
        batch_norm: BatchNormSetting | None = None,
        head_learning_rate_multiple: float = 1.0,
        multi_level: bool = False,
    ) -> None:
        super().__init__()
        self.config = NetworkConfig(name=self.name, options=options)
        self.classes = classes
        self.stride = stride
        self.levels: tuple[str, ...] = (MAIN, AUXILIARY) if multi_level else (MAIN,)
        self.batch_norm = batch_norm
        self.head_learning_rate_multiple = head_learning_rate_multiple
        self.preprocessing = Preprocessing(preprocessing)

    def finish(self, *, batch_norm_epsilon: float | None = None) -> None:
        """Applies the batch-norm setting once all layers exist."""
        if self.batch_norm is not None:
            freeze_affine(self, self.batch_norm)
        if batch_norm_epsilon is not None:
            set_epsilon(self, batch_norm_epsilon, setting=self.batch_norm)
        self.train(self.training)

    def forward(self, images: Tensor) -> Output:
        """Logits and features of RGB images (B, 3, H, W) with values in [0, 1]."""
        return self.segment(self.preprocessing(images))

    def features_of(self, images: Tensor) -> Tensor | None:
        """The main level's features (B, D, h, w) of RGB images in [0, 1], without logits where that saves time."""
        output: Output = self(images)
        return output.features

    @abstractmethod
    def segment(self, images: Tensor) -> Output:
        """Logits and features of images that have been preprocessed."""

    @abstractmethod
    def heads(self) -> list[nn.Module]:
        """The modules that turn features into logits; a multi-level network's auxiliary head comes first."""

    def feature_channels(self) -> dict[str, int]:
        """Channels of the features of each level, ``main`` first."""
        names = self.levels[::-1]
        first = {
            name: next(module for module in head.modules() if isinstance(module, nn.Conv2d))
            for name, head in zip(names, self.heads(), strict=False)
        }
        return {name: first[name].in_channels for name in self.levels}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Body and heads, the latter at ``head_learning_rate_multiple`` times the learning rate."""
        heads = trainable(parameter for head in self.heads() for parameter in head.parameters())
        in_heads = {id(parameter) for parameter in heads}
        body = [parameter for parameter in trainable(self.parameters()) if id(parameter) not in in_heads]
        groups = [
            ParameterGroup("body", body),
            ParameterGroup("heads", heads, learning_rate_multiple=self.head_learning_rate_multiple),
        ]
        return [group for group in groups if group.params]

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode, except that batch norms obey their setting."""
        super().train(mode)
        if self.batch_norm is not None:
            use_running_statistics(self, self.batch_norm)
        return self


@contextmanager
def evaluation_mode(*networks: nn.Module) -> Iterator[None]:
    """Evaluation mode for the block; afterwards every module is in the mode it had, frozen parts too."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def laid_out_to_predict(network: AnyModule) -> AnyModule:
    """The same module; on a CPU with channels-last weights: the same arithmetic, in about half the time."""
    parameter = next(network.parameters(), None)
    if parameter is not None and parameter.device.type == "cpu":
        network.to(memory_format=torch.channels_last)
    return network


def trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """The parameters that are not frozen, each once, in order."""
    unique = {id(parameter): parameter for parameter in parameters if parameter.requires_grad}
    return list(unique.values())
