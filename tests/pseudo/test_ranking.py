"""Easy and hard images: the order of mean entropies, by hand and with rare classes; who gets which labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acclimate.data.registry import open_dataset
from acclimate.errors import UserError
from acclimate.io.checksums import write_verified_json
from acclimate.pseudo.confidence import score_maps
from acclimate.pseudo.ranking import EasySplit, ImageRanking
from acclimate.stages.label import easy_and_hard

CLASSES = ("road", "person", "car")


def ranking_of(probabilities: dict[str, list[list[float]]]) -> ImageRanking:
    """Images of a few pixels, each given by its probabilities."""
    ranking = ImageRanking()
    for name, pixels in probabilities.items():
        ranking.add([name], score_maps(torch.tensor(pixels).T.log()[None, :, None]))
    return ranking


IMAGES = {
    "b": [[0.98, 0.01, 0.01], [0.5, 0.25, 0.25]],
    "a": [[0.4, 0.3, 0.3], [0.4, 0.3, 0.3]],
    "c": [[0.9, 0.05, 0.05], [0.9, 0.05, 0.05]],
    "d": [[0.2, 0.2, 0.6], [0.2, 0.2, 0.6]],
}


def test_images_of_low_mean_entropy_are_easy() -> None:
    ranking = ranking_of(IMAGES)
    for name, pixels in IMAGES.items():
        p = np.array(pixels)
        expected = -(p * np.log(p)).sum(axis=1).mean() / np.log(3)
        assert ranking.images[name][0] == pytest.approx(expected, rel=1e-5)
    assert ranking.split(EasySplit(share=0.5), CLASSES) == {"easy": ["c", "b"], "hard": ["d", "a"]}
    cityscapes = ImageRanking()
    cityscapes.images = {str(number): (number / 2975, [0]) for number in range(2975)}
    assert len(cityscapes.split(EasySplit(), CLASSES)["easy"]) == 1993


def test_rare_classes_make_an_image_easier() -> None:
    """With two rare classes, d has one of them: its entropy counts once, that of the others 1.5 times."""
    ranking = ranking_of(IMAGES)
    scores = {name: mean * (1.0 if name == "d" else 1.5) for name, (mean, _) in ranking.images.items()}
    order = sorted(scores, key=lambda name: scores[name])
    found = ranking.split(EasySplit(share=0.5, rare_classes=["person", "car"]), CLASSES)
    assert [*found["easy"], *found["hard"]] == order
    with pytest.raises(UserError, match="did you mean 'car'"):
        ranking.split(EasySplit(rare_classes=["cars"]), CLASSES)
    with pytest.raises(UserError, match="makes 0 of 4 images easy"):
        ranking.split(EasySplit(share=0.1), CLASSES)


def test_a_resumed_labelling_ranks_as_one_pass_does(tmp_path: Path) -> None:
    ranking = ranking_of(IMAGES)
    again = ImageRanking()
    again.images = {name: (mean, classes) for name, (mean, classes) in json.loads(json.dumps(ranking.images)).items()}
    assert again.split(EasySplit(), CLASSES) == ranking.split(EasySplit(), CLASSES)


def test_easy_images_have_the_labels_of_the_folder_and_hard_ones_their_own(tmp_path: Path) -> None:
    data = open_dataset("scenes:camera,images=3,size=64x32")
    first, second, third = data.names
    (tmp_path / "labels").mkdir()
    for name in data.names:
        Image.fromarray(np.full((32, 64), 2, dtype=np.uint8)).save(tmp_path / "labels" / f"{name}.png")
    manifest = {"thresholds": [], "split": {"easy": [third, first], "hard": [second]}}
    write_verified_json(tmp_path / "manifest.json", manifest)
    easy, hard = easy_and_hard(data, tmp_path)
    assert (easy.names, hard.names) == ([first, third], [second])
    assert set(np.unique(easy.label(0))) == {2}
    np.testing.assert_array_equal(hard.image(0), data.image(1))
    write_verified_json(tmp_path / "manifest.json", {"thresholds": []})
    with pytest.raises(UserError, match="does not say which images are easy"):
        easy_and_hard(data, tmp_path)
