"""Sizes, steps and rates that are chosen, against numbers worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from acclimate.data.readers.scenes import ScenesDataset
from acclimate.errors import UserError
from acclimate.planning.choice import chosen, covering_size, fit_for, training_size
from acclimate.planning.defaults import LIGHT, RANDOM, teacher_decay
from acclimate.planning.domains import Domain, spec_of, splits_of
from acclimate.planning.machine import Machine, fetch_weights, network_for_weights

CPU_ONLY = Machine(2, 16.0)


def domain(size: tuple[int, int], *, scored: str | None = None) -> Domain:
    dataset = ScenesDataset("render", split="train", images=4, size=size)
    counts = np.zeros((3, 256), dtype=np.int64)
    counts[:, 100] = 1
    return Domain("scenes:render", "train", dataset, size, Counter({f"{size[0]}x{size[1]}": 4}), counts, scored)


@pytest.mark.parametrize(
    ("native", "area", "stride", "wanted"),
    [
        ((480, 360), 320 * 240, 16, (320, 240)),
        ((1914, 1052), 320 * 240, 16, (368, 208)),
        ((200, 100), 320 * 240, 16, (192, 96)),  # never larger than the pictures
        ((1920, 1080), 518 * 518, 14, (686, 392)),
        ((20, 20), 320 * 240, 16, (32, 32)),
    ],
)
def test_training_size(native: tuple[int, int], area: int, stride: int, wanted: tuple[int, int]) -> None:
    size = training_size(native, area=area, stride=stride)
    assert size == wanted
    assert size[0] % stride == size[1] % stride == 0


def test_another_aspect_is_cut_and_not_squeezed() -> None:
    assert covering_size((800, 600), (368, 208)) == (368, 276)
    assert covering_size((1000, 250), (320, 240)) == (960, 240)
    choice = chosen(domain((96, 96)), domain((128, 64)), CPU_ONLY, fit=RANDOM, weights=None, why="", area=128 * 64)
    training = choice.content["training"]
    assert training["target_transform"]["size"] == [128, 64]
    source = training["source_transform"]
    assert (source["size"], source["crop"], source["flip"]) == ([128, 128], [128, 64], True)
    assert source["photometric"]["probability"] == 0.8  # the recipe's own is kept


def test_alike_aspects_are_resized() -> None:
    choice = chosen(domain((128, 64)), domain((256, 130)), CPU_ONLY, fit=RANDOM, weights=None, why="", area=128 * 64)
    training = choice.content["training"]
    assert training["source_transform"]["size"] == training["target_transform"]["size"]
    assert "crop" not in training["source_transform"]


def test_scores_only_where_there_are_labels() -> None:
    def stages(scored: str | None) -> dict[str, object]:
        target = domain((128, 64), scored=scored)
        return chosen(domain((128, 64)), target, CPU_ONLY, fit=RANDOM, weights=None, why="", area=8192).content[
            "stages"
        ]

    assert "scores" not in stages(None)
    assert stages("val")["scores"] == {"evaluate": ["source-only", "adapted"]}


def test_a_teachers_memory_is_a_tenth_of_the_training() -> None:
    assert [teacher_decay(steps) for steps in (50, 500, 1000, 40000)] == [0.9, 0.98, 0.99, 0.999]


# --- weights -----------------------------------------------------------------------------------------------------


def test_a_file_of_weights_names_its_network(tmp_path: Path) -> None:
    mobile, vit, other = tmp_path / "m.safetensors", tmp_path / "v.safetensors", tmp_path / "o.safetensors"
    one = torch.zeros(1)
    save_file({"features.0.0.weight": one, "features.18.0.weight": one.clone()}, mobile)
    save_file({"cls_token": torch.zeros(1, 1, 768), "blocks.0.attn.qkv.weight": one}, vit)
    save_file({"conv1.weight": one}, other)
    assert network_for_weights(mobile) == "mobilenet-v3plus"
    assert network_for_weights(vit) == "dinov2-b"
    assert fit_for(CPU_ONLY, str(vit))[0].batch_size == LIGHT.batch_size
    assert fit_for(CPU_ONLY, "none")[:2] == (RANDOM, None)
    for path in (other, tmp_path / "missing", Path(__file__)):
        with pytest.raises(UserError, match="--weights"):
            network_for_weights(path)


def test_weights_that_are_not_to_be_had_name_file_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(UserError) as told:
        fetch_weights("mobilenet-v3plus")
    assert "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth" in str(told.value)
    assert str(tmp_path / "checkpoints" / "mobilenet_v2-7ebf99e0.pth") in str(told.value)
    assert "--weights none" in str(told.value)


def test_what_a_user_may_give_for_data(tmp_path: Path) -> None:
    assert spec_of("scenes:fog") == "scenes:fog"
    assert splits_of("scenes:fog") == ["train", "val"]
    assert spec_of(str(tmp_path)) is None
    (tmp_path / "dataset.yaml").write_text("images: .\n")
    assert spec_of(str(tmp_path)) == f"folder:{tmp_path}"
    assert spec_of(str(tmp_path / "dataset.yaml")) == f"folder:{tmp_path / 'dataset.yaml'}"
    with pytest.raises(UserError, match="KIND:PATH"):
        spec_of("nothing")
    with pytest.raises(UserError, match="did you mean"):
        spec_of("camvit:/data")


def test_area_of_the_table_grow() -> None:
    for fit in (LIGHT, RANDOM):
        assert list(fit.areas) == sorted(fit.areas)
        assert 0 <= fit.usual < len(fit.areas)
        assert math.isfinite(fit.base_rate)
