"""What a ``label`` stage leaves beside its labels: a figure, curves where true labels are known, and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acclimate.io.files import write_json
from acclimate.io.panels import side_by_side
from acclimate.labels import VOID
from acclimate.pseudo.confidence import CONFIDENCES, Confidence
from acclimate.pseudo.curves import JudgedHistogram, error_against_kept
from acclimate.pseudo.store import read_manifest

PORTIONS = tuple(round(0.05 * step, 2) for step in range(1, 21))
_LEFT_OUT = (0, 0, 0)


def write_curves(judged: Mapping[Confidence, JudgedHistogram], path: Path) -> None:
    """Writes the error share against the kept share, for each confidence a list of points."""
    curves = {name: [asdict(p) for p in error_against_kept(j, portions=PORTIONS)] for name, j in judged.items()}
    write_json(path, curves)


def excluded_by_entropy(softmax: NDArray[np.uint8], entropy: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pseudo-labels that softmax selects and entropy does not, (H, W) uint8; void elsewhere."""
    return np.where(entropy == VOID, softmax, np.uint8(VOID))


def selection_figure(
    *,
    softmax: NDArray[np.uint8],
    entropy: NDArray[np.uint8],
    palette: NDArray[np.uint8],
    label: NDArray[np.uint8] | None = None,
) -> Image.Image:
    """ESL Figure 2 for one image: a row of captioned panels, void in black.

    Args:
        softmax: (H, W) uint8 pseudo-labels selected by the maximum probability, void 255.
        entropy: (H, W) the same by entropy.
        palette: (256, 3) uint8 colours by train id, as :meth:`ClassSpace.palette` gives.
        label: (H, W) true train ids, where known.
    """
    maps: Sequence[tuple[str, NDArray[np.uint8]]] = [
        *([] if label is None else [("label", label)]),
        ("softmax-selected", softmax),
        ("entropy-selected", entropy),
        ("excluded by entropy", excluded_by_entropy(softmax, entropy)),
    ]
    colours = palette.copy()
    colours[VOID] = _LEFT_OUT
    return side_by_side([(title, colours[ids]) for title, ids in maps])


def label_summary(folder: Path) -> str:
    """The manifest of a finished folder in a few lines."""
    manifest: dict[str, Any] = read_manifest(folder)
    width = max(map(len, manifest["classes"]))
    lines = [f"{manifest['images']} images, {100 * (manifest['kept_overall'] or 0):.1f} % of all pixels kept"]
    lines.append(f"{'class':{width}}  threshold   kept")
    for name, threshold, kept in zip(manifest["classes"], manifest["thresholds"], manifest["kept"], strict=True):
        shown = "never predicted" if kept is None else f"{threshold:9.4f}  {100 * kept:4.1f} %"
        lines.append(f"{name:{width}}  {shown}")
    if manifest["quality"] is not None:
        for void in ("ignored", "wrong"):
            table = manifest["quality"]["table"][f"void {void}"]
            parts = [f"{name} {100 * (table[f'{name} overall'] or 0):.2f} %" for name in CONFIDENCES]
            lines.append(f"wrong among the selected (void {void}): {', '.join(parts)}")
    return "\n".join(lines)
