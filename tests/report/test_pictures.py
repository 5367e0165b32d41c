from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.errors import UserError
from acclimate.report.colour import entropy_colours, model_colours
from acclimate.report.pictures import Picture, galleries
from acclimate.report.reading import PictureIndex

COLOURS = [(128, 64, 128), (0, 0, 142)]


def decoded(picture: Picture | None) -> np.ndarray:
    assert picture is not None
    content = base64.b64decode(picture.uri.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def index(folder: Path, model: str = "advent", *, prediction: str = "p.png", name: str = "a") -> PictureIndex:
    label = np.array([[0, 1, 255], [1, 1, 0]], dtype=np.uint8)
    guess = np.array([[0, 0, 0], [1, 1, 7]], dtype=np.uint8)
    folder.mkdir(exist_ok=True)
    Image.fromarray(label).save(folder / "l.png")
    Image.fromarray(guess).save(folder / "p.png")
    Image.fromarray(np.array([[0, 255, 128]] * 2, dtype=np.uint8).repeat(40, 0).repeat(40, 1)).save(folder / "e.png")
    Image.new("RGB", (1000, 500), (200, 100, 50)).save(folder / "i.jpg")
    return PictureIndex.model_validate(
        {
            "classes": ["road", "car"], "colours": COLOURS,
            "images": [{"domain": "target", "name": name, "input": "i.jpg", "label": "l.png",
                        "models": {model: {"prediction": prediction, "entropy": "e.png"}}}],
        }
    )  # fmt: skip


def test_ids_take_the_colours_of_their_classes(tmp_path: Path) -> None:
    (gallery,) = galleries([(tmp_path, index(tmp_path), {"advent": "advent"})])
    answer = gallery.shots[0].answers[0]
    road, car, void = [128, 64, 128], [0, 0, 142], [0, 0, 0]
    assert decoded(gallery.shots[0].label).tolist() == [[road, car, void], [car, car, road]]
    assert decoded(answer.prediction).tolist() == [[road, road, road], [car, car, void]]
    # five labelled pixels, three of them right; the void pixel does not count
    assert answer.accuracy == pytest.approx(3 / 5)


def test_entropy_is_dark_where_the_model_is_certain(tmp_path: Path) -> None:
    (gallery,) = galleries([(tmp_path, index(tmp_path), {"advent": "advent"})])
    shown = decoded(gallery.shots[0].answers[0].entropy).astype(int)
    certain, uniform = shown[20, 20], shown[20, 60]
    assert np.abs(certain - entropy_colours()[0]).max() < 12  # JPEG
    assert np.abs(uniform - entropy_colours()[255]).max() < 12


def test_the_entropy_map_grows_lighter_all_the_way() -> None:
    linear = (entropy_colours() / 255.0) ** 2.2
    lightness = linear @ np.array([0.2126, 0.7152, 0.0722])
    smooth = np.convolve(lightness, np.ones(5) / 5, mode="valid")  # 8-bit rounding may hold it back for a step
    assert (np.diff(smooth) > 0).all()
    assert lightness[0] < 0.01
    assert lightness[-1] > 0.8


def test_wide_pictures_are_reduced(tmp_path: Path) -> None:
    (gallery,) = galleries([(tmp_path, index(tmp_path), {"advent": "advent"})])
    assert (gallery.shots[0].image.width, gallery.shots[0].image.height) == (640, 320)


def test_an_image_appears_once_with_the_answers_of_all_models(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    indices = [(one, index(one, "minent"), {"minent": "minent"}), (two, index(two, "advent"), {"advent": "b: advent"})]
    (gallery,) = galleries(indices)
    (shot,) = gallery.shots
    assert [answer.model for answer in shot.answers] == ["minent", "b: advent"]
    (gallery,) = galleries([*indices, (tmp_path / "3", index(tmp_path / "3", name="b"), {})])
    assert len(gallery.shots) == 1  # of a model that is not shown


def test_a_picture_outside_its_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "pictures"
    Image.new("L", (2, 2)).save(tmp_path / "secret.png")
    with pytest.raises(UserError, match="outside"):
        galleries([(inside, index(inside, prediction="../secret.png"), {"advent": "advent"})])


def test_a_missing_or_wrong_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.png"):
        galleries([(tmp_path, index(tmp_path, prediction="nothing.png"), {"advent": "advent"})])
    with pytest.raises(UserError, match=r"i\.jpg should be an 8-bit PNG"):
        galleries([(tmp_path, index(tmp_path, prediction="i.jpg"), {"advent": "advent"})])


def test_models_have_different_colours() -> None:
    names = [f"m{k}" for k in range(8)] + ["source-only", "oracle"]
    colours = model_colours(names, {"source-only": "source-only", "oracle": "oracle"})
    assert len(set(colours.values())) == 10
