"""Pseudo-labels of detection: a detector's boxes on unlabelled images, as COCO's JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from acclimate.detection.checkpoint import load_detector
from acclimate.detection.evaluate import detected
from acclimate.detection.sample import BoxedDataset
from acclimate.errors import unknown
from acclimate.io.files import write_json
from acclimate.io.progress import progress

Score = Annotated[float, Field(ge=0.0, le=1.0)]


class BoxSelection(BaseModel):
    """Which detections become pseudo-labels.

    Attributes:
        threshold: the score from which a box is one.
        by_class: class name -> its own threshold.
        crowd_from: boxes with scores from here to the threshold are written as crowds, which are neither trained on nor
            scored; None: they are left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: Score = 0.5
    by_class: dict[str, Score] = Field(default_factory=dict)
    crowd_from: Score | None = None


def label_boxes(
    checkpoint: Path, data: BoxedDataset, *, selection: BoxSelection, folder: Path, device: str
) -> dict[str, int]:
    """Writes ``annotations/SPLIT.json`` with the boxes, their scores and the images' names and sizes.

    The images stay where they are; ``coco:FOLDER,images=PATH`` reads both.

    Args:
        checkpoint: of a detector.
        data: the images, in whatever kind; its boxes are not read.
        selection: which detections are written.
        folder: the folder to write to.
        device: where to compute.

    Returns:
        Class name -> number of its pseudo-labels.

    Raises:
        UserError: the checkpoint is no detector, or the selection names a class that it does not have.
    """
    detector, card = load_detector(checkpoint, device=device)
    for name in selection.by_class:
        if name not in card.classes:
            raise unknown("class of the detector", name, card.classes)
    least = [selection.by_class.get(name, selection.threshold) for name in card.classes]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    counts = dict.fromkeys(card.classes, 0)
    with progress("label", len(data)) as bar:
        for index, name in enumerate(data.names):
            image = data.image(index)
            images.append(
                {
                    "id": index + 1,
                    "file_name": f"{name}{_suffix(data, index)}",
                    "width": image.shape[1],
                    "height": image.shape[0],
                }
            )
            found = detected(detector, image, size=card.input_size, device=device)
            for box, place, score in zip(
                found.boxes.tolist(), found.classes.tolist(), found.scores.tolist(), strict=True
            ):
                crowd = score < least[place]
                if crowd and (selection.crowd_from is None or score < selection.crowd_from):
                    continue
                counts[card.classes[place]] += not crowd
                x0, y0, x1, y1 = box
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": index + 1,
                        "category_id": place + 1,
                        "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
                        "area": round((x1 - x0) * (y1 - y0), 2),
                        "iscrowd": int(crowd),
                        "score": round(score, 4),
                    }
                )
            bar.advance()
    categories = [{"id": place, "name": name} for place, name in enumerate(card.classes, start=1)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    write_json(folder / "annotations" / f"{data.split}.json", content)
    return counts


def _suffix(data: BoxedDataset, index: int) -> str:
    """Of the image's file; the built-in scenes have none and are written as PNG by whoever wants files."""
    items = getattr(data, "items", None)
    return ".png" if items is None else Path(str(items[index].image)).suffix
