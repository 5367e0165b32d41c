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
from acclimate.models.checkpoint import FORMAT, KEY, read_card_content, read_checkpoint_tensors


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
    card = card.model_copy(update={"network": detector.config.model_copy(update={"weights": None})})
    write_tensors(path, detector.state_dict(), key=KEY, card=card.model_dump(mode="json"))


def is_detector(path: Path) -> bool:
    """Whether a checkpoint holds a detector.

    Raises:
        UserError: the file is missing, damaged or of another program.
    """
    return bool(read_card_content(path).get("task") == "detection")


def load_detector(path: Path, *, device: torch.device | str = "cpu") -> tuple[Detector, DetectorCard]:
    """The detector of a checkpoint, in evaluation mode, and its card. The global random state is left as it was.

    Raises:
        UserError: the file is missing, damaged, or holds no detector of acclimate.
    """
    content = read_card_content(path)
    if content.get("task") != "detection":
        raise UserError(f"{path} holds a segmentation network, but a detector is needed here")
    card = validated(DetectorCard, content, f"{path}: its model card is not valid")
    tensors = read_checkpoint_tensors(Path(path))
    detector = build_detector(card.network, len(card.classes), initialised=False)
    try:
        detector.load_state_dict(tensors)
    except RuntimeError as error:
        summary = " ".join(str(error).split())[:400]
        raise UserError(f"{path}: its tensors are not those of the detector in its card: {summary}") from error
    return detector.to(device).eval(), card
