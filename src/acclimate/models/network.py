"""What every segmentation network is: images in, logits and features out, parameters in groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn
from typing_extensions import Self

from acclimate.models.batch_norm import freeze_affine, use_running_statistics
from acclimate.models.config import NetworkConfig
from acclimate.models.preprocessing import Preprocessing


class Output(NamedTuple):
    """What a network says about a batch, at its own stride: h and w are about H / stride and W / stride.

    Attributes:
        main: logits (B, C, h, w), the ones to evaluate.
        auxiliary: logits (B, C, h, w) of the mid-level head, or None for a single-level network.
        features: (B, D, h, w), the input of the main head.
        auxiliary_features: (B, D', h, w), the input of the auxiliary head, or None for a single-level network.
    """

    main: Tensor
    auxiliary: Tensor | None
    features: Tensor | None
    auxiliary_features: Tensor | None


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
        config: every option at the value it was built with.
        classes: number of classes C.
        stride: input pixels per output position.
    """

    config: NetworkConfig
    classes: int
    stride: int

    def __init__(self, config: NetworkConfig, classes: int, *, stride: int) -> None:
        super().__init__()
        if config.preprocessing is None:
            raise ValueError("a network is built from a config whose preprocessing is settled")
        self.config = config
        self.classes = classes
        self.stride = stride
        self.preprocessing = Preprocessing(config.preprocessing)

    def finish(self) -> None:
        """Applies the batch-norm setting once all layers exist."""
        if self.config.batch_norm is not None:
            freeze_affine(self, self.config.batch_norm)
        self.train(self.training)

    def forward(self, images: Tensor) -> Output:
        """Logits and features of RGB images (B, 3, H, W) with values in [0, 1]."""
        return self.segment(self.preprocessing(images))

    @abstractmethod
    def segment(self, images: Tensor) -> Output:
        """Logits and features of images that have been preprocessed."""

    @abstractmethod
    def heads(self) -> list[nn.Module]:
        """The modules that turn features into logits; a multi-level network's auxiliary head comes first."""

    def feature_channels(self) -> dict[str, int]:
        """Channels of the features by level: ``main``, and ``auxiliary`` where the network is multi-level."""
        names = ["auxiliary", "main"] if self.config.multi_level else ["main"]
        first = {
            name: next(module for module in head.modules() if isinstance(module, nn.Conv2d))
            for name, head in zip(names, self.heads(), strict=False)
        }
        return {name: first[name].in_channels for name in reversed(names)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Body and heads, the latter at ``config.head_learning_rate_multiple`` times the learning rate."""
        heads = trainable(parameter for head in self.heads() for parameter in head.parameters())
        in_heads = {id(parameter) for parameter in heads}
        body = [parameter for parameter in trainable(self.parameters()) if id(parameter) not in in_heads]
        groups = [
            ParameterGroup("body", body),
            ParameterGroup("heads", heads, learning_rate_multiple=self.config.head_learning_rate_multiple or 1.0),
        ]
        return [group for group in groups if group.params]

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode, except that batch norms obey the config's setting."""
        super().train(mode)
        if self.config.batch_norm is not None:
            use_running_statistics(self, self.config.batch_norm)
        return self


def trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """The parameters that are not frozen, each once, in order."""
    unique = {id(parameter): parameter for parameter in parameters if parameter.requires_grad}
    return list(unique.values())
