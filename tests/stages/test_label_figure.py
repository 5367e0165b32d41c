"""The row of ESL Figure 2: panels in order, in the palette's colours, void black."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from acclimate.io.panels import write_stacked
from acclimate.stages.label_results import excluded_by_entropy, selection_figure

V = 255
SOFTMAX = np.tile(np.array([[0, 1, 1, V]], dtype=np.uint8), (8, 20))
ENTROPY = np.tile(np.array([[0, V, 1, 0]], dtype=np.uint8), (8, 20))
PALETTE = np.zeros((256, 3), dtype=np.uint8)
PALETTE[:2] = [[128, 64, 128], [220, 20, 60]]


def test_only_what_softmax_selects_and_entropy_does_not() -> None:
    assert excluded_by_entropy(SOFTMAX, ENTROPY)[0, :4].tolist() == [V, 1, V, V]


def test_panels_show_the_maps(tmp_path: Path) -> None:
    figure = selection_figure(softmax=SOFTMAX, entropy=ENTROPY, palette=PALETTE, label=SOFTMAX)
    write_stacked(tmp_path / "figure.png", [figure, figure])
    with Image.open(tmp_path / "figure.png") as picture:
        pixels = np.asarray(picture)
    height, width = SOFTMAX.shape
    assert pixels.shape[1] == 4 * width + 3 * 6
    assert pixels.shape[0] == 2 * figure.height
    for position, ids in enumerate([SOFTMAX, SOFTMAX, ENTROPY, excluded_by_entropy(SOFTMAX, ENTROPY)]):
        left = position * (width + 6)
        assert np.array_equal(pixels[-height:, left : left + width], PALETTE[ids])
        caption = pixels[-figure.height : -height, left : left + width]
        assert (caption < 100).any(), "the caption is missing"
