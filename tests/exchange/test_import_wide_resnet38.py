"""Wide ResNet-38 from MXNet's files: whole networks and initial weights, under the names of the release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import authors
import mxnet_writer
import pytest
import torch
import wide_resnet_authors
from torch import Tensor

from acclimate.errors import UserError
from acclimate.exchange.heads import ImportOptions
from acclimate.exchange.importing import Imported, import_weights
from acclimate.exchange.layouts import LAYOUTS, NetworkLayout, fitted, recognise
from acclimate.models import NetworkConfig, build_network, load_network

IMAGES = torch.rand(1, 3, 97, 105, generator=torch.Generator().manual_seed(0))
"""The map is 13x14, wide enough for convolutions dilated by 12 to see more than their centre."""

LAYOUT = next(layout for layout in LAYOUTS if layout.description.startswith("Wide ResNet-38"))


def written(path: Path, state: authors.State, *, version: int) -> Path:
    path.write_bytes(mxnet_writer.file_bytes({name: value.numpy() for name, value in state.items()}, version))
    return path


@pytest.fixture(scope="module")
def trunk() -> authors.State:
    torch.manual_seed(4)
    return wide_resnet_authors.drawn(wide_resnet_authors.trunk_shapes())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Emptied at once: files of this network take half a gigabyte."""
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


def test_a_whole_network_gives_the_authors_logits(trunk: authors.State, folder: Path) -> None:
    state = trunk | wide_resnet_authors.drawn(wide_resnet_authors.head_shapes(16))
    source = written(folder / "synthia_rna-a1_cls16_s8_ep-0000.params", state, version=0)
    output = folder / "model.safetensors"
    result = import_weights(source, output)
    check_summary(result)
    source.unlink()
    network, card = load_network(output)
    assert card == result.card
    with torch.no_grad():
        found = network(IMAGES).logits
        expected = wide_resnet_authors.logits(state, authors.imagenet_pixels(IMAGES), classes=16)
    assert found.shape == (1, 16, 13, 14)
    assert 0.1 < expected.std() < 10  # neither dead nor exploded
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def check_summary(result: Imported) -> None:
    assert result.card is not None
    config = result.card.network
    assert (config.name, config.options.preprocessing, config.options.batch_norm) == (
        "wide-resnet38",
        "imagenet",
        "global",
    )
    assert (result.card.class_space, result.card.input_size) == ("cityscapes-16", (2048, 1024))
    assert "recognised Wide ResNet-38, model A1 (CBST, MLSL)" in result.summary()
    assert "classes: 16 (cityscapes-16)" in result.summary()
    assert "input size: 2048x1024" in result.summary()
    assert "branches" not in str(result.card.note)


def test_imagenets_weights_start_a_network(trunk: authors.State, folder: Path) -> None:
    classifier = {
        "arg:linear1000_weight": torch.ones(1000, 4096).half(),
        "arg:linear1000_bias": torch.ones(1000).half(),
    }
    source = written(folder / "ilsvrc-cls_rna-a1_cls1000_ep-0001.params", trunk | classifier, version=2)
    output = folder / "wrn38.safetensors"
    result = import_weights(source, output)
    assert result.card is None
    assert f"use it in a recipe: network: {{name: wide-resnet38, weights: {output}}}" in result.summary()
    state = build_network(NetworkConfig(name="wide-resnet38", weights=str(output)), 19).state_dict()
    ours = {
        "conv1a.weight": "arg:conv1a_weight",
        "blocks.2a.res.branch1.weight": "arg:res2a_branch1_weight",
        "blocks.4b5.res.branch2b1.weight": "arg:res4b5_branch2b1_weight",
        "blocks.7a.bn.branch2b2.weight": "arg:bn7a_branch2b2_gamma",
        "blocks.7a.bn.branch2b2.bias": "arg:bn7a_branch2b2_beta",
        "blocks.5b2.bn.branch2a.running_mean": "aux:bn5b2_branch2a_moving_mean",
        "bn7.running_var": "aux:bn7_moving_var",
    }
    for key, name in ours.items():
        assert torch.equal(state[key], trunk[name].float())


def meta_state(classes: int = 19) -> dict[str, Tensor]:
    """A whole network's parameters without values, named as they are in the file's tensors."""
    shapes = wide_resnet_authors.trunk_shapes() | wide_resnet_authors.head_shapes(classes)
    return {name.partition(":")[2]: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize("classes", [19, 16])
@pytest.mark.parametrize("family", ["auto", "cbst"])
def test_classes_are_counted(classes: int, family: str) -> None:
    fit = recognise(meta_state(classes), layout=family, where="a.params")
    assert (fit.layout, fit.classes) == (LAYOUT, classes)


def lose_a_projection(state: dict[str, Tensor]) -> None:
    del state["res6a_branch1_weight"]


def lose_the_head(state: dict[str, Tensor]) -> None:
    for key in ("linear19_weight", "linear19_bias"):
        del state[key]


def add_a_second_head(state: dict[str, Tensor]) -> None:
    state["linear16_bias"] = torch.empty(16, device="meta")


def add_an_image_classifier(state: dict[str, Tensor]) -> None:
    state["bCls1_weight"] = torch.empty(19, 512, device="meta")


def call_a_norm_a_convolution(state: dict[str, Tensor]) -> None:
    state["bn7_weight"] = state.pop("bn7_gamma")


def repeat_a_norm_under_our_key(state: dict[str, Tensor]) -> None:
    state["bn7.weight"] = state["bn7_gamma"]


def turn_a_convolution(state: dict[str, Tensor]) -> None:
    state["conv6a_weight"] = state["conv6a_weight"].permute(0, 2, 3, 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lose_a_projection, r"1 missing: blocks.6a.res.branch1.weight"),
        (lose_the_head, r"2 missing: linear.weight, linear.bias"),
        (add_a_second_head, r"1 unexpected: linear16_bias"),
        (add_an_image_classifier, r"1 unexpected: bCls1_weight"),
        (call_a_norm_a_convolution, r"1 missing: bn7.weight; 1 unexpected: bn7_weight"),
        (repeat_a_norm_under_our_key, r"1 unexpected: bn7.weight"),
        (turn_a_convolution, r"conv6a.weight \(512, 3, 3, 4096\) instead of \(512, 4096, 3, 3\)"),
    ],
)
def test_odd_networks_are_neither_taken_for_whole_nor_for_initial_weights(
    spoil: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    state = meta_state()
    spoil(state)
    with pytest.raises(UserError, match=rf"nearest is Wide ResNet-38, model A1.*{message}"):
        recognise(state, layout="auto", where="odd.params")


def test_a_whole_network_is_initial_weights_only_if_it_is_asked_for() -> None:
    state = meta_state()
    assert recognise(state, layout="auto", where="a.params").classes == 19
    fit = recognise(state, layout="initial-weights", where="a.params")
    assert fit.layout.description == "initial weights of Wide ResNet-38, model A1"
    assert not any(key.startswith(("linear", "conv6a")) for key in fit.tensors)


def test_there_are_no_branches_to_choose() -> None:
    assert isinstance(LAYOUT, NetworkLayout)
    tensors = fitted(meta_state(), LAYOUT).tensors
    assert LAYOUT.complete(LAYOUT.network, tensors, ImportOptions("auto", None, "a.params")) == (LAYOUT.network, [])
    with pytest.raises(UserError, match=r"--branches 4: the head of wide-resnet38 has no parallel branches"):
        LAYOUT.complete(LAYOUT.network, tensors, ImportOptions("auto", 4, "a.params"))


def test_parameters_are_as_many_as_published() -> None:
    """Of the network and of ImageNet's, without running statistics: else the tests above would agree on a mistake."""
    sizes = {key: value.numel() for key, value in meta_state().items() if "_moving_" not in key}
    head = sum(size for key, size in sizes.items() if key.startswith(("conv6a", "linear")))
    assert (head, sum(sizes.values())) == (18_962_451, 124_033_363)
    # 45 convolutions, 2 biases, 2 values for each of 37 batch norms
    assert len(sizes) == 45 + 2 + 2 * 37
