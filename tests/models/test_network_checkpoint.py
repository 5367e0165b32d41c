from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from acclimate.data.class_space import ClassSpace
from acclimate.errors import UserError
from acclimate.models import (
    ModelCard,
    NetworkConfig,
    SegmentationNetwork,
    build_network,
    expect_classes,
    load_network,
    read_card,
    save_network,
)
from acclimate.models.checkpoint import FORMAT

NAMES = ("road", "sky", "car")
COLOURS = ((128, 64, 128), (70, 130, 180), (0, 0, 142))
SPACE = ClassSpace("toy", NAMES, COLOURS)


def network_and_card(**options: object) -> tuple[SegmentationNetwork, ModelCard]:
    torch.manual_seed(0)
    network = build_network(NetworkConfig.parse({"name": "small", "width": 8, **options}), len(NAMES))
    network(torch.rand(2, 3, 32, 32))  # running statistics that are not those of a fresh network
    card = ModelCard(
        network=network.config, classes=NAMES, colours=COLOURS, class_space="toy", input_size=(64, 32), seed=3
    )
    return network, card


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    network, card = network_and_card()
    path = tmp_path / "model.safetensors"
    save_network(path, network, card=card)
    return path


def rewrite_header(path: Path, entry: object) -> None:
    text = entry if isinstance(entry, str) else json.dumps(entry)
    save_file(load_file(path), path, metadata={"acclimate": text})


def test_logits_come_back_bit_for_bit(tmp_path: Path) -> None:
    network, card = network_and_card(multi_level=True, batch_norm="published", preprocessing="caffe")
    network.to(memory_format=torch.channels_last)
    path = tmp_path / "folder" / "model.safetensors"
    save_network(path, network, card=card)
    loaded, loaded_card = load_network(path)
    loaded.to(memory_format=torch.channels_last)  # another format may sum in another order
    images = torch.rand(2, 3, 40, 56)
    before, after = network.eval()(images), loaded(images)
    assert torch.equal(before.logits, after.logits)
    assert torch.equal(before.levels["auxiliary"].logits, after.levels["auxiliary"].logits)
    assert loaded_card == card
    assert loaded.config == network.config
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in network.parameters()]
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_loading_leaves_the_random_state_alone(checkpoint: Path) -> None:
    before = torch.get_rng_state()
    load_network(checkpoint)
    assert torch.equal(before, torch.get_rng_state())


def test_the_header_is_json_that_other_tools_can_read(checkpoint: Path) -> None:
    with safe_open(checkpoint, framework="pt") as file:
        card = json.loads(file.metadata()["acclimate"])
    assert card["classes"] == list(NAMES)
    assert card["network"]["name"] == "small"
    assert card["created_by"].startswith("acclimate ")


def test_a_loaded_network_does_not_look_for_its_initial_weights(tmp_path: Path) -> None:
    options = {"name": "deeplab-v2", "backbone": "torchvision/resnet18", "head": "small-aspp"}
    trained = build_network(NetworkConfig.parse(options), 3)
    trained.config = trained.config.with_options(weights="/gone/resnet18.safetensors")
    card = ModelCard(network=trained.config, classes=NAMES, colours=COLOURS, class_space="toy")
    path = tmp_path / "model.safetensors"
    save_network(path, trained, card=card)
    loaded, loaded_card = load_network(path)
    assert loaded_card.network.options.weights is None
    assert torch.equal(loaded.state_dict()["head.reduce.weight"], trained.state_dict()["head.reduce.weight"])


def test_a_card_of_another_network_is_the_callers_mistake(tmp_path: Path) -> None:
    network, card = network_and_card()
    wrong = card.model_copy(update={"classes": NAMES[:2], "colours": COLOURS[:2]})
    with pytest.raises(ValueError, match="with 2 classes, the network is 'small' with 3"):
        save_network(tmp_path / "x.safetensors", network, card=wrong)


def test_foreign_files_are_named_with_what_was_expected(tmp_path: Path, checkpoint: Path) -> None:
    missing = tmp_path / "missing.safetensors"
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    pickled = tmp_path / "pickled.pth"
    pickled.write_bytes(pickle.dumps({"a": 1}))
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(checkpoint.read_bytes()[:-100])
    beheaded = tmp_path / "beheaded.safetensors"
    beheaded.write_bytes(checkpoint.read_bytes()[:50])
    for path, message in (
        (missing, "no such checkpoint"),
        (foreign, "no checkpoint of acclimate"),
        (pickled, "no readable safetensors file"),
        (truncated, "no readable safetensors file"),
        (beheaded, "no readable safetensors file"),
        (tmp_path, "no such checkpoint"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            load_network(path)
        assert str(path) in str(caught.value)
        assert "expected a model.safetensors" in str(caught.value)


def test_damaged_and_later_cards(checkpoint: Path) -> None:
    content = read_card(checkpoint).model_dump(mode="json") | {"format": 1}  # whose early files had no checksum
    for entry, message in (
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ({**content, "format": FORMAT}, "does not match its checksum"),
        ({**content, "format": 99, "new": 1}, "checkpoint format 99.*upgrade acclimate"),
        ({**content, "classes": ["road"]}, "1 classes but 3 colours"),
        ({**content, "network": {"name": "small", "widht": 8}}, "did you mean 'width'"),
        ({**content, "network": {"name": "smal"}}, "unknown network 'smal'; did you mean 'small'"),
        ({**content, "network": {"name": "small", "width": 16}}, "not those of the network in its card"),
        ({**content, "network": {"name": "small", "width": 8, "multi_level": True}}, "auxiliary_head"),
    ):
        rewrite_header(checkpoint, entry)
        with pytest.raises(UserError, match=message) as caught:
            load_network(checkpoint)
        assert str(checkpoint) in str(caught.value)


def test_classes_must_agree_in_names_and_order(checkpoint: Path) -> None:
    card = read_card(checkpoint)
    expect_classes(card, SPACE, checkpoint)
    other = ClassSpace("other", ("sky", "road", "car"), COLOURS)
    with pytest.raises(UserError, match=r"3 classes of 'toy' \(road, sky, car\).*'other' \(sky, road, car\)") as caught:
        expect_classes(card, other, checkpoint)
    assert str(checkpoint) in str(caught.value)
