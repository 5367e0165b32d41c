"""What tests of detection share: a small detector on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from acclimate.detection.checkpoint import DetectorCard, save_detector
from acclimate.detection.classes import SCENES_THINGS
from acclimate.detection.config import DetectorConfig
from acclimate.detection.networks import build_detector

SIZE = (64, 64)


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a detector with random weights for pictures of 64x64."""
    torch.manual_seed(0)
    config = DetectorConfig(name="light-ssd", width=8)
    card = DetectorCard(
        network=config,
        classes=SCENES_THINGS.classes,
        colours=SCENES_THINGS.colours,
        class_space=SCENES_THINGS.name,
        input_size=SIZE,
    )
    path = tmp_path_factory.mktemp("detector") / "model.safetensors"
    save_detector(path, build_detector(config, len(card.classes)), card=card)
    return path
