"""From the authors' checkpoints to ours: recognise, rename, check, write with a card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import CLASS_SPACES, class_space
from acclimate.data.readers.description import DESCRIPTION, described_class_space, read_description
from acclimate.errors import UserError, unknown
from acclimate.exchange.heads import COUNTER, ImportOptions
from acclimate.exchange.layouts import FAMILIES, BodyLayout, NetworkLayout, recognise
from acclimate.exchange.tensor_files import foreign_weights
from acclimate.io.files import hash_of_file
from acclimate.io.outputs import claim_file
from acclimate.io.tensors import write_tensors
from acclimate.models.checkpoint import ModelCard, read_card_content, save_network
from acclimate.models.registry import build_network
from acclimate.models.weights import WEIGHTS

InputSize: TypeAlias = tuple[int, int] | Literal["native"]
"""(width, height) in pixels that images should be given in, or each image's own size."""

_DEFAULT_SPACES = {19: "cityscapes-19", 16: "cityscapes-16", 13: "cityscapes-13", 7: "cityscapes-7"}


@dataclass(frozen=True)
class Imported:
    """What was recognised and written.

    Attributes:
        output: the file written.
        description: the layout, in words.
        card: the checkpoint's card, or None for initial weights.
        remarks: what was decided and why, a sentence each.
    """

    output: Path
    description: str
    card: ModelCard | None
    remarks: tuple[str, ...]

    def summary(self) -> str:
        """A few lines for a person."""
        return "\n".join([f"recognised {self.description}", *self.remarks, f"written to {self.output}"])


def import_weights(
    path: Path,
    output: Path,
    *,
    layout: str = "auto",
    branches: int | None = None,
    space: str | None = None,
    input_size: InputSize | None = None,
) -> Imported:
    """Turns a checkpoint in a published layout into one of ours; nothing in the file is ever run.

    Args:
        path: ``.pth`` or MXNet's ``.params`` as released, or safetensors with the same keys.
        output: the safetensors file to write: a checkpoint, or initial weights for the option ``weights`` of a network.
        layout: the authors' code it comes from; ``auto`` finds the arrangement of keys, but AdaptSegNet and ADVENT
            share theirs.
        branches: how many branches of the heads are summed, 2 or 4; None: as the layout says, else as the values tell
            (see :func:`acclimate.exchange.heads.trained_branches`), else the layout's usual number.
        space: name of a class space, or the ``dataset.yaml`` whose classes they are; None: Cityscapes' with as many
            classes as the heads have.
        input_size: what images should be given in; None: the size at which the layout's authors evaluate.

    Raises:
        UserError: the file cannot be read safely, fits no layout, holds unusable values or another number of classes,
            or an option does not suit it.
    """
    path, output = Path(path), Path(output)
    if layout not in FAMILIES:
        raise unknown("layout", layout, FAMILIES)
    if output.suffix != ".safetensors":
        raise UserError(f"-o {output}: imported weights are safetensors; choose a name that ends in .safetensors")
    claim_file(output, "weights", reads=[path])
    _refuse_ours(path)
    found = foreign_weights(path)
    fit = recognise(found.tensors, layout=layout, where=str(path))
    tensors = _usable(fit.tensors, path)
    source = f"imported from {path.name} (SHA-256 {hash_of_file(path)}), {fit.layout.description}"
    source = "; ".join([source, *found.remarks])
    if isinstance(fit.layout, BodyLayout):
        if not (branches is None and space is None and input_size is None):
            raise UserError(
                "initial weights have no head, no classes and no input size; leave out --branches, --class-space and "
                "--input-size"
            )
        return _initial_weights(fit.layout, tensors, output, source=source)
    assert isinstance(fit.layout, NetworkLayout)
    assert fit.classes is not None
    config, remarks = fit.layout.complete(fit.layout.network, tensors, ImportOptions(layout, branches, str(path)))
    classes = _class_space(space, fit.classes, path)
    size = input_size or fit.layout.input_size
    card = ModelCard(
        network=config,
        classes=classes.classes,
        colours=classes.colours,
        class_space=classes.name,
        input_size=None if size == "native" else size,
        license="its authors'; see where it was published",
        note="; ".join([source, *remarks]),
    )
    with torch.device("meta"):
        network = build_network(config, len(classes))
    complete = {
        key: tensors[key] if key in tensors else torch.zeros(value.shape, dtype=value.dtype)
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(complete, assign=True)
    save_network(output, network, card=card)
    card = card.model_copy(update={"network": network.config})
    remarks = [*found.remarks, f"classes: {len(classes)} ({classes.name})", *remarks, f"input size: {_shown(size)}"]
    return Imported(output, fit.layout.description, card, tuple(remarks))


def _shown(size: InputSize) -> str:
    return "each image's own" if size == "native" else f"{size[0]}x{size[1]}"


def _class_space(name: str | None, classes: int, path: Path) -> ClassSpace:
    if name is None and classes not in _DEFAULT_SPACES:
        raise UserError(
            f"{path} has {classes} classes, and no class space is usual for that number; give --class-space the "
            f"dataset.yaml that lists them, or a name (known: {', '.join(sorted(CLASS_SPACES))})"
        )
    space = _named_space(name or _DEFAULT_SPACES[classes])
    if len(space) != classes:
        raise UserError(
            f"{path} has {classes} classes, but --class-space {space.name} has {len(space)}; choose one with {classes}"
        )
    return space


def _named_space(name: str) -> ClassSpace:
    described = Path(name).expanduser()
    if described.suffix in (".yaml", ".yml") or described.is_dir():
        described = described / DESCRIPTION if described.is_dir() else described
        return described_class_space(described, read_description(described))
    return class_space(name)


def _usable(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors in float32 and in memory of their own, none of them with a value that is no number."""
    usable = {}
    for key, value in tensors.items():
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            kind = "a placeholder without values" if value.is_meta else "sparse or quantised"
            raise UserError(f"{path}: {key} is {kind}, not an ordinary tensor; save it dense and in float32 first")
        if not value.is_floating_point() and not key.endswith(COUNTER):
            kind = str(value.dtype).removeprefix("torch.")
            raise UserError(f"{path}: {key} holds {kind} values, where weights are real numbers; the file is damaged")
        if value.is_floating_point():
            value = value.float()
            if not bool(value.isfinite().all()):
                raise UserError(f"{path}: {key} holds values that are infinite or no numbers; the file is damaged")
            if key.endswith("running_var") and bool((value < 0).any()):
                raise UserError(f"{path}: {key} holds negative variances; the file is damaged")
        # safetensors refuses tensors that share memory
        usable[key] = value.clone(memory_format=torch.contiguous_format)
    return usable


def _refuse_ours(path: Path) -> None:
    try:
        read_card_content(path)
    except UserError:
        return
    raise UserError(f"{path} is already a checkpoint of acclimate: every command takes it as it is")


def _initial_weights(layout: BodyLayout, tensors: dict[str, Tensor], output: Path, *, source: str) -> Imported:
    """Writes a body's weights alone; heads and classes are the business of the network that starts from them."""
    write_tensors(output, tensors, key=WEIGHTS, card={"note": source})
    remark = f"use it in a recipe: network: {{name: {layout.starts}, weights: {output}}}"
    return Imported(output, layout.description, None, (remark,))
