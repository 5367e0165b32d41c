"""The label stage against a slow, direct computation of ESL's equations 5 to 9, and its interruption in either pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from acclimate.data.class_spaces import class_space
from acclimate.data.registry import open_dataset
from acclimate.data.sample import Dataset, evenly_spaced
from acclimate.data.transforms import Transform
from acclimate.data.wrappers import PseudoLabelled, Subset
from acclimate.errors import UserError
from acclimate.evaluation.inference import Inference
from acclimate.losses import cross_entropy
from acclimate.models.checkpoint import ModelCard, load_network, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.network import SegmentationNetwork
from acclimate.models.registry import build_network
from acclimate.pseudo.scoring import Scoring
from acclimate.pseudo.sisc import Patches
from acclimate.pseudo.store import read_manifest
from acclimate.pseudo.thresholds import Selection
from acclimate.stages.label import LabelRequest, label
from acclimate.stages.label_passes import Labelling, Scored
from acclimate.training.interrupt import Interrupted, StopRequest

SIZE = (64, 32)
FIGURED = evenly_spaced(3, 5)
"""The images of the figure."""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    space = class_space("scenes")
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name="small", width=16), len(space))
    for parameter in network.heads()[0].parameters():
        parameter.data.mul_(30)  # an untrained network is unsure everywhere; this one is sure of many pixels
    card = ModelCard(
        network=network.config, classes=space.classes, colours=space.colours, class_space=space.name, input_size=SIZE
    )
    save_network(tmp_path / "model.safetensors", network, card=card)
    return tmp_path / "model.safetensors"


@pytest.fixture
def data() -> Dataset:
    return open_dataset("scenes:camera,images=5,size=64x32")


def request_for(checkpoint: Path, data: Dataset, **selection: object) -> LabelRequest:
    return LabelRequest(
        checkpoints=(checkpoint,),
        data=data,
        class_space=class_space("scenes"),
        selection=Selection.model_validate(selection),
        inference=Inference(size=SIZE),
    )


def labels_in(folder: Path, data: Dataset) -> np.ndarray:
    return np.stack([np.asarray(Image.open(folder / "labels" / f"{name}.png")) for name in data.names])


@pytest.mark.parametrize("confidence", ["softmax", "entropy"])
def test_labels_equal_a_direct_computation(checkpoint: Path, data: Dataset, tmp_path: Path, confidence: str) -> None:
    label(request_for(checkpoint, data, confidence=confidence), folder=tmp_path / "out", device="cpu")
    found = labels_in(tmp_path / "out", data)
    network, _ = load_network(checkpoint)
    images = torch.stack([Transform(size=SIZE)(data.image(i), None, np.random.default_rng())[0] for i in range(5)])
    with torch.no_grad():
        low = torch.cat([network(image[None]).logits for image in images]).double().softmax(dim=1)
    maps = F.interpolate(low, size=(32, 64), mode="bilinear", align_corners=True).numpy()
    predicted = maps.argmax(axis=1)
    if confidence == "softmax":
        score, sign, bound = maps.max(axis=1), 1, 0.9
    else:
        score, sign, bound = -(maps * np.log(maps)).sum(axis=1) / np.log(14), -1, 0.1
    expected = np.full(predicted.shape, 255)
    close = np.zeros(predicted.shape, dtype=bool)
    for c in np.unique(predicted):
        median = np.median(score[predicted == c])
        threshold = min(bound, median) if sign == 1 else max(bound, median)
        expected[(predicted == c) & (sign * (score - threshold) > 0)] = c
        close |= (predicted == c) & (np.abs(score - threshold) < 1e-4)
    assert 0.2 < (expected != 255).mean() < 1
    assert (found == expected)[~close].all()
    assert close.mean() < 0.02
    manifest = read_manifest(tmp_path / "out")
    assert manifest["kept_overall"] == pytest.approx((found != 255).mean(), abs=0.005)
    truth = np.stack([data.label(i) for i in range(5)])
    wrong = (found != truth)[found != 255].mean()
    assert manifest["quality"]["table"]["void wrong"][f"{confidence} overall"] == pytest.approx(wrong)


def predicted_numbers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The images that the network sees from now on."""
    seen: list[int] = []
    scored = Labelling.scored

    def noted(self: Labelling, block: range) -> Iterator[Scored]:
        seen.extend(block)
        return scored(self, block)

    monkeypatch.setattr(Labelling, "scored", noted)
    return seen


@pytest.mark.parametrize("stop_after", [2, 7], ids=["first pass", "second pass"])
def test_an_interrupted_command_goes_on_where_it_stopped(
    checkpoint: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    request = request_for(checkpoint, data)
    label(request, folder=tmp_path / "whole", device="cpu")

    asked = 0

    def requested(self: StopRequest) -> bool:
        nonlocal asked
        asked += 1
        return asked > stop_after

    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "__bool__", requested)
        with pytest.raises(Interrupted):
            label(request, folder=tmp_path / "cut", device="cpu")
    with pytest.raises(UserError, match="run the same"):
        read_manifest(tmp_path / "cut")
    assert (tmp_path / "cut/scores").is_dir()
    seen = predicted_numbers(monkeypatch)
    label(request, folder=tmp_path / "cut", device="cpu")
    # the images that were left, none in the second pass, and those of the figure
    assert seen == [*range(3 if stop_after == 2 else 5, 5), *FIGURED]
    assert (labels_in(tmp_path / "cut", data) == labels_in(tmp_path / "whole", data)).all()
    assert (tmp_path / "cut/manifest.json").read_bytes() == (tmp_path / "whole/manifest.json").read_bytes()


class Unlabelled(Subset):
    """The same images as a set without labels."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset, range(len(dataset)))
        self.has_labels = False


KINDS: dict[str, dict[str, Any]] = {
    "entropy": {},
    "softmax": {"selection": Selection(confidence="softmax")},
    "authors": {"selection": Selection(convention="authors", resample="logits")},
    "class-balanced": {"selection": Selection(confidence="softmax", rule="portion", decision="class-balanced")},
    "flip": {"inference": Inference(size=SIZE, flip=True)},
    "patches": {"patches": Patches(patches=3, size=(0.5, 0.5))},
    "prior": {"prior": np.linspace(0, 1, 14 * 4 * 8, dtype=np.float32).reshape(14, 4, 8)},
    "native": {"native": True},
    "batches": {"batch_size": 2},
}


@pytest.mark.parametrize("labelled", [True, False], ids=["labelled", "unlabelled"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_of_the_network_gives_the_labels_of_two(
    checkpoint: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, labelled: bool
) -> None:
    request = replace(request_for(checkpoint, data if labelled else Unlabelled(data)), **KINDS[kind])
    predicted: list[str] = []
    answers = Scoring.answers

    def counted(self: Scoring, network: SegmentationNetwork, images: torch.Tensor, *, names: list[str]) -> torch.Tensor:
        predicted.extend(names)
        return answers(self, network, images, names=names)

    monkeypatch.setattr(Scoring, "answers", counted)
    counts, figured = {}, len(FIGURED)
    for name, limit in (("one", 1.0), ("two", 0.0), ("some", 4e-5)):
        label(replace(request, scores_on_disk=limit), folder=tmp_path / name, device="cpu")
        counts[name] = len(predicted) - figured
        predicted.clear()
        assert not (tmp_path / name / "scores").exists()
    assert counts["one"] == 5
    assert counts["two"] == 10
    for other in ("two", "some"):
        for path in ("manifest.json", "figure.png", *(f"labels/{name}.png" for name in data.names)):
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / other / path).read_bytes()


def test_kept_scores_that_are_damaged_or_lost_are_made_again(
    checkpoint: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(checkpoint, data)
    label(request, folder=tmp_path / "whole", device="cpu")
    with monkeypatch.context() as patch:
        stops = iter([False] * 5 + [True])
        patch.setattr(StopRequest, "__bool__", lambda self: next(stops))
        with pytest.raises(Interrupted, match="labelling 1 of 5"):
            label(request, folder=tmp_path / "cut", device="cpu")
    kept = sorted((tmp_path / "cut/scores").iterdir())
    assert len(kept) == 5
    kept[2].unlink()
    content = bytearray(kept[4].read_bytes())
    content[len(content) // 2] ^= 1
    kept[4].write_bytes(content)
    seen = predicted_numbers(monkeypatch)
    label(request, folder=tmp_path / "cut", device="cpu")
    assert seen == [2, 4, *FIGURED]
    assert (labels_in(tmp_path / "cut", data) == labels_in(tmp_path / "whole", data)).all()
    assert (tmp_path / "cut/manifest.json").read_bytes() == (tmp_path / "whole/manifest.json").read_bytes()


def test_a_folder_of_other_labels_is_refused(checkpoint: Path, data: Dataset, tmp_path: Path) -> None:
    label(request_for(checkpoint, data), folder=tmp_path / "out", device="cpu")
    with pytest.raises(UserError, match="another checkpoint, data set or selection"):
        label(request_for(checkpoint, data, confidence="softmax"), folder=tmp_path / "out", device="cpu")


def test_a_fully_void_pseudo_label_contributes_nothing(checkpoint: Path, data: Dataset, tmp_path: Path) -> None:
    label(request_for(checkpoint, data), folder=tmp_path / "out", device="cpu")
    Image.fromarray(np.full((32, 64), 255, dtype=np.uint8)).save(tmp_path / "out/labels" / f"{data.names[0]}.png")
    laid = PseudoLabelled(data, tmp_path / "out")
    logits = torch.randn(1, 14, 32, 64, requires_grad=True)
    loss = cross_entropy(logits, torch.from_numpy(laid.label(0))[None].long())
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()
