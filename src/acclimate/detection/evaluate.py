"""The verb ``evaluate`` for detectors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PILImage
from torch import Tensor

from acclimate.data.class_space import ClassSpace
from acclimate.data.sample import Image, evenly_spaced
from acclimate.data.transforms import resized, to_tensor
from acclimate.detection.average_precision import DetectionScores
from acclimate.detection.checkpoint import load_detector
from acclimate.detection.detector import Detection, Detector
from acclimate.detection.drawing import drawn
from acclimate.detection.error_kinds import errors_by_kind
from acclimate.detection.protocols import DetectionProtocol
from acclimate.detection.sample import BoxedDataset, Boxes
from acclimate.errors import UserError
from acclimate.evaluation.box_scores import RECALLS
from acclimate.evaluation.pictures import picture_size, save_picture
from acclimate.evaluation.scores import DetectionRow, Row, write_scores
from acclimate.io.checksums import write_verified_json
from acclimate.training.resources import peak_memory_mb, reset_peak_memory
from acclimate.training.team import ALONE, Team

DRAWN_WIDTH = 640
"""Pixels to which narrower pictures are enlarged before boxes are drawn on them."""


@dataclass(frozen=True)
class DetectionEvaluateRequest:
    """Everything an ``evaluate`` stage of a detection recipe depends on.

    Attributes:
        name, method, seed: for the row of results.
        checkpoint: of the detector.
        data: the set with boxes.
        protocol: how it is scored.
        class_space: the classes of boxes and detector.
        pictured: domain name -> set of which a few images are pictured.
        pictures: how many images per domain.
    """

    name: str
    method: str
    seed: int
    checkpoint: Path
    data: BoxedDataset
    protocol: DetectionProtocol
    class_space: ClassSpace
    pictured: Mapping[str, BoxedDataset]
    pictures: int


def evaluate_detections(
    request: DetectionEvaluateRequest, *, folder: Path | None, title: str, device: str = "cpu", team: Team = ALONE
) -> Row:
    """AP over the whole set; with a ``folder``, scores and pictures are left there.

    Args:
        request: what is scored.
        folder: of all processes; the first one writes there.
        title: for the progress bar.
        device: of this process.
        team: who shares the images; the scores do not depend on it.

    Raises:
        UserError: the set has no boxes of these classes, or the checkpoint has other classes.
    """
    data = request.data
    if not data.has_labels:
        raise UserError(f"{data.spec} ({data.split}) has no boxes, so nothing can be scored on it")
    reset_peak_memory()
    detector, card = load_detector(request.checkpoint, device=device)
    if card.classes != request.class_space.classes:
        trained, wanted = ", ".join(card.classes), ", ".join(request.class_space.classes)
        raise UserError(f"{request.checkpoint} was trained on {trained}, but {wanted} were asked for")
    classes = request.class_space.classes
    scores = DetectionScores(len(classes), iou=request.protocol.iou)
    truths, detections = _looked_at(request, detector, card.input_size, title=title, device=device, team=team)
    for truth, found in zip(truths, detections, strict=True):
        scores.add(truth, found)
    result = scores.average_precision(request.protocol.style)
    if result.mean is None:
        raise UserError(f"{data.spec} ({data.split}): none of its {len(data)} images has an object to be found")
    errors = errors_by_kind(truths, detections, classes=len(classes), iou=request.protocol.iou)
    curves = zip(classes, scores.precisions(RECALLS), strict=True)
    row = DetectionRow(
        name=request.name,
        stage="",
        method=request.method,
        seed=request.seed,
        data=data.spec.partition(":")[0],
        split=data.split,
        images=len(data),
        protocol=request.protocol.name,
        map=result.mean,
        classes_averaged=sum(value is not None for value in result.by_class),
        ap=dict(zip(classes, result.by_class, strict=True)),
        errors=dict(zip(classes, errors, strict=True)),
        curves={name: [round(value, 4) for value in curve] for name, curve in curves if curve is not None},
        peak_memory_mb=round(peak_memory_mb(), 1),
    )
    if folder is not None and team.first:
        write_scores(folder / "scores.json", [row])
        least = scores_passing(truths, detections, classes=len(classes))
        _write_pictures(request, detector, card.input_size, least, folder / "pictures", device=device)
    return row


def _looked_at(
    request: DetectionEvaluateRequest,
    detector: Detector,
    size: tuple[int, int],
    *,
    title: str,
    device: str,
    team: Team,
) -> tuple[list[Boxes], list[Detection]]:
    """Objects and detections of all images in the order of the set, in every process, each of which sees its share."""
    data = request.data

    def look(index: int) -> tuple[list[Tensor], list[Tensor]]:
        truth = data.boxes(index)
        found = detected(detector, data.image(index), size=size, device=device)
        return [truth.corners, truth.classes, truth.difficult], [found.boxes, found.classes, found.scores]

    everything = team.each(range(len(data)), look, title=title)
    return [Boxes(*truth) for truth, _ in everything], [Detection(*found) for _, found in everything]


def detected(detector: Detector, image: Image, *, size: tuple[int, int], device: str = "cpu") -> Detection:
    """What a detector in evaluation mode finds in an image, in pixels of the image, on the CPU.

    Args:
        detector: on ``device``.
        image: (H, W, 3) RGB.
        size: (width, height) it is resized to.
        device: where the detector is.
    """
    height, width = image.shape[:2]
    with torch.no_grad():
        tensor = to_tensor(resized(image, size, "bilinear"))[None].to(device)
        found = detector.detections(detector(tensor), (size[1], size[0]))[0]
    scale = torch.tensor([width / size[0], height / size[1]] * 2)
    return Detection(found.boxes.cpu() * scale, found.classes.cpu(), found.scores.cpu())


def scores_passing(truths: Sequence[Boxes], found: Sequence[Detection], *, classes: int) -> Tensor:
    """(classes,): the score from which there are as many detections of a class as objects; where none is, 1.

    Pictures of models whose scores lie elsewhere show as many boxes so, those that errors by kind are counted of.
    """
    least = torch.ones(classes)
    for place in range(classes):
        count = sum(int(((truth.classes == place) & ~truth.difficult).sum()) for truth in truths)
        scores = torch.cat([each.scores[each.classes == place] for each in found]).sort(descending=True).values
        if count and len(scores):
            least[place] = scores[min(count, len(scores)) - 1]
    return least


def _picture(image: Image, found: Detection, space: ClassSpace, size: tuple[int, int], shown: Tensor) -> PILImage.Image:
    scale = torch.tensor([size[0] / image.shape[1], size[1] / image.shape[0]] * 2)
    return drawn(
        resized(image, size),
        (found.boxes[shown] * scale).tolist(),
        found.classes[shown].tolist(),
        space,
        scores=found.scores[shown].tolist(),
    )


def _write_pictures(
    request: DetectionEvaluateRequest,
    detector: Detector,
    size: tuple[int, int],
    least: Tensor,
    folder: Path,
    *,
    device: str,
) -> None:
    entries: list[dict[str, Any]] = []
    model = re.sub(r"[^\w.-]", "_", request.name)
    space = request.class_space
    for domain, dataset in request.pictured.items():
        for number, index in enumerate(evenly_spaced(request.pictures, len(dataset))):
            place = f"{domain}-{number}"
            image = dataset.image(index)
            width, height = picture_size(image.shape[1], image.shape[0])
            larger = max(1, math.ceil(DRAWN_WIDTH / width))  # else words hide what is small
            shown_at = (larger * width, larger * height)
            save_picture(folder / place / "input.jpg", PILImage.fromarray(resized(image, shown_at)))
            label = None
            if dataset.has_labels:
                label = f"{place}/label.jpg"
                truth = dataset.boxes(index)
                scale = torch.tensor([shown_at[0] / image.shape[1], shown_at[1] / image.shape[0]] * 2)
                easy = truth.kept(~truth.difficult)
                corners = (easy.corners * scale).tolist()
                save_picture(folder / label, drawn(resized(image, shown_at), corners, easy.classes.tolist(), space))
            found = detected(detector, image, size=size, device=device)
            prediction = f"{place}/{model}-prediction.jpg"
            shown = found.scores >= least[found.classes]
            save_picture(folder / prediction, _picture(image, found, space, shown_at, shown))
            entries.append(
                {
                    "domain": domain,
                    "name": dataset.names[index],
                    "input": f"{place}/input.jpg",
                    "label": label,
                    "models": {request.name: {"prediction": prediction}},
                }
            )
    index_of = {
        "kind": "boxes",
        "classes": list(space.classes),
        "colours": [list(colour) for colour in space.colours],
        "images": entries,
    }
    write_verified_json(folder / "index.json", index_of)
