"""A seeded part of benchmarks/fuzz.py: damaged files are read rightly or refused, never a traceback, never a hang."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from acclimate.errors import UserError
from acclimate.io.yaml import MAX_NODES, load_yaml
from acclimate.recipe.load import load_recipe

if sys.platform == "win32":
    pytest.skip("needs an alarm", allow_module_level=True)


def script(name: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_mutants_are_read_or_refused(tmp_path: Path) -> None:
    results = script("fuzz").fuzz(tmp_path, count=600, seed=1)
    assert sum(tried.outcomes.total() for tried in results.values()) >= 600
    assert {name: tried.faults for name, tried in results.items() if tried.faults} == {}
    assert all(tried.outcomes["refused"] > 0 for tried in results.values())


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, f"more than {MAX_NODES} values"),
        ("a: &a [*a]", "contains itself"),
        ("[" * 5000 + "]" * 5000, "nested"),
        ("x" * 2_000_000, "characters"),
        ("a: !!python/object/apply:os.mkdir [crater]", "could not determine a constructor"),
        ("a: !!int x_", "is no number"),
    ],
    ids=["billion-laughs", "loop", "deep", "long", "python-tag", "no-number"],
)
def test_yaml_that_means_harm(text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((yaml.YAMLError, ValueError)):
        load_yaml(text)
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(UserError, match=reason):
        load_recipe("./recipe.yaml")
    assert not (tmp_path / "crater").exists()


def test_aliases_of_honest_size_are_read() -> None:
    assert load_yaml("a: &size [640, 320]\nb: *size") == {"a": [640, 320], "b": [640, 320]}
