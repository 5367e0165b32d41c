"""ESL Figure 2 for a few images of a labelled set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from acclimate.evaluation.pictures import evenly_spaced, picture_size
from acclimate.io.sheets import write_sheet
from acclimate.labels import resized_label
from acclimate.pseudo.asking import selected
from acclimate.pseudo.confidence import CONFIDENCES, Confidence
from acclimate.pseudo.figure import selection_figure
from acclimate.pseudo.thresholds import Thresholds
from acclimate.stages.labelling.request import LabelRequest, ScoredImages

FIGURE_IMAGES = 3


def write_figure(
    request: LabelRequest, images: ScoredImages, thresholds: Mapping[Confidence, Thresholds], path: Path
) -> None:
    """Writes what both confidences select, as a PNG; the images are chosen by position alone."""
    strips = []
    for index in evenly_spaced(FIGURE_IMAGES, len(request.data)):
        batch, maps = next(images(index))
        image = request.data.image(index)
        width, height = picture_size(image.shape[1], image.shape[0])
        shown = partial(resized_label, size=(width, height))
        picked = {name: selected(maps, thresholds[name], request.selection)[0].cpu().numpy() for name in CONFIDENCES}
        strips.append(
            selection_figure(
                softmax=shown(picked["softmax"]),
                entropy=shown(picked["entropy"]),
                palette=request.class_space.palette(),
                label=None if batch.labels is None else shown(batch.labels[0]),
            )
        )
    write_sheet(path, strips)
