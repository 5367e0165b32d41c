"""The names a program may rely on, and what installed packages may add."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

import acclimate
from acclimate.data.readers.base import FileDataset
from acclimate.data.registry import parse_spec
from acclimate.errors import UserError
from acclimate.io import plugins
from acclimate.methods import Method, method_class
from acclimate.models.registry import network_named

NAMES = {
    *("AdaptingOptions", "Batch", "ClassSpace", "Dataset", "Inference", "Level", "Losses", "Method", "MethodOptions"),
    *("Output", "Photometric", "Recipe", "Run", "SegmentationNetwork", "Setting", "Teacher", "Term", "Transform"),
    *("UserError", "__version__", "build_network", "cross_entropy", "entropy_loss", "load_network", "load_recipe"),
    *("open_dataset", "predict", "Model", "Training", "fit", "load", "run", "save_network", "wrap", "write_report"),
}


def test_no_name_goes_or_comes_unnoticed() -> None:
    assert set(acclimate.__all__) == NAMES
    assert all(getattr(acclimate, name) is not None for name in NAMES)


def adding(monkeypatch: pytest.MonkeyPatch, group: str, value: str) -> None:
    entry = EntryPoint("theirs", value, group)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == entry.group else [])


def test_packages_add_networks_methods_and_kinds_of_data(monkeypatch: pytest.MonkeyPatch) -> None:
    adding(monkeypatch, "acclimate.methods", "acclimate.methods.minent:MinEnt")
    assert issubclass(method_class("theirs"), Method)
    with pytest.raises(UserError, match="did you mean 'theirs'"):
        method_class("their")
    adding(monkeypatch, "acclimate.networks", "acclimate.models.small:SmallNetwork")
    monkeypatch.setattr("acclimate.models.small.SmallNetwork.name", "small")
    assert network_named("theirs").name == "theirs"
    adding(monkeypatch, "acclimate.datasets", "acclimate.data.readers.camvid:CamVid")
    monkeypatch.setattr("acclimate.data.registry.DATASETS", dict(acclimate.data.registry.DATASETS))  # type: ignore[attr-defined]
    assert parse_spec("theirs:somewhere") == ("theirs", "somewhere")


def test_what_is_no_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    adding(monkeypatch, "acclimate.methods", "acclimate.data.readers.base:FileDataset")
    assert FileDataset.__name__ == "FileDataset"
    with pytest.raises(UserError, match="no subclass of Method"):
        method_class("theirs")
