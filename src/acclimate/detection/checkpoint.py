"""Checkpoints of detectors: like those of segmentation networks, one safetensors file that says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from acclimate.data.class_space import ClassSpace
from acclimate.detection.config import DetectorConfig
from acclimate.detection.detector import Detector
from acclimate.detection.networks import build_detector
from acclimate.errors import UserError
from acclimate.io.tensors import write_tensors
from acclimate.io.validation import validated
from acclimate.models.checkpoint import FORMAT, KEY, fill, read_card_content, read_checkpoint_tensors
from acclimate.models.wrapped import expect_allowed


class DetectorCard(BaseModel):
    """What a detector's checkpoint tells about it; see :class:`acclimate.models.checkpoint.ModelCard`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    task: Literal["detection"] = "detection"
    network: DetectorConfig
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    class_space: str
    input_size: tuple[int, int]
    method: str | None = None
    recipe: str | None = None
    seed: int | None = None
    steps: int | None = Field(default=None, ge=0)

    def space(self) -> ClassSpace:
        """The classes the detector was trained on."""
        return ClassSpace(name=self.class_space, classes=self.classes, colours=self.colours)


def save_detector(path: Path, detector: Detector, *, card: DetectorCard) -> None:
    """Writes the detector's tensors and its card to ``path``, atomically."""
    if card.network.name != detector.config.name or len(card.classes) != detector.classes:
        raise ValueError(f"the card describes {card.network.name!r} with {len(card.classes)} classes, not this one")
    card = card.model_copy(update={"network": detector.config.without_weights()})
    write_tensors(path, detector.state_dict(), key=KEY, card=card.model_dump(mode="json"))


def is_detector(path: Path) -> bool:
    """Whether a checkpoint holds a detector.

    Raises:
        UserError: the file is missing, damaged or of another program.
    """
    return bool(read_card_content(path).get("task") == "detection")


def read_detector_card(path: Path) -> DetectorCard:
    """The card of a detector's checkpoint, without building the detector.

    Raises:
        UserError: the file is missing, truncated, of another program, or holds no detector.
    """
    content = read_card_content(path)
    if content.get("task") != "detection":
        raise UserError(f"{path} holds a segmentation network, but a detector is needed here")
    return validated(DetectorCard, content, f"{path}: its model card is not valid")


def load_detector(
    path: Path, *, device: torch.device | str = "cpu", network: Detector | str | None = None
) -> tuple[Detector, DetectorCard]:
    """The detector of a checkpoint, in evaluation mode, and its card. The global random state is left as it was.

    Args:
        path: a file that :func:`save_detector` wrote.
        device: where the detector goes.
        network: see :func:`acclimate.models.checkpoint.load_network`.

    Raises:
        UserError: the file is missing, damaged, or holds no detector of acclimate, or one of code that nobody named.
    """
    path = Path(path)
    card = read_detector_card(path)
    tensors = read_checkpoint_tensors(path)
    if not isinstance(network, Detector):
        expect_allowed(card.network.name, path, named=network)
        with torch.random.fork_rng(devices=[]):
            network = build_detector(card.network.without_weights(), len(card.classes), initialised=False)
    elif network.classes != len(card.classes):
        raise UserError(f"{path} is of {len(card.classes)} classes, the given detector of {network.classes}")
    fill(network, tensors, path=path, what="detector")
    return network.to(device).eval(), card
