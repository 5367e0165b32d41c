"""Networks of the user's own: any module whose forward pass gives logits, built in Python or named in a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.models.batch_norm import BatchNormSetting
from acclimate.models.config import CODE, CodeOptions, NetworkConfig
from acclimate.models.network import AUXILIARY, MAIN, Level, Output, SegmentationNetwork, evaluation_mode
from acclimate.models.padding import cut, padded
from acclimate.models.preprocessing import PreprocessingName

_PROBE = 64
"""Pixels a side of the image that a module is tried on; more where its multiple is larger."""

_allowed: set[str] = set()


class WrappedNetwork(SegmentationNetwork):
    """A module as a segmentation network; see :func:`wrap_network`."""

    Options = CodeOptions
    summary = "a module of the user's own"

    def __init__(
        self,
        module: nn.Module,
        classes: int,
        *,
        config: NetworkConfig,
        preprocessing: PreprocessingName,
        multiple: int,
        heads: Sequence[str],
        head_learning_rate_multiple: float,
        batch_norm: BatchNormSetting | None,
    ) -> None:
        self.name = config.name  # type: ignore[misc]
        super().__init__(
            config.options,
            classes,
            stride=1,
            preprocessing=preprocessing,
            batch_norm=batch_norm,
            head_learning_rate_multiple=head_learning_rate_multiple,
        )
        self.module = module
        self.multiple = multiple
        self.head_names = tuple(heads)
        self._channels: dict[str, int] = {}
        self._strides: dict[str, tuple[float, float]] = {}
        self._try()
        self.finish()

    def segment(self, images: Tensor) -> Output:
        if self.multiple == 1:
            return _output(self.module(images))
        size = (images.shape[2], images.shape[3])
        levels = {}
        for name, level in _output(self.module(padded(images, self.multiple))).levels.items():
            of_logits, of_features = self._strides[name]
            features = None if level.features is None else cut(level.features, size, stride=of_features)
            levels[name] = level._replace(logits=cut(level.logits, size, stride=of_logits), features=features)
        return Output(levels)

    def heads(self) -> list[nn.Module]:
        return [self.module.get_submodule(name) for name in self.head_names]

    def feature_channels(self) -> dict[str, int]:
        if set(self._channels) != set(self.levels):
            raise UserError(
                f"this method looks at the network's features, but {self.name} gives logits alone; let its forward "
                "return an acclimate Output with features, or choose another method"
            )
        return self._channels

    def _try(self) -> None:
        """Finds the stride and the levels on an empty image, as training and evaluation will."""
        parameter = next(self.module.parameters(), torch.zeros(()))
        side = -(-_PROBE // self.multiple) * self.multiple
        image = torch.zeros(1, 3, side, side, device=parameter.device, dtype=parameter.dtype)
        for name in self.head_names:
            if name not in dict(self.module.named_modules()):
                raise UserError(f"{self.name} has no part {name!r}, which heads names")
        try:
            with torch.no_grad(), evaluation_mode(self.module), torch.random.fork_rng(devices=[]):
                output = _output(self.module(image))
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from error
        except Exception as error:  # whatever the user's code raises
            raise UserError(
                f"{self.name} cannot be applied to an image of {side}x{side} pixels: {type(error).__name__}: {error}"
            ) from error
        for level, (logits, features, *_) in output.levels.items():
            if logits.ndim != 4 or logits.shape[1] != self.classes:
                raise UserError(
                    f"{self.name}: the logits of its level {level!r} have shape {tuple(logits.shape)}, expected "
                    f"(1, {self.classes}, h, w), a channel for each of the {self.classes} classes"
                )
            self._strides[level] = (side / logits.shape[2], 1.0)
            if features is not None:
                self._channels[level] = features.shape[1]
                self._strides[level] = (side / logits.shape[2], side / features.shape[2])
        self.levels = tuple(output.levels)
        self.stride = side / output.logits.shape[2]


def wrap_network(
    module: nn.Module,
    *,
    classes: int,
    preprocessing: PreprocessingName = "imagenet",
    multiple: int = 1,
    heads: Sequence[str] = (),
    head_learning_rate_multiple: float = 1.0,
    batch_norm: BatchNormSetting | None = None,
) -> SegmentationNetwork:
    """A module of one's own as a segmentation network that every method can train.

    Args:
        module: images (B, 3, H, W), preprocessed, to logits (B, C, h, w); or to a mapping with ``out`` or ``logits``,
            and perhaps ``aux`` (torchvision's), an object with ``logits``, or an :class:`Output` with features and
            further levels.
        classes: number of classes C.
        preprocessing: what is done to RGB images in [0, 1] first; ``none`` for modules that normalise by themselves.
        multiple: what the sides of images must be multiples of; they are padded, and the logits cut again.
        heads: names of the parts that learn at ``head_learning_rate_multiple`` times the learning rate.
        head_learning_rate_multiple: see ``heads``.
        batch_norm: see :mod:`acclimate.models.batch_norm`; None leaves batch norm as the module has it.

    Raises:
        UserError: the module cannot be applied to an image, or its logits are of another number of classes.
    """
    kind = type(module)
    config = NetworkConfig(name=f"{CODE}{kind.__module__}:{kind.__qualname__}", options=CodeOptions())
    return WrappedNetwork(
        module,
        classes,
        config=config,
        preprocessing=preprocessing,
        multiple=multiple,
        heads=heads,
        head_learning_rate_multiple=head_learning_rate_multiple,
        batch_norm=batch_norm,
    )


def allow_code(name: str) -> None:
    """Says that the user has named this ``python:...`` on purpose; other names are none of this function's business."""
    if name.startswith(CODE):
        _allowed.add(name)


def expect_allowed(name: str, path: object, *, named: str | None = None) -> None:
    """Refuses code that a weight file names and the user has not, in a recipe, an option or a call.

    Args:
        name: of the network, by the file's card.
        path: of the file.
        named: what the user names in this very call.

    Raises:
        UserError: the file alone says so.
    """
    if named is not None:
        allow_code(named)
    if name.startswith(CODE) and name not in _allowed:
        raise UserError(
            f"{path} holds a network that is built by code of your own, {name}, and a file of weights must not be what "
            f"imports code: if you trust it, name it yourself with --network {name}, or in Python with network=... "
            "where it is loaded"
        )


def module_of_code(name: str, classes: int, options: Mapping[str, Any]) -> nn.Module:
    """What the factory that ``python:package.module:factory`` names makes of ``classes`` and the options.

    Raises:
        UserError: it cannot be imported or called, or gives no module.
    """
    place, _, within = name.removeprefix(CODE).partition(":")
    if not place or not within:
        raise UserError(f"network {name!r} names no code; write {CODE}package.module:factory")
    try:
        factory: Any = import_module(place)
        for part in within.split("."):
            factory = getattr(factory, part)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"network {name!r} cannot be imported ({error}); install the package, or put the folder that holds "
            "it into the environment variable PYTHONPATH"
        ) from error
    try:
        module = factory(classes=classes, **options)
    except TypeError as error:
        raise UserError(
            f"network {name!r} cannot be called with classes={classes} and the options {dict(options)}: {error}"
        ) from error
    if not isinstance(module, nn.Module):
        raise UserError(f"network {name!r} gives {type(module).__name__}, not a torch module")
    return module


def from_code(config: NetworkConfig, classes: int) -> SegmentationNetwork:
    """The segmentation network that code of the user's own makes; see :func:`module_of_code`.

    Raises:
        UserError: it cannot be made, or is none.
    """
    network = module_of_code(config.name, classes, config.options.model_dump())
    task = getattr(network, "task", "segmentation")
    if task != "segmentation":
        raise UserError(f"network {config.name!r} is one for {task}: the recipe has to say task: {task}")
    if not isinstance(network, SegmentationNetwork):
        network = wrap_network(network, classes=classes)
    network.config = config
    if isinstance(network, WrappedNetwork):
        network.name = config.name  # type: ignore[misc]
    return network


def _output(answer: Any) -> Output:
    """What a module said, as levels.

    Raises:
        UserError: there are no logits in it.
    """
    if isinstance(answer, Output):
        return answer
    if isinstance(answer, (tuple, list)) and answer:
        answer = answer[0]
    auxiliary = None
    if isinstance(answer, Mapping):
        auxiliary = answer.get("aux")
        answer = answer.get("out", answer.get("logits"))
    elif not isinstance(answer, Tensor):
        answer = getattr(answer, "logits", None)
    if not isinstance(answer, Tensor):
        raise UserError(
            "its forward pass gives no logits; it should return a tensor (B, C, h, w), or a mapping with 'out'"
        )
    levels = {MAIN: Level(answer)}
    if isinstance(auxiliary, Tensor):
        levels[AUXILIARY] = Level(auxiliary)
    return Output(levels)
