"""A model in Python: which checkpoint a folder stands for, and predictions of frames, files and lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from acclimate.data.class_spaces import class_space
from acclimate.data.transforms import resized, to_tensor
from acclimate.errors import UserError
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.model import checkpoint_in, load
from acclimate.models.checkpoint import ModelCard, load_network, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.models.resize import upsample

SPACE = class_space("scenes")


def write_model(path: Path, *, method: str = "advent") -> Path:
    torch.manual_seed(0)
    network = build_network(NetworkConfig.model_validate({"name": "small", "width": 8}), len(SPACE))
    card = ModelCard(
        network=network.config,
        classes=SPACE.classes,
        colours=SPACE.colours,
        class_space=SPACE.name,
        input_size=(64, 32),
        method=method,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_network(path, network, card=card)
    return path


@pytest.fixture
def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)


def test_a_frame_is_predicted_at_its_own_size_as_by_hand(tmp_path: Path, frame: np.ndarray) -> None:
    model = load(write_model(tmp_path / "model.safetensors"), device="cpu")
    network, _ = load_network(tmp_path / "model.safetensors")
    with torch.no_grad():
        logits = network.eval()(to_tensor(resized(frame, (64, 32)))[None]).logits
    probabilities = upsample(logits, (40, 90)).double().softmax(dim=1)[0]
    found = model.predict(frame)
    assert (found.labels == probabilities.argmax(dim=0).numpy()).mean() > 0.999  # ties may fall either way
    entropy = -(probabilities * probabilities.log()).sum(dim=0) / np.log(len(SPACE))
    np.testing.assert_allclose(found.entropy, entropy.numpy(), atol=1e-5)
    assert (found.labels.dtype, found.entropy.dtype) == (np.uint8, np.float32)
    assert found.coloured().shape == (40, 90, 3)
    assert tuple(found.coloured()[5, 7]) == tuple(SPACE.colours[found.labels[5, 7]])


def test_files_and_lists_of_either_are_the_same_as_frames(tmp_path: Path, frame: np.ndarray) -> None:
    model = load(write_model(tmp_path / "model.safetensors"), device="cpu")
    Image.fromarray(frame).save(tmp_path / "frame.png")
    small = frame[:30, :50]
    several = model.predict([frame, str(tmp_path / "frame.png"), tmp_path / "frame.png", small])
    assert [each.labels.shape for each in several] == [(40, 90)] * 3 + [(30, 50)]
    alone = model.predict(frame)
    for each in several[:3]:
        assert np.array_equal(each.labels, alone.labels)
        assert np.array_equal(each.entropy, alone.entropy)
    assert model.predict([]) == []
    # keys of the inference that are given replace the card's
    native = model.predict(frame, inference=Inference(size=(90, 40)))
    assert not np.array_equal(native.entropy, alone.entropy)


def test_what_is_no_frame_is_told(tmp_path: Path, frame: np.ndarray) -> None:
    model = load(write_model(tmp_path / "model.safetensors"), device="cpu")
    for wrong, words in (
        (frame / 255.0, "float64; convert it to RGB from 0 to 255"),
        (frame[..., 0], "convert it to RGB"),
        (np.stack([frame, frame]), "give several frames as a list"),
    ):
        with pytest.raises(UserError, match=words):
            model.predict(wrong)
    with pytest.raises(UserError, match="absent"):
        model.predict(tmp_path / "absent.png")


def test_a_run_stands_for_its_last_model_that_is_no_oracle(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name, method in (("2-source", "source_only"), ("9-advent", "advent"), ("10-retrain", "advent")):
        write_model(run / name / "model.safetensors", method=method)
    write_model(run / "11-oracle/model.safetensors", method="oracle")
    (run / "12-scores-advent").mkdir()
    assert checkpoint_in(run) == run / "10-retrain/model.safetensors"
    assert checkpoint_in(run / "2-source") == run / "2-source/model.safetensors"
    assert checkpoint_in(run / "absent.safetensors") == run / "absent.safetensors"
    assert load(run, device="cpu").card.method == "advent"
    for seed in (10, 2):
        write_model(tmp_path / f"seeds/seed-{seed}/1-oracle/model.safetensors", method="oracle")
    assert checkpoint_in(tmp_path / "seeds") == tmp_path / "seeds/seed-2/1-oracle/model.safetensors"


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "1-source").mkdir()
    with pytest.raises(UserError, match="holds no model"):
        load(tmp_path)
