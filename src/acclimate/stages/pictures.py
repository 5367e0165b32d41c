"""Pictures that a stage leaves for the report: photographs, labels where they may be read, predictions, entropy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from acclimate.data.class_space import ClassSpace
from acclimate.data.sample import Dataset, evenly_spaced
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.pictures import picture_size, save_picture
from acclimate.evaluation.predict import predict, predict_labels
from acclimate.io.checksums import write_verified_json
from acclimate.labels import resized_label
from acclimate.models.network import SegmentationNetwork
from acclimate.training.team import ALONE, Team

FOLDER = "pictures"
STRIP_FRAMES, STRIP_WIDTH = 3, 320
"""Frames that are pictured at every snapshot, and pixels they are reduced to."""
OPACITY = 0.55
"""Of predictions over photographs."""


def write_pictures(
    folder: Path,
    name: str,
    networks: Sequence[SegmentationNetwork],
    pictured: Mapping[str, Dataset],
    *,
    count: int,
    class_space: ClassSpace,
    inference: Inference,
    weights: Sequence[float] | None = None,
    labels: bool = True,
    device: str,
    team: Team = ALONE,
) -> None:
    """Writes pictures of a few images of each domain, and ``index.json``, which says what there is.

    Args:
        folder: where to.
        name: of the model.
        networks: in evaluation mode; several are an ensemble.
        pictured: domain -> its images.
        count: images of each domain, evenly spaced.
        class_space: names and colours.
        inference, weights: how the networks are asked.
        labels: whether labels are pictured where there are any; otherwise they are not read.
        team: who shares the pictures.
    """
    entries: list[dict[str, Any]] = []
    model = re.sub(r"[^\w.-]", "_", name)
    chosen = [
        (domain, dataset, number, index)
        for domain, dataset in pictured.items()
        for number, index in enumerate(evenly_spaced(count, len(dataset)))
    ]
    for domain, dataset, number, index in team.share(chosen):
        place = f"{domain}-{number}"
        image = dataset.image(index)
        size = picture_size(image.shape[1], image.shape[0])
        save_picture(folder / place / "input.jpg", PILImage.fromarray(image).resize(size, PILImage.Resampling.LANCZOS))
        label = None
        if labels and dataset.has_labels:
            label = f"{place}/label.png"
            values = PILImage.fromarray(resized_label(dataset.label(index), size))
            save_picture(folder / label, with_palette(values, class_space))
        prediction = predict(
            networks,
            inference.prepared(image).to(device),
            size=(size[1], size[0]),
            inference=inference,
            weights=weights,
        )
        guess = PILImage.fromarray(prediction.labels[0].cpu().numpy())
        entropy = PILImage.fromarray((prediction.entropy[0].cpu().numpy() * 255).round().astype(np.uint8))
        paths = {"prediction": f"{place}/{model}-prediction.png", "entropy": f"{place}/{model}-entropy.png"}
        save_picture(folder / paths["prediction"], with_palette(guess, class_space))
        save_picture(folder / paths["entropy"], entropy)
        entries.append(
            {
                "domain": domain,
                "name": dataset.names[index],
                "input": f"{place}/input.jpg",
                "label": label,
                "models": {name: paths},
            }
        )
    index_of = {
        "classes": list(class_space.classes),
        "colours": [list(colour) for colour in class_space.colours],
        "images": team.in_order(entries),
    }
    if team.first:
        write_verified_json(folder / "index.json", index_of)


def overlays(
    network: SegmentationNetwork, data: Dataset, *, size: tuple[int, int] | None, device: str
) -> dict[str, NDArray[np.uint8]]:
    """Name -> a frame with what the network says of it laid over, (H, W, 3), of a few evenly spaced frames.

    Args:
        network: left in the mode it came in.
        data: its images.
        size: (width, height) the network sees.
    """
    inference, palette = Inference(size=size), data.class_space.palette()
    found = {}
    for index in evenly_spaced(STRIP_FRAMES, len(data)):
        image = data.image(index)
        height, width = image.shape[:2]
        small = (min(width, STRIP_WIDTH), max(1, round(height * min(1.0, STRIP_WIDTH / width))))
        photo = np.asarray(PILImage.fromarray(image).resize(small, PILImage.Resampling.LANCZOS), dtype=np.float64)
        seen = inference.prepared(image).to(device)
        labels = predict_labels([network], seen, size=(small[1], small[0]), inference=inference)[0].cpu().numpy()
        mixed = (1 - OPACITY) * photo + OPACITY * palette[labels]
        found[f"target {data.names[index]}"] = mixed.round().astype(np.uint8)
    return found


def with_palette(values: PILImage.Image, space: ClassSpace) -> PILImage.Image:
    """Train ids as a picture that shows the classes' colours."""
    values = values.convert("L")
    values.putpalette(space.palette().flatten().tolist())
    return values
