from __future__ import annotations

import json
from pathlib import Path

import formats
import numpy as np
import pytest

from acclimate.data.registry import open_dataset
from acclimate.data.sample import Dataset
from acclimate.data.wrappers import PseudoLabelled, Subset
from acclimate.errors import UserError
from acclimate.labels import VOID


def pseudo_labels(dataset: Dataset, folder: Path) -> Path:
    """A folder of pseudo-labels as the ``label`` stage leaves it."""
    for number, name in enumerate(dataset.names):
        formats.save(folder / "labels" / f"{name}.png", formats.palette(np.full((12, 20), number)))
    (folder / "manifest.json").write_text(json.dumps({"made": "by hand"}))
    return folder


def test_pseudo_labels_take_the_place_of_labels(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_cityscapes(tmp_path / "data"))  # names with folders
    laid = PseudoLabelled(dataset, pseudo_labels(dataset, tmp_path / "pseudo"))
    assert laid.has_labels
    assert laid.names == dataset.names
    assert (laid.label(4) == 4).all()
    np.testing.assert_array_equal(laid.image(4), dataset.image(4))
    before = laid.fingerprint()
    assert before != dataset.fingerprint()
    (tmp_path / "pseudo/manifest.json").write_text("{}")
    assert laid.fingerprint() != before


def test_a_set_without_labels_gets_them(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_camvid(tmp_path / "data", labels=False))
    formats.save(
        pseudo_labels(dataset, tmp_path / "p") / "labels/0001TP_000000.png", formats.grey(np.full((12, 20), VOID))
    )
    assert (PseudoLabelled(dataset, tmp_path / "p").label(0) == VOID).all()


def test_what_is_wrong_with_pseudo_labels_is_told(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_camvid(tmp_path / "data"))
    with pytest.raises(UserError, match=r"holds no manifest\.json.*acclimate label"):
        PseudoLabelled(dataset, tmp_path / "nowhere")
    folder = pseudo_labels(dataset, tmp_path / "pseudo")
    formats.save(folder / "labels/0001TP_000001.png", formats.grey(np.full((12, 20), 11)))
    with pytest.raises(UserError, match=r"0001TP_000001\.png holds values that are no train ids of camvid-11 \(0-10"):
        PseudoLabelled(dataset, folder).label(1)
    (folder / "labels/0001TP_000002.png").unlink()
    with pytest.raises(UserError, match=r"no pseudo-label for 1 of 5 images .*0001TP_000002\.png"):
        PseudoLabelled(dataset, folder)


def test_a_subset_keeps_the_order_given(tmp_path: Path) -> None:
    dataset = open_dataset(formats.write_camvid(tmp_path))
    part = Subset(dataset, [3, 1])
    assert part.names == [dataset.names[3], dataset.names[1]]
    np.testing.assert_array_equal(part.image(0), dataset.image(3))
    np.testing.assert_array_equal(part.label(1), dataset.label(1))
    assert len(part) == 2
