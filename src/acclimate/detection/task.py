"""What the rest of the program asks of detection: data, scores, predictions. Only ``tasks.py`` imports it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acclimate.data.places import places_read
from acclimate.detection.check import check_boxes
from acclimate.detection.checkpoint import is_detector, read_detector_card
from acclimate.detection.evaluate import DetectionEvaluateRequest, evaluate_detections
from acclimate.detection.exporting import export_detector
from acclimate.detection.labelling import label_boxes, write_pseudo_labels
from acclimate.detection.methods import DETECTION_METHODS
from acclimate.detection.networks import DETECTORS
from acclimate.detection.predict import predict_boxes
from acclimate.detection.protocols import DETECTION_PROTOCOLS, detection_protocol
from acclimate.detection.pseudo_labelled import PseudoLabelledBoxes
from acclimate.detection.registry import BOXED_DATASETS, open_boxes
from acclimate.detection.stats import box_stats
from acclimate.errors import UserError
from acclimate.evaluation.scores import Row
from acclimate.io.outputs import claim_folder
from acclimate.io.validation import validated
from acclimate.pseudo.boxes import BoxSelection, annotations_of
from acclimate.training.team import ALONE, Team


def open_boxed_sets(recipe: Any, source: str, target: str, *, scores: bool) -> dict[str, Any]:
    """The sets of a detection recipe by name, the classes and the protocol; the source's own classes count.

    Raises:
        UserError: data cannot be read, or what is scored on has images without boxes.
    """
    if recipe.source_cut:
        raise UserError(f"recipe {recipe.name}: source_cut is for label maps; boxes would not be cut with the pictures")
    opened = open_boxes(source, split=recipe.source_split)
    space = opened.class_space
    evaluation = None
    if scores:
        evaluation = open_boxes(recipe.evaluation or target, split=recipe.evaluation_split, class_space=space)
        if not evaluation.has_labels:
            raise UserError(f"{evaluation.spec} ({evaluation.split}) has images without boxes: it cannot be scored on")
        evaluation.boxes(0)
    return {
        "class_space": space,
        "protocol": detection_protocol(recipe.protocol),
        "source": opened,
        "target": open_boxes(target, split=recipe.target_split, class_space=space),
        "evaluation": evaluation,
    }


def score_detector(stage: Any, place: Any, *, model: str) -> None:
    """Scores a detector, as :class:`acclimate.stages.evaluate.ScoredModels` says."""
    context = stage.context
    data = context.data
    request = DetectionEvaluateRequest(
        name=stage.row.name,
        method=stage.method,
        seed=context.seed,
        checkpoint=stage.inputs[0].folder / model,
        data=data.evaluation,
        protocol=stage.protocol,
        class_space=data.class_space,
        pictured={"target": data.evaluation, "source": data.source},
        pictures=stage.stage.pictures,
    )
    team, device = Team(place.fabric), str(place.fabric.device)
    evaluate_detections(request, folder=place.folder, title=stage.title, device=device, team=team)


def label_target(stage: Any, place: Any, *, model: str) -> dict[str, Any]:
    """Labels the target with a detector, as :class:`acclimate.stages.label_boxes.LabelledBoxes` says."""
    context = stage.context
    return write_pseudo_labels(
        stage.model.folder / model,
        context.data.target,
        selection=stage.stage.selection,
        class_space=context.data.class_space,
        size=context.recipe.prediction_size(),
        folder=place.folder,
        device=str(place.fabric.device),
        title=stage.title,
        team=Team(place.fabric),
    )


def score_checkpoint(path: Path, *, data: str, split: str, protocol: str | None, team: Team = ALONE) -> Row:
    """The row of a detector's checkpoint on a set with boxes, whose images the team shares."""
    card = read_detector_card(path)
    request = DetectionEvaluateRequest(
        name=str(path.parent.name or path.stem),
        method=card.method or "",
        seed=card.seed or 0,
        checkpoint=path,
        data=open_boxes(data, split=split, class_space=card.space()),
        protocol=detection_protocol(protocol),
        class_space=card.space(),
        pictured={},
        pictures=0,
    )
    row = evaluate_detections(request, folder=None, title="evaluate", device=team.device, team=team)
    return row.model_copy(update={"checkpoint": str(path)})


def label_with_detector(
    path: Path, *, data: str, split: str, selection: dict[str, Any], output: Path, team: Team = ALONE
) -> str:
    """Writes the pseudo-labels of a detector's checkpoint for a set of images; says how many there are.

    Args:
        path: of the checkpoint.
        data: ``KIND:PATH`` of the images.
        split: of them.
        selection: of :class:`acclimate.pseudo.boxes.BoxSelection`.
        output: the folder to write to.
        team: who shares the images.

    Raises:
        UserError: the data or the selection are at fault, or the folder is taken.
    """
    chosen = validated(BoxSelection, selection, "the selection")
    images = open_boxes(data, split=split, class_space=read_detector_card(path).space())
    if team.first:
        claim_folder(output, "label", reads=[path, *places_read(images)])
    counts = label_boxes(path, images, selection=chosen, folder=output, device=team.device, team=team)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{output / annotations_of(images.split)}: {sum(counts.values())} boxes on {len(images)} images ({told})"


def what_ships(what: str) -> Iterator[tuple[str, str]]:
    """(name, one-line description) of every method, network, kind of data or protocol of detection."""
    if what == "methods":
        yield from ((f"{name} (detection)", method.summary) for name, method in DETECTION_METHODS.items())
    elif what == "networks":
        yield from DETECTORS.items()
    elif what == "datasets":
        yield from ((f"{name} (detection)", kind.description) for name, kind in BOXED_DATASETS.items())
    elif what == "protocols":
        yield from ((name, protocol.description) for name, protocol in DETECTION_PROTOCOLS.items())


__all__ = [
    "BOXED_DATASETS",
    "PseudoLabelledBoxes",
    "box_stats",
    "check_boxes",
    "export_detector",
    "is_detector",
    "label_target",
    "label_with_detector",
    "open_boxed_sets",
    "open_boxes",
    "predict_boxes",
    "read_detector_card",
    "score_checkpoint",
    "score_detector",
    "what_ships",
]
