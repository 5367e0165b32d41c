"""What acclimate writes and reads again: one flipped bit, anywhere, is refused, or what was damaged is made again."""

from __future__ import annotations

import json
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from acclimate.data.cache import cached
from acclimate.data.class_counts import class_counts
from acclimate.data.class_spaces import class_space
from acclimate.data.readers.files import read_ids, read_image
from acclimate.data.registry import open_dataset
from acclimate.data.spatial_prior import spatial_prior
from acclimate.data.stats import stats
from acclimate.detection.checkpoint import DetectorCard, load_detector, save_detector
from acclimate.detection.config import DetectorConfig
from acclimate.detection.networks import build_detector
from acclimate.errors import UserError
from acclimate.evaluation.pictures import save_picture
from acclimate.io.arrays import VerifiedArray, write_array
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.io.tensors import read_tensors_with_card, write_tensors
from acclimate.models.checkpoint import ModelCard, load_network, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.modules import load_modules, save_modules
from acclimate.models.registry import build_network
from acclimate.translation.apply import load_generator, save_translator
from acclimate.translation.cyclegan import CycleGan
from acclimate.translation.settings import CycleGanOptions

FLIPS = 60
SPACE = class_space("scenes")


class WithClassifier:
    """A method that keeps a module for the next round."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.classifier = nn.Linear(7, 5)

    def saved_modules(self) -> dict[str, nn.Module]:
        return {"classifier": self.classifier}


def network(path: Path) -> Callable[[], Any]:
    made = build_network(NetworkConfig.parse({"name": "small", "width": 8}), len(SPACE))
    card = ModelCard(
        network=made.config, classes=SPACE.classes, colours=SPACE.colours, class_space=SPACE.name, input_size=(64, 32)
    )
    save_network(path, made, card=card)
    return lambda: load_network(path)


def detector(path: Path) -> Callable[[], Any]:
    config = DetectorConfig(name="light-ssd")
    made = build_detector(config, 2)
    card = DetectorCard(
        network=config, classes=("car", "person"), colours=((1, 2, 3), (4, 5, 6)), class_space="x", input_size=(64, 64)
    )
    save_detector(path, made, card=card)
    return lambda: load_detector(path)


def translator(path: Path) -> Callable[[], Any]:
    options = CycleGanOptions(width=4, blocks=1, discriminator_width=4)
    save_translator(path, CycleGan(options, learning_rate=0.1, discriminator_learning_rate=0.1), note={"seed": 0})
    return lambda: load_generator(path)


def modules(path: Path) -> Callable[[], Any]:
    save_modules(path, WithClassifier())
    return lambda: load_modules(path, WithClassifier())


def json_file(path: Path) -> Callable[[], Any]:
    write_verified_json(path, {"train_seconds": 12.25, "steps": 100, "skipped": {"target": 3}, "note": None})
    return lambda: read_verified_json(path)


@pytest.mark.parametrize("kind", [network, detector, translator, modules, json_file])
def test_a_flipped_bit_is_refused(kind: Callable[[Path], Callable[[], Any]], tmp_path: Path) -> None:
    path = tmp_path / "file"
    read = kind(path)
    read()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    good, chance = path.read_bytes(), random.Random(1)
    header = int.from_bytes(good[:8], "little") if good[:1] != b"{" else len(good)
    for flip in range(FLIPS):
        # half of them in the header, which holds the names and the card
        place = chance.randrange(min(header + 8, len(good)) if flip % 2 else len(good))
        damaged = bytearray(good)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        if kind is json_file and not damaged[place : place + 1].strip() and not good[place : place + 1].strip():
            continue  # white space for white space
        with pytest.raises(UserError, match=str(path)):
            read()
    path.write_bytes(good)
    read()


@pytest.mark.parametrize("kind", ["class counts", "spatial prior", "stats", "images", "labels"])
def test_what_can_be_made_again_is_made_again(kind: str, tmp_path: Path) -> None:
    dataset = open_dataset("scenes:render,images=3,size=64x32", split="train")
    cache = tmp_path / "cache"

    def value() -> Any:
        if kind == "class counts":
            return class_counts(dataset, cache).pixels
        if kind == "spatial prior":
            return spatial_prior(dataset, cache, size=(32, 16))
        if kind == "stats":
            return stats(dataset, cache)
        copy = cached(dataset, size=(48, 24), folder=cache)
        return np.stack([copy.image(index) if kind == "images" else copy.label(index) for index in range(3)])

    wanted = value()
    path = next(path for path in cache.iterdir() if "labels" not in path.name or kind == "labels")
    if kind == "labels":
        path = next(cache.glob("*-labels.npy"))
    good, chance = path.read_bytes(), random.Random(2)
    for flip in range(FLIPS // 2):
        damaged = bytearray(good)
        damaged[chance.randrange(len(good) if flip % 2 else 120)] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        found = value()
        assert np.array_equal(found, wanted) if kind != "stats" else found == wanted
    path.write_bytes(good[: len(good) // 2])
    found = value()
    assert np.array_equal(found, wanted) if kind != "stats" else found == wanted


@pytest.mark.parametrize("read", [read_ids, read_image], ids=["pseudo-label", "translated picture"])
def test_each_flipped_bit_of_a_picture_that_is_read_again_is_refused_or_changes_nothing(
    read: Callable[[Path], np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    # PNG as acclimate writes it carries checksums of its own; they have to be looked at
    pixels = np.random.default_rng(0).integers(0, 3, (6, 8) if read is read_ids else (6, 8, 3), dtype=np.uint8)
    path = tmp_path / "picture.png"
    save_picture(path, Image.fromarray(pixels))
    good, refused = path.read_bytes(), 0
    for bit in range(8 * len(good)):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(read(path), pixels)
        except UserError:
            refused += 1
    assert refused >= 8 * len(good) - 1  # of the end's length, one bit means nothing


def test_tensors_are_laid_out_as_the_safetensors_library_does(tmp_path: Path) -> None:
    tensors: dict[str, torch.Tensor] = {
        f"{name} {kind}": torch.arange(6).reshape(shape).to(kind)
        for kind in (torch.float32, torch.int64, torch.bool, torch.float16, torch.bfloat16, torch.uint8, torch.int32)
        for name, shape in (("b", (2, 3)), ("a", (6,)))
    }
    tensors |= {'ü"\n': torch.zeros(()), "empty": torch.zeros(0, 3), "turned": torch.randn(3, 4).t()}
    write_tensors(tmp_path / "ours", tensors, key="acclimate", card={"name": "ü"})
    with safetensors.safe_open(tmp_path / "ours", framework="pt") as file:
        header = file.metadata()
    theirs = safetensors.torch.save({key: value.contiguous() for key, value in tensors.items()}, metadata=header)
    assert (tmp_path / "ours").read_bytes() == theirs
    card, found = read_tensors_with_card(tmp_path / "ours", key="acclimate", remedy="")
    assert card == {"name": "ü"}
    assert all(torch.equal(found[key], value) for key, value in tensors.items())


def test_an_array_is_one_that_numpy_reads(tmp_path: Path) -> None:
    items = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    write_array(tmp_path / "x.npy", items.shape, iter(items))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), items)
    array = VerifiedArray(tmp_path / "x.npy", items.shape)
    with pytest.raises(UserError, match=r"x\.npy is damaged"):
        VerifiedArray(tmp_path / "x.npy", (3, 5, 4))
    assert all(np.array_equal(array.item(index), items[index]) for index in range(3))


def test_a_damaged_item_alone_is_left_out(tmp_path: Path) -> None:
    items = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    write_array(tmp_path / "x.npy", items.shape, iter(items))
    content = bytearray((tmp_path / "x.npy").read_bytes())
    content[128 + 25] ^= 4  # NumPy's header has 128 bytes, an item 20
    (tmp_path / "x.npy").write_bytes(content)
    array = VerifiedArray(tmp_path / "x.npy", items.shape)
    assert [array.item(index) is None for index in range(3)] == [False, True, False]


def test_a_json_of_an_early_version_is_read_where_that_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"rows": []}))
    assert read_verified_json(tmp_path / "a.json", unsigned=True) == {"rows": []}
    with pytest.raises(UserError, match="checksum"):
        read_verified_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(UserError, match="holds a list"):
        read_verified_json(tmp_path / "a.json", unsigned=True)
