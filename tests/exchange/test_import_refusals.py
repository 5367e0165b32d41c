"""Files that are not read, do not fit, or leave something open."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import authors
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from acclimate.cli.app import main
from acclimate.errors import UserError
from acclimate.exchange.heads import ImportOptions, trained_branches
from acclimate.exchange.importing import import_weights
from acclimate.exchange.layouts import LAYOUTS, BodyLayout, NetworkLayout, fitted, recognise
from acclimate.exchange.tensor_files import foreign_weights, read_foreign
from acclimate.models import read_card


def head(live: int, *, name: str = "layer5.", channels: int = 64) -> authors.State:
    torch.manual_seed(0)
    return authors.head_state(name, channels, 19, live=live)


class _Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
def test_code_in_a_file_is_never_run(tmp_path: Path, form: str) -> None:
    harm, file = tmp_path / "harm", tmp_path / "evil.pth"
    content = {"conv1.weight": torch.zeros(2), "epoch": _Touch(harm)}
    if form == "pickle":
        file.write_bytes(pickle.dumps(content["epoch"]))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(UserError, match=r"evil.pth is not read: it holds more than tensors") as caught:
        import_weights(file, tmp_path / "model.safetensors")
    assert "weights_only" not in str(caught.value)
    assert not harm.exists()
    assert not (tmp_path / "model.safetensors").exists()
    torch.load(file, weights_only=False) if form != "pickle" else pickle.loads(file.read_bytes())  # noqa: S301
    assert harm.exists(), "the file was harmless, the test proves nothing"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"no readable checkpoint|holds more than tensors"),
        (b"\n<!DOCTYPE html><html><title>Sign in</title>", r"is a web page, not a checkpoint"),
        (b"PK\x03\x04 not a zip at all", r"no readable checkpoint"),
        ([1, 2, 3], r"holds no weights: a list"),
        ({}, r"holds no weights"),
        ({"net": {"a": torch.zeros(1)}, "epoch": 3}, r"besides tensors it holds 'net'"),
        ({"feature_extractor": {"a": 1}, "classifier": {}}, r"besides tensors it holds 'a'"),
    ],
    ids=["empty", "page", "broken zip", "list", "nothing", "nested", "no tensor"],
)
def test_files_without_weights(tmp_path: Path, content: Any, message: str) -> None:
    file = tmp_path / "odd.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(UserError, match=message):
        read_foreign(file)


def test_a_truncated_file(tmp_path: Path) -> None:
    file = tmp_path / "cut.pth"
    torch.save({"a": torch.zeros(4000)}, file)
    file.write_bytes(file.read_bytes()[:9000])
    with pytest.raises(UserError, match=r"no readable checkpoint of PyTorch"):
        read_foreign(file)


def test_wrappers_and_the_prefix_of_parallel_training(tmp_path: Path) -> None:
    file = tmp_path / "wrapped.pth"
    for content in (
        {"state_dict": {"module.a": torch.ones(2)}, "epoch": 3},
        {"model": {"a": torch.ones(2)}},
        {"module.a": torch.ones(2)},
    ):
        torch.save(content, file)
        assert list(read_foreign(file)) == ["a"]
    # not every key has it: then it belongs to the keys
    torch.save({"module.a": torch.ones(2), "b": torch.ones(2)}, file)
    assert list(read_foreign(file)) == ["module.a", "b"]


def meta_state(number: int, classes: int = 19) -> dict[str, Tensor]:
    """The tensors of a layout, without values, under our keys."""
    from acclimate.models import build_network

    layout = LAYOUTS[number]
    assert isinstance(layout, NetworkLayout)
    with torch.device("meta"):
        return dict(build_network(layout.network, classes).state_dict())


def test_the_nearest_layout_and_the_first_keys_that_do_not_fit() -> None:
    state = meta_state(1)
    del state["layer3.7.conv2.weight"]
    state["enc4_1.weight"] = torch.zeros(1)
    state["bn1.weight"] = torch.zeros(63)
    with pytest.raises(UserError) as caught:
        recognise(state, layout="auto", where="odd.pth")
    assert "odd.pth does not fit any known layout" in str(caught.value)
    assert "nearest is single-level DeepLab-V2 on ResNet-101" in str(caught.value)
    assert "1 missing: layer3.7.conv2.weight; 1 unexpected: enc4_1.weight" in str(caught.value)
    assert "bn1.weight (63,) instead of (64,)" in str(caught.value)


def lose_a_branch(state: dict[str, Tensor]) -> None:
    for kind in ("weight", "bias"):
        del state[f"layer6.conv2d_list.3.{kind}"]


def store_two_branches(state: dict[str, Tensor]) -> None:
    for key in [key for key in state if ".conv2d_list.2." in key or ".conv2d_list.3." in key]:
        del state[key]


def count_classes_differently(state: dict[str, Tensor]) -> None:
    state["layer6.conv2d_list.1.bias"] = torch.zeros(18, device="meta")


def add_to_the_head(state: dict[str, Tensor]) -> None:
    state["layer5.extra.weight"] = torch.zeros(1, device="meta")


@pytest.mark.parametrize("spoil", [lose_a_branch, store_two_branches, count_classes_differently, add_to_the_head])
def test_a_network_with_odd_heads_is_not_taken_for_initial_weights(spoil: Callable[[dict[str, Tensor]], None]) -> None:
    state = meta_state(0)
    spoil(state)
    with pytest.raises(UserError, match=r"nearest is multi-level DeepLab-V2|nearest is single-level DeepLab-V2"):
        recognise(state, layout="auto", where="odd.pth")
    assert isinstance(recognise(state, layout="initial-weights", where="odd.pth").layout, BodyLayout)


def test_a_single_level_network_of_advent_has_its_head_in_layer6() -> None:
    state = {key: value for key, value in meta_state(0).items() if not key.startswith("layer5.")}
    fit = recognise(state, layout="auto", where="a.pth")
    assert (fit.layout.description, fit.classes) == ("single-level DeepLab-V2 on ResNet-101 (ADVENT)", 19)
    assert fit.tensors["layer5.conv2d_list.0.weight"] is state["layer6.conv2d_list.0.weight"]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("decode_head.conv_seg.weight", "mmsegmentation"),
        ("segformer.encoder.block.0.weight", "Hugging Face"),
        ("backbone.layer1.0.conv1.weight", "torchvision's segmentation models"),
    ],
)
def test_layouts_of_other_programs_are_named(key: str, name: str) -> None:
    with pytest.raises(UserError, match=rf"layout of {name}.*acclimate\.wrap"):
        recognise({key: torch.zeros(3, 3)}, layout="auto", where="a.pth")


def test_a_moving_average_beside_the_network_is_told(tmp_path: Path) -> None:
    file = tmp_path / "both.pth"
    torch.save({"model": {"a": torch.ones(2)}, "ema": {"a": torch.zeros(2)}, "epoch": 3}, file)
    tensors, remarks = foreign_weights(file)
    assert tensors["a"].tolist() == [1, 1]
    assert remarks == ["weights: of its entry 'model'; it also holds 'ema'"]


def test_only_layouts_of_the_family_are_tried() -> None:
    state = meta_state(0)
    assert recognise(state, layout="advent", where="a.pth").layout is LAYOUTS[0]
    with pytest.raises(UserError, match=r"does not fit the layout 'bdl'.*unexpected: layer6"):
        recognise(state, layout="bdl", where="a.pth")


def test_counters_are_optional_and_classes_are_counted() -> None:
    state = {key: value for key, value in meta_state(0, 7).items() if not key.endswith("num_batches_tracked")}
    fit = fitted(state, LAYOUTS[0])
    assert (fit.problems, fit.classes) == (0, 7)


@pytest.mark.parametrize(("live", "found"), [(2, 2), (4, 4), (0, None), (1, None), (3, None)])
def test_branches_that_learned_are_told_by_their_values(live: int, found: int | None) -> None:
    assert trained_branches(head(live)) == found


def test_a_bias_outside_its_initial_range_was_trained() -> None:
    state = head(2)
    state["layer5.conv2d_list.2.bias"][0] = 1.0
    state["layer5.conv2d_list.3.bias"][0] = 1.0
    assert trained_branches(state) == 4


@pytest.mark.parametrize(
    ("live", "layout", "option", "branches", "remark"),
    [
        (2, "auto", None, 2, "the others hold initial values"),
        (4, "auto", None, 4, "all of them were trained"),
        (0, "auto", None, 4, "the values do not tell"),
        (4, "adaptsegnet", None, 2, "warning: by their values 4 branches were trained"),
        (2, "advent", None, 4, "warning: by their values 2 branches were trained"),
        (2, "adaptsegnet", 4, 4, "as --branches says"),
    ],
)
def test_who_decides_how_many_branches_count(
    live: int, layout: str, option: int | None, branches: int, remark: str
) -> None:
    first = LAYOUTS[0]
    assert isinstance(first, NetworkLayout)
    tensors = fitted(head(live), first).tensors
    config, remarks = first.complete(first.network, tensors, ImportOptions(layout, option, "a.pth"))
    assert config.options.branches == branches
    assert remark in "; ".join(remarks)


def vgg_file(folder: Path, classes: int = 19) -> Path:
    """The smallest network's checkpoint, all zeros but for the first convolution."""
    state = {key: torch.zeros(value.shape) for key, value in meta_state(2, classes).items()}
    path = folder / "vgg.pth"
    torch.save(state, path)
    return path


def test_the_command_names_what_it_found_and_the_card_remembers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "model.safetensors"
    words = ["acclimate", "import", str(vgg_file(tmp_path)), "-o", str(output), "--branches", "4"]
    monkeypatch.setattr(sys, "argv", [*words, "--input-size", "2048x1024"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    shown = capsys.readouterr().out
    assert "recognised DeepLab-V2 on VGG-16 (AdaptSegNet)" in shown
    assert "head: 4 of 4 branches are summed (as --branches says)" in shown
    card = read_card(output)
    assert (card.class_space, card.input_size, card.network.options.branches) == ("cityscapes-19", (2048, 1024), 4)
    assert card.note is not None
    assert "imported from vgg.pth (SHA-256 " in card.note
    assert "head: 4 of 4 branches are summed" in card.note


def test_images_may_keep_their_own_size(tmp_path: Path) -> None:
    output = tmp_path / "model.safetensors"
    result = import_weights(vgg_file(tmp_path), output, branches=4, input_size="native")
    assert read_card(output).input_size is None
    assert "input size: each image's own" in result.summary()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "cityscapes-16"}, r"has 19 classes, but --class-space cityscapes-16 has 16"),
        ({"layout": "advnet"}, r"unknown layout 'advnet'; did you mean 'advent'"),
        ({"layout": "fada"}, r"does not fit the layout 'fada'"),
        ({"output": "model.pth"}, r"ends in .safetensors"),
    ],
)
def test_options_that_do_not_suit(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    output = tmp_path / options.pop("output", "model.safetensors")
    with pytest.raises(UserError, match=message):
        import_weights(vgg_file(tmp_path), output, **options)
    assert not output.exists()


def test_numbers_of_classes_without_a_usual_space(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 5 classes, and no class space is usual for that number"):
        import_weights(vgg_file(tmp_path, 5), tmp_path / "model.safetensors")
    own = tmp_path / "dataset.yaml"
    own.write_text("name: farm\nimages: frames\nclasses: [field, path, cow, sky, barn]\n", encoding="utf-8")
    import_weights(vgg_file(tmp_path, 5), tmp_path / "model.safetensors", branches=4, space=str(own))
    card = read_card(tmp_path / "model.safetensors")
    assert (card.class_space, card.classes[2]) == ("farm", "cow")


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = vgg_file(tmp_path)
    state = torch.load(path, weights_only=True)
    state["features.5.bias"][3] = float("nan")
    torch.save(state, path)
    with pytest.raises(UserError, match=r"features.5.bias holds values that are infinite or no numbers"):
        import_weights(path, tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda bias: bias.to_sparse(), r"is sparse or quantised, not an ordinary tensor"),
        (lambda bias: bias.to("meta"), r"is a placeholder without values"),
        (lambda bias: bias.to(torch.complex64), r"holds complex64 values"),
        (lambda bias: bias.to(torch.int32), r"holds int32 values"),
    ],
)
def test_tensors_of_other_kinds_are_refused(tmp_path: Path, spoil: Callable[[Tensor], Tensor], message: str) -> None:
    path = vgg_file(tmp_path)
    state = torch.load(path, weights_only=True)
    state["features.5.bias"] = spoil(state["features.5.bias"])
    torch.save(state, path)
    with pytest.raises(UserError, match=rf"vgg.pth: features.5.bias {message}"):
        import_weights(path, tmp_path / "model.safetensors")


def test_tensors_that_share_memory_are_written_apart(tmp_path: Path) -> None:
    state = {f"features.{key}": value for key, value in authors.vgg_state("").items() if int(key.split(".")[0]) < 23}
    for number in (24, 26, 28):
        state[f"features.{number}.weight"] = torch.zeros(512, 512, 3, 3)
        state[f"features.{number}.bias"] = state["features.21.bias"]
    torch.save(state, tmp_path / "vgg16.pth")
    import_weights(tmp_path / "vgg16.pth", tmp_path / "initial.safetensors")
    with safe_open(tmp_path / "initial.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("features.24.bias"), state["features.21.bias"])


def test_bytes_cut_and_changed_anywhere_are_refused_by_name(tmp_path: Path) -> None:
    good = tmp_path / "good.pth"
    torch.save({"a": torch.arange(8.0)}, good, _use_new_zipfile_serialization=False)
    content, path = good.read_bytes(), tmp_path / "spoilt.pth"
    random = torch.Generator().manual_seed(0)
    for _ in range(150):
        spoilt = bytearray(content[: int(torch.randint(1, len(content), (1,), generator=random))])
        spoilt[int(torch.randint(0, len(spoilt), (1,), generator=random))] ^= 0xFF
        path.write_bytes(spoilt)
        with pytest.raises(UserError, match=r"spoilt\.pth is (not read|no readable checkpoint)"):
            read_foreign(path)


def test_the_file_itself_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"is read by this command"):
        import_weights(path, path)
    assert path.read_bytes() == before


def test_initial_weights_say_where_they_come_from(tmp_path: Path) -> None:
    state = {f"features.{key}": value for key, value in authors.vgg_state("").items()}
    renumbered = {key: value for key, value in state.items() if int(key.split(".")[1]) < 23}
    for ours, theirs in ((23, 24), (25, 26), (27, 28)):
        for kind in ("weight", "bias"):
            renumbered[f"features.{theirs}.{kind}"] = state[f"features.{ours}.{kind}"]
    torch.save(renumbered, tmp_path / "vgg16.pth")
    output = tmp_path / "initial.safetensors"
    result = import_weights(tmp_path / "vgg16.pth", output)
    assert result.card is None
    with safe_open(output, framework="pt") as file:
        assert "imported from vgg16.pth" in file.metadata()["acclimate-weights"]
    for options in ({"branches": 2}, {"space": "cityscapes-19"}, {"input_size": "native"}):
        with pytest.raises(UserError, match=r"no head, no classes and no input size"):
            import_weights(tmp_path / "vgg16.pth", output, **options)  # type: ignore[arg-type]
