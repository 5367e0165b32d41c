"""`acclimate profile`: a step's parts add up, its memory is its tensors', and the trace names the same parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from acclimate.cli.profile import profile_command
from acclimate.errors import UserError
from acclimate.planning import profiling
from acclimate.planning.profiling import Activations, Clock
from acclimate.recipe.load import load_recipe

RECIPE = """
name: tiny
source: "scenes:render,images=6,size=64x32"
target: "scenes:camera,images=6,size=64x32"
protocol: scenes
network: {name: small, width: 8}
training: {steps: 4, precision: 32-true, batch_size: 2}
stages:
  source-only: {train: source_only}
  dacs: {train: dacs, options: {masked_consistency: {}}}
  advent: {train: advent, options: {discriminator_width: 4}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return str(path)


def rows(told: str) -> dict[str, list[str]]:
    """Name -> the numbers behind it."""
    return {line[:42].strip(): line[42:].split() for line in told.splitlines() if len(line) > 42}


def test_a_training_of_two_domains(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.json"
    profile_command(recipe, steps=2, output=trace)
    told = capsys.readouterr().out
    assert told.startswith("tiny, advent: advent, small, 4 images a step\n")
    assert max(map(len, told.splitlines())) <= 80
    table = rows(told)
    parts = [name for name, values in table.items() if "%" in values]
    assert parts == [
        "load source images",
        "load target images",
        "copy to the device",
        "network, source images",
        "backward",
        "network, target images",
        "discriminators",
        "optimisers",
        "moving averages",
        "losses and all else",
    ]
    assert sum(float(table[part][1]) for part in parts) == pytest.approx(100, abs=0.6)
    calls = {part: float(table[part][3]) for part in parts}
    assert calls["backward"] == 3
    assert calls["discriminators"] == 3
    assert calls["network, source images"] == calls["network, target images"] == 1
    # Adam keeps two numbers for each weight of the discriminator, SGD one for each of the network's
    network = sum(value.numel() for value in load_network_of(recipe).parameters())
    assert float(table["gradients"][0]) == pytest.approx(
        float(table["teacher, discriminators and the like"][0]) + trainable(recipe) * 4 / 2**20, abs=0.11
    )
    assert float(table["network"][0]) >= network * 4 / 2**20 - 0.1
    assert float(table["activations kept for the way back"][0]) > 0
    events = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert set(parts) <= events
    assert str(tmp_path) not in trace.read_text()
    profile_command(recipe, stage="source-only", steps=1, output=trace)  # its own trace is replaced
    assert "network, target images" not in capsys.readouterr().out


def load_network_of(recipe: str) -> nn.Module:
    from acclimate.models.registry import build_network

    loaded, _ = load_recipe(recipe)
    return build_network(loaded.network_config(next(iter(loaded.stages.values()))), 9)


def trainable(recipe: str) -> int:
    return sum(value.numel() for value in load_network_of(recipe).parameters() if value.requires_grad)


def test_a_teacher_and_changed_images_have_their_parts(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile_command(recipe, stage="dacs", steps=1, output=tmp_path / "trace.json")
    table = rows(capsys.readouterr().out)
    assert table["teacher"][3] == "1"
    assert table["network, changed images"][3] == "2"  # mixed and masked
    assert table["network, source images"][3] == "1"


def test_mistakes_are_one_message(recipe: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--stage nothing: tiny has no such training; it has source-only, dacs, advent"):
        profile_command(recipe, stage="nothing", output=tmp_path / "trace.json")
    mine = tmp_path / "mine.json"
    mine.write_text('{"traceEvents": []}')
    with pytest.raises(UserError, match="is no trace that this command wrote before"):
        profile_command(recipe, output=mine)


def test_the_clock_gives_time_to_the_innermost_part(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    monkeypatch.setattr(profiling.time, "perf_counter", lambda: next(times))
    clock = Clock(torch.device("cpu"))
    with clock("step"):  # from 0 to 10
        with clock("network"):  # from 1 to 3
            pass
        clock.begin("network")  # at 6, ends with the step's end at 10
        clock.end()
    assert clock.seconds == {"step": 1 + 3 + 5, "network": 2 + 4}
    assert clock.calls == {"step": 1, "network": 2}


def test_activations_are_counted_while_they_live_and_without_weights() -> None:
    weight = nn.Parameter(torch.ones(100))
    kept = Activations({weight.untyped_storage().data_ptr()})
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack):
        for _ in range(2):  # the second way there begins when the first one's tensors are gone
            values = torch.rand(100).requires_grad_()
            (values * weight).exp().sum().backward()
    assert kept.most == 2 * 400  # the product's input and the exponential's output, in float32
