"""Pseudo-labels of detection: a detector's boxes on unlabelled images, as COCO's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from acclimate.data.sample import Image
from acclimate.detection.checkpoint import load_detector
from acclimate.detection.detector import Detection
from acclimate.detection.evaluate import detected
from acclimate.detection.sample import BoxedDataset
from acclimate.errors import unknown
from acclimate.io.files import write_json
from acclimate.io.progress import progress
from acclimate.training.team import ALONE, Team

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
    checkpoint: Path,
    data: BoxedDataset,
    *,
    selection: BoxSelection,
    folder: Path,
    device: str,
    team: Team = ALONE,
) -> dict[str, int]:
    """Writes ``annotations/SPLIT.json`` with the boxes, their scores and the images' names and sizes.

    The images stay where they are; ``coco:FOLDER,images=PATH`` reads both.

    Args:
        checkpoint: of a detector.
        data: the images, in whatever kind; its boxes are not read.
        selection: which detections are written.
        folder: the folder to write to; of several processes, the first one does.
        device: of this process.
        team: who shares the images; what is written does not depend on it.

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
    mine = team.share(range(len(data)))
    labelled = []
    with progress("label", len(mine), silent=not team.first) as bar:
        for index in mine:
            image = data.image(index)
            found = detected(detector, image, size=card.input_size, device=device)
            labelled.append((_described(data, index, image), _chosen(found, least, selection.crowd_from)))
            bar.advance()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for described, chosen in team.in_order(labelled):
        images.append(described)
        for each in chosen:
            annotations.append({"id": len(annotations) + 1, "image_id": described["id"], **each})
    counts = {
        name: sum(each["category_id"] == place and not each["iscrowd"] for each in annotations)
        for place, name in enumerate(card.classes, start=1)
    }
    categories = [{"id": place, "name": name} for place, name in enumerate(card.classes, start=1)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    if team.first:
        write_json(folder / "annotations" / f"{data.split}.json", content)
    return counts


def _described(data: BoxedDataset, index: int, image: Image) -> dict[str, Any]:
    """COCO's entry of an image."""
    return {
        "id": index + 1,
        "file_name": f"{data.names[index]}{_suffix(data, index)}",
        "width": image.shape[1],
        "height": image.shape[0],
    }


def _chosen(found: Detection, least: Sequence[float], crowd_from: float | None) -> list[dict[str, Any]]:
    """COCO's annotations of one image, without the ids that only the whole set gives."""
    chosen = []
    for box, place, score in zip(found.boxes.tolist(), found.classes.tolist(), found.scores.tolist(), strict=True):
        crowd = score < least[place]
        if crowd and (crowd_from is None or score < crowd_from):
            continue
        x0, y0, x1, y1 = box
        chosen.append(
            {
                "category_id": place + 1,
                "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
                "area": round((x1 - x0) * (y1 - y0), 2),
                "iscrowd": int(crowd),
                "score": round(score, 4),
            }
        )
    return chosen


def _suffix(data: BoxedDataset, index: int) -> str:
    """Of the image's file; the built-in scenes have none and are written as PNG by whoever wants files."""
    items = getattr(data, "items", None)
    return ".png" if items is None else Path(str(items[index].image)).suffix
