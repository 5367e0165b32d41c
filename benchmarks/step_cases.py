"""The training steps that `training_step.py` and `gpu_step.py` time: acclimate's own and the plain ones, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

import plain_steps

CLASSES = 19
Size = tuple[int, int]
"""(width, height)."""


@dataclass(frozen=True)
class Case:
    """A method on a network with pictures of a size.

    Attributes:
        method, options, network: of the recipe.
        source, target: sizes of the pictures.
        images: pictures of each domain in a step.
        plain: the transcription, given the network.
        optimizer: settings of acclimate's side.
    """

    method: str
    network: dict[str, Any]
    source: Size
    target: Size
    plain: Callable[[Any], plain_steps.Step]
    options: dict[str, Any] = field(default_factory=dict)
    images: int = 1
    optimizer: dict[str, Any] = field(default_factory=lambda: {"learning_rate": RATE})


RATE = 2.5e-6
"""A hundredth of the published rate: random weights under the published one are chaotic; time does not depend on it."""
RESNET = {"name": "deeplab-v2-resnet101"}
DINOV2 = {"name": "dinov2-b"}
MASKED: dict[str, Any] = {"masked_consistency": {"strong": {"jitter": 0.25, "probability": 0.8, "blur": 0.5}}}


def case(name: str, *, source: Size, target: Size, images: int = 1, tiny: bool = False) -> Case:
    """One of ``advent``, ``dacs``, ``mic``, ``vfm-uda``; a small network in the place of its own where ``tiny``."""
    small: dict[str, Any] = {"name": "small", "width": 16}
    if name == "advent":
        network = (small if tiny else RESNET) | {"multi_level": True}
        return Case(
            "advent",
            network,
            source,
            target,
            lambda built: plain_steps.advent(built, learning_rate=RATE, classes=CLASSES),
            images=images,
        )
    if name == "vfm-uda":
        return Case(
            "vfm_uda",
            small if tiny else DINOV2,
            source,
            target,
            lambda built: plain_steps.self_training(
                built, learning_rate=RATE, masked=True, flip=True, strong=0.2, adamw=True
            ),
            options={"teacher": {"flip": True, "decay": 0.99}},
            images=images,
            optimizer={"learning_rate": RATE, "kind": "adamw", "weight_decay": 0.01},
        )
    masked = name == "mic"
    return Case(
        "dacs",
        small if tiny else RESNET,
        source,
        target,
        lambda built: plain_steps.self_training(built, learning_rate=RATE, masked=masked),
        options=MASKED if masked else {},
        images=images,
    )


def built_network(case: Case) -> Any:
    """The case's network with random weights, the same at every call."""
    from acclimate.models.config import NetworkConfig
    from acclimate.models.registry import build_network

    torch.manual_seed(0)
    return build_network(NetworkConfig.parse(case.network), CLASSES).train()


def batches(case: Case, device: Any = "cpu") -> tuple[Any, Any]:
    """A source batch with labels and a target batch without, of the built-in scenes, on the device."""
    from acclimate.data.readers.scenes import ScenesDataset
    from acclimate.data.sample import Batch

    def batch(look: str, size: Size, labels: bool) -> Batch:
        scenes = ScenesDataset(look, split="train", size=size)
        numbers = range(case.images)
        images = torch.stack([torch.from_numpy(scenes.image(n).copy()).permute(2, 0, 1) for n in numbers]).float() / 255
        ids = torch.stack([torch.from_numpy(scenes.label(n).copy()).long() for n in numbers]) if labels else None
        return Batch(images.to(device), None if ids is None else ids.to(device), [scenes.names[n] for n in numbers])

    return batch("render", case.source, True), batch("camera", case.target, False)


def plain_step(case: Case, device: Any = "cpu") -> Callable[[], dict[str, Any]]:
    """The published loop's step, in float32, on pictures that are on the device already."""
    step = case.plain(built_network(case).to(device))
    source, target = batches(case, device)
    return lambda: step(source, target)


def our_step(
    case: Case,
    device: Any = "cpu",
    *,
    precision: str = "auto",
    training: dict[str, Any] | None = None,
    together: bool | None = None,
) -> Callable[[], dict[str, Any]]:
    """The step of a training of acclimate, as `acclimate run` takes it with these settings.

    Args:
        together: whether weights are cast and batches counted at once for all layers; None: as it is placed.
    """
    from lightning_fabric import Fabric

    from acclimate.methods import Setting, method_class, method_options
    from acclimate.models.together import Together
    from acclimate.training.loop import train_step
    from acclimate.training.placing import place
    from acclimate.training.resources import keep_freed_memory
    from acclimate.training.settings import TrainingSettings, resolved_precision

    if str(device) == "cpu":
        keep_freed_memory()
    network = built_network(case)
    settings = TrainingSettings.model_validate(
        {
            "optimizer": case.optimizer,
            "source_transform": {"size": case.source},
            "target_transform": {"size": case.target},
            **(training or {}),
        }
    )
    fabric = Fabric(
        accelerator="cpu" if str(device) == "cpu" else "cuda",
        devices=1,
        precision=resolved_precision(precision, network.config),  # type: ignore[arg-type]
    )
    method = method_class(case.method)(
        network,
        options=method_options(case.method, case.options),
        setting=Setting(optimizer=settings.optimizer, steps=1000),
    )
    place(method, settings, torch.device(device))
    if together is not None:
        teacher = getattr(method.teacher, "network", None)
        method.together = Together(*(each for each in (method.network, teacher) if together and each is not None))
    method.train()
    source, target = (batch.to(device, channels_last=True) for batch in batches(case, device))
    count = 0

    def step() -> dict[str, Any]:
        nonlocal count
        terms = train_step(method, source, target, count, fabric=fabric, accumulate=settings.accumulate)
        count += 1
        return {name: term.value for name, term in terms.items()}

    return step
