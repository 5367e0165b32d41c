"""The machine that a run is planned for: its processor, its memory, and the weights that lie on it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from acclimate.errors import UserError

FREE = 0.7
"""The share of the memory that a plan may fill."""


@dataclass(frozen=True)
class Machine:
    """What a run can use.

    Attributes:
        cores: of the processor, as many as this process may use.
        memory_gb: of the computer.
        gpu: its name; None where there is none.
        gpu_memory_gb: 0 where there is none.
    """

    cores: int
    memory_gb: float
    gpu: str | None = None
    gpu_memory_gb: float = 0.0

    def words(self) -> str:
        """``2 CPU cores``, ``one NVIDIA H100 (80 GB)``."""
        if self.gpu is not None:
            return f"one {self.gpu} ({self.gpu_memory_gb:.0f} GB)"
        return f"{self.cores} CPU core{'s' * (self.cores > 1)} (no GPU)"


def this_machine() -> Machine:
    """The machine this process runs on."""
    import torch

    memory = 0.0
    with contextlib.suppress(ValueError, OSError, AttributeError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Machine(torch.get_num_threads(), memory, properties.name, properties.total_memory / 2**30)
    return Machine(torch.get_num_threads(), memory)


def machine_in_words() -> str:
    """:meth:`Machine.words` of this machine."""
    return this_machine().words()


# --- weights -----------------------------------------------------------------------------------------------------

NETWORK_OF_KEYS: dict[str, str] = {"features.0.0.weight": "mobilenet-v3plus", "cls_token": "dinov2"}
"""A key of a file of weights -> the network whose backbone they are (``dinov2`` of several widths)."""
DINOV2_OF_WIDTH = {384: "dinov2-s", 768: "dinov2-b", 1024: "dinov2-l"}
BACKBONES = {
    "mobilenet-v3plus": "mobilenet_v2",
    "dinov2-s": "vit_small_patch14_dinov2",
    "dinov2-b": "vit_base_patch14_dinov2",
    "dinov2-l": "vit_large_patch14_dinov2",
}
"""Network -> its backbone, as torchvision or timm calls it."""


def network_for_weights(path: Path) -> str:
    """The network that a safetensors file of initial weights belongs to, told by its keys.

    Raises:
        UserError: it is no such file, or of a backbone that none of the networks has.
    """
    known = "mobilenet_v2 of torchvision, vit_small, vit_base or vit_large_patch14_dinov2 of timm"
    if not path.is_file():
        raise UserError(f"--weights: there is no file {path}; give a safetensors file of one of these: {known}")
    try:
        with safe_open(path, framework="pt") as file:
            keys = set(file.keys())
            if "cls_token" in keys and "blocks.0.attn.qkv.weight" in keys:
                width = file.get_slice("cls_token").get_shape()[-1]
                if width in DINOV2_OF_WIDTH:
                    return DINOV2_OF_WIDTH[width]
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"--weights: {path} is not a readable safetensors file ({error}); pickled weights (.pth) are converted "
            "by `acclimate import`"
        ) from error
    if "features.0.0.weight" in keys and "features.18.0.weight" in keys:
        return "mobilenet-v3plus"
    raise UserError(
        f"--weights: {path} holds no backbone that `adapt` knows ({known}); name the network as well, for instance "
        "--set 'network={name: encoder-decoder, backbone: timm/resnet50, weights: FILE}'"
    )


def fetch_weights(network: str) -> None:
    """Makes sure that a network's ImageNet weights are on this machine: from a cache, or downloaded now.

    Raises:
        UserError: they are neither here nor to be had; says which file to fetch and where to put it.
    """
    backbone = BACKBONES[network]
    if network == "mobilenet-v3plus":
        _fetch_from_torchvision(network, backbone)
    else:
        _fetch_from_timm(network, backbone)


def _fetch_from_torchvision(network: str, backbone: str) -> None:
    import torch
    import torchvision.models

    weights: Any = torchvision.models.get_model_weights(backbone)
    url = weights.DEFAULT.url
    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if place.is_file():
        return
    try:
        weights.DEFAULT.get_state_dict(progress=True, check_hash=True)
    except Exception as error:
        raise _not_here(network, backbone, error, f"fetch {url} on another machine and put it at {place}") from error


def _fetch_from_timm(network: str, backbone: str) -> None:
    import timm
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    repository: str = timm.get_pretrained_cfg(backbone).hf_hub_id
    file = "model.safetensors"
    if isinstance(try_to_load_from_cache(repository, file), str):
        return
    try:
        hf_hub_download(repository, file)
    except Exception as error:
        where = f"https://huggingface.co/{repository}/resolve/main/{file}"
        what = f"fetch {where} on another machine, and give the file with --weights"
        raise _not_here(network, backbone, error, what) from error


def _not_here(network: str, backbone: str, error: Exception, remedy: str) -> UserError:
    reason = " ".join(str(error).split())[:120]
    return UserError(
        f"the weights that {network} starts from ({backbone}) are not on this machine and cannot be downloaded "
        f"({type(error).__name__}: {reason}): {remedy}; or give --weights FILE with another backbone's; or --weights "
        "none, to start from random weights, from which far less is learned"
    )
