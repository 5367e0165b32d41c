"""Checkpoints of networks: one safetensors file that says in its header what it is.

The header's key ``acclimate`` holds the model card as JSON: enough to rebuild the network, to name and colour its
classes and to tell where it came from. Nothing is ever unpickled.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from acclimate.data.class_space import ClassSpace
from acclimate.errors import UserError
from acclimate.io.reading import BadJson, parsed_json
from acclimate.io.tensors import DIGEST, matches, read_unverified, write_tensors
from acclimate.io.validation import validated
from acclimate.models.config import NetworkConfig
from acclimate.models.network import SegmentationNetwork
from acclimate.models.registry import build_network
from acclimate.models.wrapped import expect_allowed

FORMAT = 2
"""Version of the card; raised when old programs could no longer read new files."""

KEY = "acclimate"
"""The entry of a file's header that holds the card."""
_UNSIGNED_FORMAT = 1
"""The last format whose early files had no checksum."""
_REMEDY = "copy it again, or delete it with its folder and run the same command again"
_VERSION = version("acclimate")


class ModelCard(BaseModel):
    """What a checkpoint tells about its network.

    Attributes:
        format: version of the card's format.
        network: how to rebuild the network; its weights are in the file, so this names none.
        classes: class names in train-id order.
        colours: one RGB triple (0-255) per class.
        class_space: name of the class space it was trained in.
        input_size: (width, height) in pixels it was trained at and should be given, or None for native size.
        method: name of the method that trained it.
        recipe: name of the recipe.
        seed: the run's seed.
        steps: optimisation steps taken.
        created_by: program and version that wrote the file.
        license: terms the weights come under, where known.
        note: anything else a person should know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    network: NetworkConfig
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    class_space: str
    input_size: tuple[int, int] | None = None
    method: str | None = None
    recipe: str | None = None
    seed: int | None = None
    steps: int | None = Field(default=None, ge=0)
    created_by: str = f"acclimate {_VERSION}"
    license: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _one_colour_per_class(self) -> ModelCard:
        if len(self.classes) != len(self.colours):
            raise ValueError(f"{len(self.classes)} classes but {len(self.colours)} colours")
        return self

    def space(self) -> ClassSpace:
        """The classes it was trained on; readers find the mapping of raw ids by the class space's name."""
        return ClassSpace(name=self.class_space, classes=self.classes, colours=self.colours)


def save_network(path: Path, network: SegmentationNetwork, *, card: ModelCard) -> None:
    """Writes the network's tensors and its card to ``path``, atomically.

    Args:
        path: the file, by custom ``*.safetensors``.
        network: on any device and in any memory format.
        card: its ``network`` is replaced by the network's own settled config, without the option ``weights``.

    Raises:
        UserError: the file cannot be written.
        ValueError: the card describes another network or another number of classes.
    """
    if card.network.name != network.config.name or len(card.classes) != network.classes:
        raise ValueError(
            f"the card describes {card.network.name!r} with {len(card.classes)} classes, the network is "
            f"{network.config.name!r} with {network.classes}"
        )
    card = card.model_copy(update={"network": network.config.without_weights()})
    write_tensors(path, network.state_dict(), key=KEY, card=card.model_dump(mode="json"))


def read_card(path: Path) -> ModelCard:
    """The card of a checkpoint, without loading its tensors.

    Raises:
        UserError: the file is missing, truncated, of another program or of a later format.
    """
    content = read_card_content(path)
    if content.get("task", "segmentation") != "segmentation":
        raise UserError(f"{path} holds a network for {content['task']}, but a segmentation network is needed here")
    if content.get("format") == 1 and isinstance(network := content.get("network"), dict):
        # the first format wrote every option of any network, those it lacked as null or false
        content["network"] = {key: value for key, value in network.items() if value is not None and value is not False}
    return validated(ModelCard, content, f"{path}: its model card is not valid")


def read_card_content(path: Path) -> dict[str, Any]:
    """The card of a checkpoint of any task, as it is written.

    Raises:
        UserError: the file is missing, truncated, of another program or of a later format.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such checkpoint: {path}; expected a model.safetensors written by acclimate")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    if KEY not in metadata:
        raise UserError(
            f"{path} is a safetensors file but no checkpoint of acclimate: its header has no {KEY!r} entry; expected "
            "a model.safetensors written by acclimate (weights published by others must be imported first)"
        )
    try:
        content = parsed_json(metadata[KEY])
    except BadJson as error:
        raise UserError(f"{path}: the {KEY!r} entry of its header is not JSON ({error}); the file is damaged") from None
    written = content.get("format") if isinstance(content, dict) else None
    if isinstance(written, int) and written > FORMAT:
        raise UserError(
            f"{path} has checkpoint format {written}, written by {content.get('created_by', 'a later acclimate')}; "
            f"this is acclimate {_VERSION}, which reads formats up to {FORMAT}: upgrade acclimate"
        )
    if not isinstance(content, dict):
        return {}
    content.pop(DIGEST, None)
    return content


def load_network(
    path: Path, *, device: torch.device | str = "cpu", network: SegmentationNetwork | str | None = None
) -> tuple[SegmentationNetwork, ModelCard]:
    """The network of a checkpoint, in evaluation mode, and its card. The global random state is left as it was.

    Args:
        path: a file that :func:`save_network` wrote.
        device: where the network goes.
        network: for a checkpoint of a network of one's own: that network, which gets the tensors, or its reference
            ``python:package.module:factory``, which is imported. A file alone never imports code: it has to be named
            here, in a recipe of this process or on the command line.

    Raises:
        UserError: the file is missing, truncated or of another program, its tensors are not those of the network that
            its card describes, or that network is code that nobody named.
    """
    path = Path(path)
    card = read_card(path)
    tensors = read_checkpoint_tensors(path)
    if not isinstance(network, SegmentationNetwork):
        network = _built(path, card, network)
    elif network.classes != len(card.classes):
        raise UserError(f"{path} is of {len(card.classes)} classes, the given network of {network.classes}")
    fill(network, tensors, path=path, what="network")
    return network.to(device).eval(), card


def fill(network: nn.Module, tensors: dict[str, Tensor], *, path: Path, what: str) -> None:
    """Gives a network the tensors of a checkpoint; ``what`` it is called in the message.

    Raises:
        UserError: they are those of another one.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        summary = " ".join(str(error).split())[:400]
        raise UserError(f"{path}: its tensors are not those of the {what} in its card: {summary}") from error


def read_checkpoint_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint of any task, verified with its card; early files may lack a checksum.

    Raises:
        UserError: they are not what was written.
    """
    card, tensors = read_unverified(path, key=KEY, remedy=_REMEDY)
    if DIGEST not in card and card.get("format") == _UNSIGNED_FORMAT:
        return tensors
    if not matches(KEY, card, tensors):
        raise UserError(
            f"{path}: its content does not match its checksum; it was damaged after it was written: {_REMEDY}"
        )
    return tensors


def _built(path: Path, card: ModelCard, reference: str | None) -> SegmentationNetwork:
    """The network that a card describes, with random weights.

    Raises:
        UserError: it cannot be built, or is code that the user has not named.
    """
    expect_allowed(card.network.name, path, named=reference)
    # building draws random weights, which are overwritten: loading a model must not change what a seed means
    with torch.random.fork_rng(devices=[]):
        try:
            return build_network(card.network.without_weights(), len(card.classes))
        except UserError as error:
            raise UserError(f"{path}: its card describes a network that cannot be built: {error}") from error


class Classified(Protocol):
    """The part of a card that says what a network tells apart; of a detector's card too."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def class_space(self) -> str: ...


def expect_classes(card: Classified, class_space: ClassSpace, path: Path) -> None:
    """Checks that a checkpoint speaks of the classes the caller is about to use.

    Raises:
        UserError: other classes, or another order of them.
    """
    if card.classes == class_space.classes:
        return
    trained = f"the {len(card.classes)} classes of {card.class_space!r} ({_short(card.classes)})"
    wanted = f"the {len(class_space)} classes of {class_space.name!r} ({_short(class_space.classes)})"
    raise UserError(
        f"{path} was trained on {trained}, but {wanted} were asked for; choose the class space {card.class_space!r} or "
        "another checkpoint"
    )


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} is no readable safetensors file ({error}): it may be truncated or of another format; expected a "
        "model.safetensors written by acclimate"
    )


def _short(names: tuple[str, ...], *, shown: int = 6) -> str:
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")
