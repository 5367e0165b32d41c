"""Pseudo-labels of detection: a detector's boxes on unlabelled images, as COCO's JSON."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acclimate.data.class_space import ClassSpace
from acclimate.data.sample import Image
from acclimate.data.wrappers import MANIFEST
from acclimate.detection.checkpoint import load_detector, read_detector_card
from acclimate.detection.detector import Detection
from acclimate.detection.evaluate import detected
from acclimate.detection.sample import BoxedDataset
from acclimate.errors import UserError
from acclimate.io.checksums import digests_in, write_verified_json
from acclimate.io.files import hash_of_file, write_json
from acclimate.pseudo.boxes import BoxSelection, annotations_of
from acclimate.training.resources import peak_memory_mb, reset_peak_memory
from acclimate.training.team import ALONE, Team


def label_boxes(
    checkpoint: Path,
    data: BoxedDataset,
    *,
    selection: BoxSelection,
    folder: Path,
    device: str,
    size: tuple[int, int] | None = None,
    title: str = "label",
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
        size: (width, height) that the detector sees; None: as its card says.
        title: of the bar.
        team: who shares the images; what is written does not depend on it.

    Returns:
        Class name -> number of its pseudo-labels.

    Raises:
        UserError: the checkpoint is no detector, or the selection names a class that it does not have.
    """
    detector, card = load_detector(checkpoint, device=device)
    least = selection.thresholds(card.classes)

    def look(index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        image = data.image(index)
        found = detected(detector, image, size=size or card.input_size, device=device)
        return _described(data, index, image), _chosen(found, least, selection.crowd_from)

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for entry, chosen in team.each(range(len(data)), look, title=title):
        images.append(entry)
        for each in chosen:
            annotations.append({"id": len(annotations) + 1, "image_id": entry["id"], **each})
    counts = {
        name: sum(each["category_id"] == place and not each["iscrowd"] for each in annotations)
        for place, name in enumerate(card.classes, start=1)
    }
    categories = [{"id": place, "name": name} for place, name in enumerate(card.classes, start=1)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    if team.first:
        write_json(folder / annotations_of(data.split), content)
    return counts


def write_pseudo_labels(
    checkpoint: Path,
    data: BoxedDataset,
    *,
    selection: BoxSelection,
    class_space: ClassSpace,
    size: tuple[int, int] | None,
    folder: Path,
    device: str,
    title: str,
    team: Team,
) -> dict[str, Any]:
    """Writes what :func:`label_boxes` does and, at last, a manifest that vouches for it and can be trained with.

    Args:
        class_space: the run's classes.

    Returns:
        What it cost: ``train_seconds`` (of labelling), ``peak_memory_mb``, and how many ``boxes`` each class has.

    Raises:
        UserError: the checkpoint is no detector of these classes, or the selection names another class.
    """
    begin = time.monotonic()
    reset_peak_memory()
    card = read_detector_card(checkpoint)
    if card.classes != class_space.classes:
        trained, wanted = ", ".join(card.classes), ", ".join(class_space.classes)
        raise UserError(f"{checkpoint} was trained on {trained}, but {wanted} are to be labelled")
    counts = label_boxes(
        checkpoint, data, selection=selection, folder=folder, device=device, size=size, title=title, team=team
    )
    if team.first:
        manifest = {
            "schema": 1,
            "classes": list(card.classes),
            "selection": selection.model_dump(mode="json", exclude={"by_class"}),  # thresholds say it
            "thresholds": selection.thresholds(card.classes),
            "boxes": list(counts.values()),
            "images": len(data),
            "checkpoint": hash_of_file(checkpoint),
            "data": {"spec": data.spec, "split": data.split, "fingerprint": data.fingerprint()},
            "files": digests_in(folder, [annotations_of(data.split)]),
        }
        write_verified_json(folder / MANIFEST, manifest)
    team.meet()
    return {
        "train_seconds": round(time.monotonic() - begin, 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "boxes": counts,
    }


def file_name(data: BoxedDataset, index: int) -> str:
    """What an image is called among the pseudo-labels."""
    return f"{data.names[index]}{_suffix(data, index)}"


def _described(data: BoxedDataset, index: int, image: Image) -> dict[str, Any]:
    """COCO's entry of an image."""
    return {
        "id": index + 1,
        "file_name": file_name(data, index),
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
