"""A stage that is a checkpoint made elsewhere: what starts from it is what would have started from it in one recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from acclimate.errors import UserError
from acclimate.evaluation.scores import Row
from acclimate.io.files import hash_of_file
from acclimate.models.checkpoint import load_network, read_card, save_network
from acclimate.models.config import NetworkConfig
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe

SHARED = """
name: tiny
source: scenes:render,images=4,size=64x32
target: scenes:camera,images=4,size=64x32
protocol: scenes
network: {name: small, width: 16}
training:
  steps: 3
  batch_size: 2
  precision: 32-true
  optimizer: {learning_rate: 0.01}
  source_transform: {size: [64, 32]}
  target_transform: {size: [64, 32]}
stages:
"""
AFTER = """
  labels: {label: base, selection: {confidence: entropy}}
  esl: {train: advent, start: base, pseudo_labels: labels, options: {discriminator_width: 4}}
  scores: {evaluate: [base, esl], pictures: 0}
"""


def ran(folder: Path, base: str, after: str = AFTER, **overrides: Any) -> list[Row]:
    folder.mkdir()
    (folder / "tiny.yaml").write_text(f"{SHARED}  base: {base}{after}")
    recipe, origins = load_recipe(str(folder / "tiny.yaml"), overrides=overrides)
    return run(recipe, Run(output=folder / "run"), origins=origins)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    folder = tmp_path_factory.mktemp("recipes") / "whole"
    rows = ran(folder, "{train: source_only}")
    return folder / "run", rows


@pytest.fixture
def given(whole: tuple[Path, list[Row]], tmp_path: Path) -> Path:
    """The checkpoint of the whole recipe's first stage, as a file of its own."""
    path = tmp_path / "given.safetensors"
    path.write_bytes((whole[0] / "1-base/model.safetensors").read_bytes())
    return path


def test_what_starts_from_it_is_the_same(whole: tuple[Path, list[Row]], given: Path, tmp_path: Path) -> None:
    before = hash_of_file(given)
    rows = ran(tmp_path / "given", f"{{checkpoint: {given}}}")
    assert [(row.name, row.miou, row.iou) for row in rows] == [(row.name, row.miou, row.iou) for row in whole[1]]
    assert rows[0].method == "source_only"  # as its card says
    assert rows[0].train_seconds == 0.0
    ours, theirs = (load_network(place / "3-esl/model.safetensors")[0] for place in (tmp_path / "given/run", whole[0]))
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in theirs.state_dict().items())
    # the run has a copy of its own: the file may go, and another file in its place is another stage
    assert hash_of_file(given) == before
    given.unlink()
    kept = tmp_path / "given/run/1-base/model.safetensors"
    assert hash_of_file(kept) == before


def test_the_checkpoint_says_what_the_network_is(
    whole: tuple[Path, list[Row]], given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.SHARED", SHARED.replace("network: {name: small, width: 16}\n", ""))
    later = AFTER.replace("[base, esl]", "[again]").replace(
        "  scores", "  again: {train: source_only, start: esl, network: {head_learning_rate_multiple: 0.5}}\n  scores"
    )
    (row,) = ran(tmp_path / "given", f"{{checkpoint: {given}}}", later)
    ours, theirs = (load_network(place / "3-esl/model.safetensors")[0] for place in (tmp_path / "given/run", whole[0]))
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in theirs.state_dict().items())
    options = read_card(tmp_path / "given/run" / row.checkpoint).network.options
    assert (options.width, options.head_learning_rate_multiple) == (16, 0.5)

    with pytest.raises(UserError, match=r"network.name is missing: name one .* start from a checkpoint"):
        ran(tmp_path / "scratch", f"{{checkpoint: {given}}}", AFTER.replace(" start: base,", ""))


def test_a_checkpoint_alone_names_no_code(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, card = load_network(given)
    network.config = NetworkConfig.parse({"name": "python:of_the_files:own"})
    save_network(given, network, card=card.model_copy(update={"network": network.config}))
    monkeypatch.setattr(f"{__name__}.SHARED", SHARED.replace("network: {name: small, width: 16}\n", ""))
    with pytest.raises(UserError, match="name it yourself with --network python:of_the_files:own"):
        ran(tmp_path / "run", f"{{checkpoint: {given}}}")


def test_another_file_is_another_stage(given: Path, tmp_path: Path) -> None:
    scores = "\n  scores: {evaluate: [base], pictures: 0}\n"
    (first,) = ran(tmp_path / "first", f"{{checkpoint: {given}}}", scores)
    network, card = load_network(given)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    save_network(given, network, card=card.model_copy(update={"method": None}))
    (second,) = ran(tmp_path / "second", f"{{checkpoint: {given}}}", scores)
    assert second.miou != first.miou
    assert second.method == "elsewhere"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"network.width": 32}, "holds another network.*it has width: 16.*the recipe's network has width: 32"),
        ({"stages.base.checkpoint": "nowhere.safetensors"}, "no such checkpoint: nowhere.safetensors"),
    ],
)
def test_what_does_not_fit_is_said(overrides: dict[str, Any], message: str, given: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        ran(tmp_path / "run", f"{{checkpoint: {given}}}", **overrides)


def test_a_network_that_would_compute_something_else_is_refused(given: Path, tmp_path: Path) -> None:
    """Its tensors fit, and it would silently cost many points."""
    network, card = load_network(given)
    network.config = network.config.with_options(preprocessing="caffe")
    save_network(given, network, card=card)
    assert read_card(given).network.options.preprocessing == "caffe"
    with pytest.raises(UserError, match="preprocessing: caffe"):
        ran(tmp_path / "run", f"{{checkpoint: {given}}}")


def test_other_classes_are_refused(given: Path, tmp_path: Path) -> None:
    network, card = load_network(given)
    other = card.model_copy(update={"classes": ("asphalt", *card.classes[1:]), "class_space": "mine"})
    save_network(given, network, card=other)
    with pytest.raises(UserError, match="was trained on the 14 classes of 'mine'"):
        ran(tmp_path / "run", f"{{checkpoint: {given}}}")


def test_it_is_missed_before_anything_is_trained(given: Path, tmp_path: Path) -> None:
    after = "\n  late: {checkpoint: nowhere.safetensors}\n  scores: {evaluate: [base, late]}\n"
    with pytest.raises(UserError, match="no such checkpoint: nowhere"):
        ran(tmp_path / "run", "{train: source_only}", after)
    assert not list((tmp_path / "run/.stages").glob("train-*/model.safetensors"))


def test_a_detector_is_no_segmentation_network(given: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "name: own\nextends: scenes-detection\nsource: 'scenes:camera,images=2,size=96x64'\n"
        f"target: 'scenes:fog,images=2,size=96x64'\nstages:\n  given: {{checkpoint: {given}}}\n"
        "  scores: {evaluate: [given]}\n"
    )
    recipe, origins = load_recipe(str(tmp_path / "own.yaml"))
    with pytest.raises(UserError, match="segmentation"):
        run(recipe, Run(output=tmp_path / "run"), origins=origins)
