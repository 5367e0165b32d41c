"""Where and how a learner computes: its device, its memory format, compiled layers, activations made again."""

from __future__ import annotations

import logging
from typing import Any, Literal, Protocol

import torch
from torch.distributed.device_mesh import DeviceMesh

from acclimate.errors import UserError
from acclimate.methods.repeated_sgd import RepeatedSGD
from acclimate.methods.trainable import Learner
from acclimate.models.compiled import compile_layers, recompute_activations
from acclimate.models.network import SegmentationNetwork
from acclimate.models.sharded import shard_network
from acclimate.models.shared_batch_norm import share_batch_norm
from acclimate.models.together import Together

log = logging.getLogger(__name__)

Compile = Literal["auto", "always", "never"]

WORTH_COMPILING = 2_000
"""Steps from which the minutes of compiling come back; below, ``auto`` leaves it."""


class PlacingSettings(Protocol):
    """What of a training's settings says how it computes."""

    @property
    def steps(self) -> int: ...
    @property
    def channels_last(self) -> bool: ...
    @property
    def compile(self) -> Compile: ...
    @property
    def recompute_activations(self) -> bool: ...
    @property
    def sync_batch_norm(self) -> bool: ...
    @property
    def source_transform(self) -> Any: ...
    @property
    def target_transform(self) -> Any: ...


def place(
    learner: Learner[Any], settings: PlacingSettings, device: torch.device, *, mesh: DeviceMesh | None = None
) -> None:
    """Moves a learner to its device and makes it compute as the settings say.

    Args:
        mesh: the processes that its parameters are to be shared out between; None: each has all.

    Raises:
        UserError: the network has no blocks whose activations could be made again, cannot be compiled, or has batch
            norms or parameters that cannot be shared between processes.
    """
    if mesh is not None:
        ensure_can_be_sharded(learner, settings)
    if settings.sync_batch_norm:
        share_batch_norm(learner)
    learner.to(device)
    if settings.channels_last and mesh is None:  # parts are of contiguous tensors
        learner.to(memory_format=torch.channels_last)
    network = getattr(learner, "network", None)
    if settings.recompute_activations and not (isinstance(network, torch.nn.Module) and recompute_activations(network)):
        raise UserError(
            "training.recompute_activations: the network has no repeated blocks of layers; set it to false, and lower "
            "the batch size or training.accumulate if memory is short"
        )
    if device.type == "cuda" and _of_one_size(settings):
        torch.backends.cudnn.benchmark = True  # tries a convolution's kernels once for each size of picture
    if mesh is not None:
        shard(learner, mesh)
        return
    compiled, reason = compiles(settings, network, device)
    log.info("layers are %scompiled: %s", "" if compiled else "not ", reason)
    teacher = getattr(getattr(learner, "teacher", None), "network", None)
    networks = [each for each in (network, teacher) if isinstance(each, SegmentationNetwork)]
    if compiled:
        for each in networks:
            compile_layers(each, required=settings.compile == "always")
    elif device.type == "cuda" and not settings.recompute_activations:
        learner.together = Together(*networks)  # on a CPU launching costs nothing


def ensure_can_be_sharded(learner: Learner[Any], settings: PlacingSettings) -> None:
    """Refuses what FSDP cannot do: it knows modules that are used through their forward passes.

    Raises:
        UserError: says why.
    """
    network = getattr(learner, "network", None)
    why = None
    if not isinstance(network, SegmentationNetwork):
        why = "only networks of segmentation can be"
    elif settings.compile == "always":
        why = "layers cannot be compiled then; leave training.compile at auto"
    elif any(isinstance(optimizer, RepeatedSGD) for optimizer in learner.optimizers.values()):
        why = "optimizer.body_repeats moves whole parameters; set it to none"
    elif beside := [name for name, each in learner.named_parameters() if each.requires_grad and _is_beside(name)]:
        why = f"the method trains more than its network ({beside[0].split('.')[0]})"
    elif any(parameter.ndim == 0 for parameter in network.parameters()):
        why = "the network has parameters of a single number"
    if why is not None:
        raise UserError(f"training.shard: {why}; set it to false")


def _is_beside(name: str) -> bool:
    return not name.startswith("network.")


def shard(learner: Learner[Any], mesh: DeviceMesh) -> None:
    """Shares out the parameters of a learner's network and its teacher's."""
    teacher = getattr(getattr(learner, "teacher", None), "network", None)
    for network in (learner.network, teacher):
        if isinstance(network, SegmentationNetwork):
            learner.follow_parameters(shard_network(network, mesh))
    for optimizer in learner.optimizers.values():
        if isinstance(optimizer, torch.optim.SGD):  # whose one kernel does not know parts
            for group in optimizer.param_groups:
                group.update(fused=False, foreach=True)


def compiles(settings: PlacingSettings, network: Any, device: torch.device) -> tuple[bool, str]:
    """Whether the layers are compiled, and why or why not.

    Raises:
        UserError: it was asked for and cannot be done.
    """
    obstacle = None
    if not isinstance(network, SegmentationNetwork):
        obstacle = "only networks of segmentation are"
    elif settings.recompute_activations:
        obstacle = "activations are made again, which compiled layers do in their own way"
    if settings.compile == "always":
        if obstacle is not None:
            raise UserError(f"training.compile=always: {obstacle}; set it to auto or never")
        return True, "as the recipe asks"
    if settings.compile == "never":
        return False, "as the recipe asks"
    if obstacle is None and device.type != "cuda":
        obstacle = "on a CPU it takes minutes and gains little"
    if obstacle is None and torch.cuda.get_device_capability(device) < (7, 0):
        obstacle = "this GPU is too old for it"
    if obstacle is None and settings.steps < WORTH_COMPILING:
        obstacle = f"fewer than {WORTH_COMPILING} steps"
    if obstacle is None and not _of_one_size(settings):
        obstacle = "pictures differ in size"
    return (True, "it pays on this GPU") if obstacle is None else (False, obstacle)


def _of_one_size(settings: PlacingSettings) -> bool:
    """Whether all pictures of a domain enter the network at one size."""

    def fixed(transform: Any) -> bool:
        scaled = getattr(transform, "scale", None) is not None  # a detector's transform has none
        return transform.crop is not None or (transform.size is not None and not scaled)

    return fixed(settings.source_transform) and fixed(settings.target_transform)
