"""Networks of the user's own: wrapped in Python, named in a recipe, and read again from a checkpoint."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.io import plugins
from acclimate.models import (
    Level,
    ModelCard,
    NetworkConfig,
    Output,
    build_network,
    load_network,
    save_network,
    wrap_network,
)
from acclimate.models.small import SmallNetwork

GROUP = "acclimate.networks"

OWN = '''
"""A network in a package of the user's own."""

import torch
from torch import nn

print("the user's code runs")


def build(classes, width=4):
    torch.manual_seed(0)
    first = nn.Conv2d(3, width, 3, stride=2, padding=1)
    return nn.Sequential(first, nn.BatchNorm2d(width), nn.Conv2d(width, classes, 1))


def wrong(classes):
    return nn.Conv2d(3, classes + 1, 1)


number = 3
'''


class Strict(nn.Module):
    """Takes sides that are multiples of 8 only, as many networks do, and answers at stride 8."""

    def __init__(self, answer: str = "tensor") -> None:
        super().__init__()
        self.answer = answer
        self.body = nn.Conv2d(3, 5, 8, stride=8)
        self.head = nn.Conv2d(5, 3, 1)

    def forward(self, images: Tensor) -> Any:
        assert images.shape[2] % 8 == images.shape[3] % 8 == 0
        features = self.body(images)
        logits = self.head(features)
        return {
            "tensor": logits,
            "mapping": {"out": logits, "aux": logits + 1},
            "first": (logits, features.mean()),
            "output": Output({"main": Level(logits, features)}),
            "nothing": {"image": images},
        }[self.answer]


@pytest.mark.parametrize("answer", ["tensor", "mapping", "first", "output"])
def test_whatever_gives_logits_is_a_network(answer: str) -> None:
    torch.manual_seed(0)
    module = Strict(answer).eval()
    network = wrap_network(module, classes=3, preprocessing="none", multiple=8)
    assert network.stride == 8
    images = torch.rand(2, 3, 16, 24)
    found = network(images)
    torch.testing.assert_close(found.logits, module.head(module.body(images)))
    assert list(found.levels) == list(network.levels) == (["main", "auxiliary"] if answer == "mapping" else ["main"])
    assert network(torch.rand(1, 3, 17, 30)).logits.shape == (1, 3, 3, 4)
    if answer == "output":
        assert network.feature_channels() == {"main": 5}
    else:
        with pytest.raises(UserError, match=r"looks at the network's features, but .* gives logits alone"):
            network.feature_channels()


def test_preprocessing_heads_and_batch_norm_are_as_asked() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
    network = wrap_network(
        module, classes=3, preprocessing="caffe", heads=["2"], head_learning_rate_multiple=7, batch_norm="frozen"
    )
    seen: list[Tensor] = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.train()(torch.ones(1, 3, 8, 8))
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx([255 - 104.00699, 255 - 116.66877, 255 - 122.67891], abs=1e-3)
    assert not module[1].training
    body, heads = network.parameter_groups()
    assert (heads.learning_rate_multiple, body.learning_rate_multiple) == (7, 1)
    assert [id(p) for p in heads.params] == [id(p) for p in module[2].parameters()]
    assert [id(p) for p in body.params] == [id(p) for p in module[0].parameters()]


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (Strict("nothing"), {"multiple": 8}, "gives no logits"),
        (Strict(), {"multiple": 8, "classes": 4}, "a channel for each of the 4 classes"),
        (Strict(), {"multiple": 8, "heads": ["haed"]}, "has no part 'haed'"),
        (nn.Linear(4, 3), {}, "cannot be applied to an image of 64x64 pixels"),
    ],
)
def test_what_cannot_be_a_network_is_told(module: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        wrap_network(module, **{"classes": 3, **options})


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that can be imported."""
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    return "python:own_networks"


@pytest.fixture
def checkpoint(own: str, tmp_path: Path) -> Path:
    network = build_network(NetworkConfig.parse({"name": f"{own}:build", "width": 6}), 3)
    card = ModelCard(network=network.config, classes=("a", "b", "c"), colours=((0, 0, 0),) * 3, class_space="toy")
    save_network(tmp_path / "model.safetensors", network, card=card)
    return tmp_path / "model.safetensors"


def test_code_named_in_a_recipe_is_called_with_its_options(own: str) -> None:
    network = build_network(NetworkConfig.parse({"name": f"{own}:build", "width": 6}), 3)
    assert network.module[0].out_channels == 6  # type: ignore[union-attr]
    assert network.stride == 2
    assert network.config.model_dump() == {"name": f"{own}:build", "options": {"width": 6}}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("python:nowhere:build", {}, "cannot be imported.*PYTHONPATH"),
        ("python:own_networks:biuld", {}, "cannot be imported"),
        ("python:own_networks", {}, "write python:package.module:factory"),
        ("python:own_networks:build", {"hieght": 3}, "cannot be called with classes=3.*hieght"),
        ("python:own_networks:wrong", {}, "a channel for each of the 3 classes"),
        ("python:own_networks:number", {}, "cannot be called"),
    ],
)
def test_code_that_does_not_work_is_told(own: str, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_network(NetworkConfig.parse({"name": name, **options}), 3)


def test_a_file_of_weights_never_imports_code_by_itself(checkpoint: Path) -> None:
    program = """
import sys
from pathlib import Path
from acclimate.errors import UserError
from acclimate.models import load_network

for arguments in ({}, {"network": "python:other:build"}, {"network": "python:own_networks:build"}):
    try:
        print(load_network(Path(sys.argv[1]), **arguments)[0].module[0].out_channels)
    except UserError as error:
        print(error)
"""
    environment = {"PYTHONPATH": f"{checkpoint.parent}:{':'.join(sys.path)}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, str(checkpoint)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(found) == 4
    assert "--network python:own_networks:build" in found[0]
    assert "--network python:own_networks:build" in found[1]
    assert found[2:] == ["the user's code runs", "6"]


def test_a_checkpoint_fills_a_network_that_is_built_already(checkpoint: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 3, 1))
    network = wrap_network(module, classes=3)
    loaded, card = load_network(checkpoint, network=network)
    assert loaded is network
    assert card.network.name == "python:own_networks:build"
    again, _ = load_network(checkpoint, network="python:own_networks:build")
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(loaded(images).logits, again(images).logits)
    with pytest.raises(UserError, match="3 classes, the given network of 4"):
        load_network(checkpoint, network=wrap_network(nn.Conv2d(3, 4, 1), classes=4))


def test_packages_register_networks_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        EntryPoint("theirs", f"{__name__}:Theirs", "acclimate.networks"),
        EntryPoint("broken", "torch.nn:Linear", "acclimate.networks"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: entries if group == "acclimate.networks" else [])
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    network = build_network(NetworkConfig.parse({"name": "theirs", "width": 8}), 3)
    assert isinstance(network, Theirs)
    assert network.config.name == "theirs"
    with pytest.raises(UserError, match="unknown key 'widht'; did you mean 'width'"):
        NetworkConfig.parse({"name": "theirs", "widht": 8})
    with pytest.raises(UserError, match="did you mean 'theirs'"):
        NetworkConfig.parse({"name": "theirz"})
    with pytest.raises(UserError, match="no subclass of SegmentationNetwork"):
        NetworkConfig.parse({"name": "broken"})


class Theirs(SmallNetwork):
    """A network of another package."""
