"""Loading weights into a backbone: from a local safetensors file, or ImageNet's from torchvision or timm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.io.reading import parsed_json
from acclimate.io.tensors import DIGEST, matches

WEIGHTS = "acclimate-weights"
"""The entry of a file's header by which initial weights that `acclimate import` wrote are known."""
IMAGENET = "imagenet"
"""Torchvision's best (or timm's) ImageNet weights."""
IMAGENET_V1 = "imagenet-v1"
"""Torchvision's first ImageNet weights, which FADA, CRST and most papers started from."""

# what ImageNet checkpoints hold besides the features; a segmentation network has no use for it
_CLASSIFIERS = ("fc.", "classifier.", "head.", "conv_head.", "last_linear.")

Loaded = TypeVar("Loaded")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        UserError: the file is missing, truncated or of another format, or carries a checksum that is not its own.
    """
    if not path.is_file():
        raise UserError(f"no such file of weights: {path}; give the path of a safetensors file, or 'imagenet'")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (the file is no mapping)
        card = parsed_json(header.get(WEIGHTS, "{}"))
        if not isinstance(card, dict):
            raise ValueError("its card is no mapping")
        if DIGEST in card and not matches(WEIGHTS, card, tensors):
            raise ValueError("its content does not match its checksum")
        return tensors
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a readable safetensors file ({error}); the file may be truncated, or of another format: "
            "pickled checkpoints (.pth, .pt) must be converted first, with 'acclimate import'"
        ) from error


def load_backbone(
    backbone: nn.Module, tensors: Mapping[str, Tensor], *, where: str, unused: tuple[str, ...] = ()
) -> None:
    """Copies ``tensors`` into ``backbone``: all its keys must be there, in its shapes, and nothing else.

    Excepted are an ImageNet classifier, which is left out, and batch norm's counters, which old files lack. Half
    precision becomes the backbone's own.

    Args:
        backbone: what is filled.
        tensors: by the backbone's keys.
        where: what to call the tensors in errors.
        unused: how further keys begin that may be left out.

    Raises:
        UserError: keys are missing, unexpected or of another shape; nothing has been copied then.
    """
    expected = backbone.state_dict()
    missing = [key for key in expected if key not in tensors and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in tensors if key not in expected and not key.startswith((*_CLASSIFIERS, *unused))]
    shapes = [
        f"{key} is {tuple(tensors[key].shape)}, not {tuple(value.shape)}"
        for key, value in expected.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if missing or unexpected or shapes:
        parts = [_listed("missing keys", missing), _listed("unexpected keys", unexpected), _listed("shapes", shapes)]
        raise UserError(
            f"{where} does not hold the weights of this backbone ({type(backbone).__name__}): "
            f"{'; '.join(part for part in parts if part)}; choose the backbone they were trained with or other weights"
        )
    backbone.load_state_dict({key: tensors.get(key, value) for key, value in expected.items()})


def downloaded(what: str, load: Callable[[], Loaded]) -> Loaded:
    """The result of ``load``, which may need the network.

    Raises:
        UserError: the download failed, with the ways around it.
    """
    try:
        return load()
    except Exception as error:
        # torchvision raises URLError, timm whatever the hub's client raises: all mean that the weights are not here
        raise UserError(
            f"cannot get the ImageNet weights of {what} ({type(error).__name__}: {error}); they are downloaded once: "
            "connect this machine to the internet, or set the option weights to a local safetensors file with the same "
            "keys, or leave it out to start from random weights"
        ) from error


def is_imagenet(weights: str | None) -> bool:
    """Whether the option ``weights`` names ImageNet weights rather than a file."""
    return weights in (IMAGENET, IMAGENET_V1)


def torchvision_tensors(name: str, weights: str = IMAGENET) -> dict[str, Tensor]:
    """The tensors of torchvision's ImageNet weights of the model ``name``; downloads them when not cached."""
    import torchvision.models

    kinds: Any = torchvision.models.get_model_weights(name)
    kind = kinds.DEFAULT if weights == IMAGENET else kinds.IMAGENET1K_V1

    def load() -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = kind.get_state_dict(progress=True, check_hash=True)
        return tensors

    return downloaded(f"torchvision/{name}", load)


def load_weights(
    backbone: nn.Module, weights: str | None, *, torchvision_name: str, unused: tuple[str, ...] = ()
) -> None:
    """Fills a backbone whose keys are those of torchvision's ``torchvision_name``, as the option ``weights`` says.

    Keys that begin as ``unused`` says are left out.
    """
    if weights is None:
        return
    if is_imagenet(weights):
        tensors, where = torchvision_tensors(torchvision_name, weights), f"torchvision/{torchvision_name}"
    else:
        tensors, where = read_tensors(Path(weights)), weights
    load_backbone(backbone, tensors, where=where, unused=unused)


def _listed(what: str, items: list[str], *, shown: int = 5) -> str:
    if not items:
        return ""
    more = f", … ({len(items)} in all)" if len(items) > shown else ""
    return f"{what}: {', '.join(items[:shown])}{more}"
