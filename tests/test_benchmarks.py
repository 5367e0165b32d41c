"""The scripts of benchmarks/: each says what it measures, and refuses wrong arguments with status 2 and one message."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from acclimate.errors import UserError
from acclimate.recipe.load import TrainStage, load_recipe
from scripts import at_least_one, run_script

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(
    path
    for path in FOLDER.glob("*.py")
    if path.stem not in ("scripts", "fuzz_data", "fuzz_products", "kill_cells", "plain_steps", "step_cases")
)


def status(monkeypatch: pytest.MonkeyPatch, script: Path, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
    threads = torch.get_num_threads()
    with torch.enable_grad(), pytest.raises(SystemExit) as ended:  # scripts may switch gradients off for good
        runpy.run_path(str(script), run_name="__main__")
    torch.set_num_threads(threads)
    return ended.value.code


def script(name: str) -> Path:
    return next(path for path in SCRIPTS if path.stem == name)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_help_is_the_whole_docstring(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert about is not None
    assert f"python benchmarks/{path.name}" in about
    assert status(monkeypatch, path, "--help") == 0
    assert about.splitlines()[-1] in capsys.readouterr().out
    assert status(monkeypatch, path, "--nonsense") == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("boundaries_table", ["nowhere.json"], "nowhere.json"),
        ("claims_table", ["nowhere.json"], "nowhere.json"),
        ("results_table", ["nowhere.json"], "nowhere.json"),
        ("label_error", ["nowhere"], "nowhere"),
        ("label_free", ["scenes:camera", "model.safetensors"], "no such checkpoint: model.safetensors"),
        ("translation", ["nowhere"], "nowhere holds no translation"),
        ("fine_grained_step", ["--network", "smal"], "did you mean 'small'"),
        ("sisc_cost", ["--network", "smal"], "did you mean 'small'"),
        ("kill_stages", ["scenes-bld"], "did you mean 'scenes-bdl'"),
        ("kill_stress", ["--only", "nothing"], "no method, verb or command"),
        ("loading", ["--rounds", "0"], "whole number from 1 up, not '0'"),
        ("fuzz", ["--count", "many"], "whole number from 1 up, not 'many'"),
        ("selection", ["--pixels", "0"], "whole number from 1 up, not '0'"),
    ],
)
def test_wrong_arguments_end_with_one_message(
    name: str,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status(monkeypatch, script(name), *arguments) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in told
    assert message in told


def test_only_faults_of_the_input_become_messages(capsys: pytest.CaptureFixture[str]) -> None:
    def users() -> None:
        raise UserError("no such file: a.json")

    def ours() -> None:
        raise KeyError("a")

    with pytest.raises(SystemExit) as ended:
        run_script(users)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: no such file: a.json\n"
    with pytest.raises(KeyError):
        run_script(ours)
    assert at_least_one("12") == 12


def test_a_recipe_killed_in_its_stages_has_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS[0].parent), *sys.path])
    part = runpy.run_path(str(script("kill_stages")))
    small, shipped = load_recipe(str(part["small"]("scenes-bdl", tmp_path)))[0], load_recipe("scenes-bdl")[0]
    assert list(small.stages) == list(shipped.stages)
    for name, stage in shipped.stages.items():
        kept = stage.model_dump(exclude={"training"})
        assert small.stages[name].model_dump(exclude={"training"}) == kept
        if isinstance(stage, TrainStage):
            assert small.training_settings(small.stages[name]).steps == part["ADVANCE"]


def test_a_reader_that_stops_reading_is_no_fault_of_ours() -> None:
    code = "from scripts import run_script; run_script(lambda: [print(i) for i in range(100000)])"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 1
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
