"""Whether a translation kept what is in a picture, as a segmentation network sees it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from acclimate.evaluation.inference import Inference
from acclimate.evaluation.predict import predict_labels
from acclimate.models.checkpoint import load_network
from acclimate.translation.colour import Pictures


def prediction_agreement(
    checkpoint: Path, source: Pictures, translated: Pictures, *, indices: Sequence[int], device: str = "cpu"
) -> float:
    """The share of pixels (0-1) given the same class in an image and in its translation.

    Args:
        checkpoint: a network trained on the source.
        source, translated: the same scenes in the same order.
        indices: which images to compare.
        device: where the network predicts.
    """
    network, card = load_network(checkpoint, device=device)
    inference = Inference(size=card.input_size)
    same = pixels = 0
    with torch.no_grad():
        for index in indices:
            image, other = source.image(index), translated.image(index)
            size = (image.shape[0], image.shape[1])
            first, second = (
                predict_labels([network], inference.prepared(entry).to(device), size=size)[0]
                for entry in (image, other)
            )
            same += int((first == second).sum())
            pixels += first.numel()
    return same / max(1, pixels)
