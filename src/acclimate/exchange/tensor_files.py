"""Files of tensors that other programs wrote, read without running anything that is in them."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from acclimate.errors import UserError
from acclimate.exchange.mxnet_files import is_mxnet, read_mxnet
from acclimate.models.weights import read_tensors

FADA_PARTS = ("feature_extractor", "classifier")
"""The entries of FADA's checkpoints that are its network; the others are a discriminator, optimisers and a counter."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_AVERAGES = ("ema", "model_ema", "ema_model", "ema_state_dict", "teacher", "state_dict_ema")
_PARALLEL = "module."
_DAMAGED = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    AssertionError,
    AttributeError,
    TypeError,
    struct.error,
)
"""What PyTorch's reader raises at bytes that are no checkpoint, according to where they break it."""


class Foreign(NamedTuple):
    """What a file holds.

    Attributes:
        tensors: by key.
        remarks: which of its parts they are, where it holds several; a sentence each.
    """

    tensors: dict[str, Tensor]
    remarks: list[str]


def read_foreign(path: Path) -> dict[str, Tensor]:
    """The tensors of :func:`foreign_weights`, for whoever needs no remarks."""
    return foreign_weights(path).tensors


def foreign_weights(path: Path) -> Foreign:
    """The tensors of a ``.pth`` file (of any version of PyTorch), of MXNet or safetensors, by key, on the CPU.

    Files of MXNet are recognised by how they begin, safetensors by their suffix. FADA's two networks keep their names
    as prefixes (``feature_extractor.``, ``classifier.``); wrappers such as ``state_dict`` and the prefix ``module.`` of
    parallel training are taken off.

    Raises:
        UserError: the file is missing or damaged, holds anything but tensors and plain values, or no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no such file: {path}; give the checkpoint as it was downloaded (.pth, .params) or a safetensors file"
        )
    if is_mxnet(path):
        return Foreign(read_mxnet(path), [])
    if path.suffix == ".safetensors":
        return Foreign(_without_parallel(read_tensors(path)), [])
    _refuse_web_pages(path)
    content = _unpickled(path)
    return Foreign(_weights_in(content, path), _choice_in(content))


def _refuse_web_pages(path: Path) -> None:
    with open(path, "rb") as stream:
        begin = stream.read(512).lstrip().lower()
    if begin.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        raise UserError(
            f"{path} is a web page, not a checkpoint: the download ended at a page that asks for something (a login, a "
            "confirmation); download the file itself, with a browser perhaps"
        )


def _choice_in(content: Any) -> list[str]:
    """What is said of a file that holds a moving average beside the network."""
    taken = next((name for name in _WRAPPERS if isinstance(content, Mapping) and name in content), None)
    others = [name for name in _AVERAGES if isinstance(content, Mapping) and isinstance(content.get(name), Mapping)]
    if taken is None or not others:
        return []
    return [f"weights: of its entry {taken!r}; it also holds {', '.join(map(repr, others))}"]


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # the message goes on with advice to switch the protection off
        reason = str(error).partition("WeightsUnpickler error:")[2].strip().partition("\n")[0] or "no tensors in it"
        raise UserError(
            f"{path} is not read: it holds more than tensors and plain values ({reason[:200]}), and loading it would "
            "run code that is in the file; ask its authors for a file of bare tensors (a state_dict, or safetensors), "
            "or, if it is no checkpoint at all, give the one that was downloaded"
        ) from error
    except _DAMAGED as error:
        summary = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path} is no readable checkpoint of PyTorch ({summary}): it may be truncated or of another format; "
            "download it again"
        ) from error


def _weights_in(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        if all(isinstance(content.get(part), Mapping) for part in FADA_PARTS):
            return {
                f"{part}.{key}": value
                for part in FADA_PARTS
                for key, value in _without_parallel(_tensors(content[part], path)).items()
            }
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                return _without_parallel(_tensors(content[wrapper], path))
    return _without_parallel(_tensors(content, path))


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{path} holds no weights: a {type(content).__name__}, not tensors by name")
    others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        keys = ", ".join(map(str, list(content)[:6]))
        raise UserError(
            f"{path} is in no layout that is known: besides tensors it holds {others[0]!r} (its entries: {keys}); "
            f"known are bare tensors by name, a dictionary with {', '.join(map(repr, _WRAPPERS))}, and FADA's with "
            f"{' and '.join(map(repr, FADA_PARTS))}"
        )
    return {str(key): value for key, value in content.items()}


def _without_parallel(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if not all(key.startswith(_PARALLEL) for key in tensors):
        return tensors
    return {key.removeprefix(_PARALLEL): value for key, value in tensors.items()}
