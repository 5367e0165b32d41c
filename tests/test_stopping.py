"""A full disk and requests to stop, for every command that writes: one message, the right status, nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from acclimate.io.files import write_text
from acclimate.io.progress import progress
from acclimate.io.stopping import Interrupted, act_on_request
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe
from acclimate.training.interrupt import stop_request, stoppable

if sys.platform == "win32":
    pytest.skip("there are no such limits and signals there", allow_module_level=True)

RECIPE = """
name: tiny
source: scenes:render,images=4,size=64x32
target: scenes:camera,images=4,size=64x32
protocol: scenes
network: {name: small, width: 16}
training:
  steps: 3
  batch_size: 2
  precision: 32-true
  source_transform: {size: [64, 32]}
  target_transform: {size: [64, 32]}
  checkpoint_minutes: 0
stages:
  base: {train: source_only}
  labels: {label: base}
  scores: {evaluate: [base], pictures: 1}
"""
LIMITED = """
import resource, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from acclimate.cli.app import main
main()
"""
SIGNALLED = """
import os, signal, sys
number, place = int(sys.argv.pop(1)), sys.argv.pop(1)
import pkgutil
place, name = pkgutil.resolve_name(place.rpartition(".")[0]), place.rpartition(".")[2]
original = getattr(place, name)
def asked(*arguments, **keywords):
    os.kill(os.getpid(), number)
    return original(*arguments, **keywords)
setattr(place, name, asked)
from acclimate.cli.app import main
main()
"""
DATA = "scenes:camera,images=4,size=64x32"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of RECIPE in runs/a, and the recipe beside it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(RECIPE)
    loaded, origins = load_recipe(str(folder / "tiny.yaml"))
    run(loaded, Run(output=folder / "runs/a"), origins=origins)
    return folder


def started(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    source = str(Path(__file__).parents[1] / "src")
    environment["PYTHONPATH"] = os.pathsep.join([source, environment.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.tmp"))


MODEL = "runs/a/1-base/model.safetensors"
FULL = {
    "train": (40_000, ("run", "tiny.yaml", "-o", "full/train", "--set", "training.steps=4"), "full/train/results.json"),
    "label": (2_000, ("label", MODEL, "--data", DATA, "-o", "full/labels"), "full/labels/manifest.json"),
    "evaluate": (200, ("evaluate", MODEL, "--data", DATA, "--json", "full/scores.json"), "full/scores.json"),
    "report": (20_000, ("report", "runs/a", "-o", "full/page.html"), "full/page.html"),
}


@pytest.mark.parametrize("what", FULL)
def test_a_full_disk_is_told_and_the_same_command_goes_on(what: str, finished: Path) -> None:
    limit, arguments, product = FULL[what]
    done = started(LIMITED, str(limit), *arguments, cwd=finished)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "free some space" in done.stderr
    assert not (finished / product).exists()
    assert leftovers(finished / "full") == []
    again = started(LIMITED, str(1 << 40), *arguments, cwd=finished)
    assert again.returncode == 0, again.stderr
    assert (finished / product).stat().st_size > 0


STOPPED = {
    "train": (
        "acclimate.training.loop.train_step",
        ("run", "tiny.yaml", "-o", "cut/a", "--set", "training.schedule.power=1"),
    ),
    "label": ("acclimate.pseudo.scoring.score_maps", ("label", MODEL, "--data", DATA, "-o", "cut/labels")),
    "evaluate": ("acclimate.stages.evaluate.predict_labels", ("evaluate", MODEL, "--data", DATA)),
    "report": ("acclimate.report.page.read_run", ("report", "runs/a", "-o", "cut/page.html")),
    "check": ("acclimate.data.check.in_parallel", ("check", DATA)),
}


@pytest.mark.parametrize("what", STOPPED)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_request_to_stop_ends_with_130_and_says_how_to_go_on(what: str, number: int, finished: Path) -> None:
    place, arguments = STOPPED[what]
    done = started(SIGNALLED, str(int(number)), place, *arguments, cwd=finished)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert "run the same command again to go on" in done.stderr
    assert leftovers(finished) == []


def test_what_was_to_be_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stoppable():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
            act_on_request()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_request_is_acted_on_once_and_at_safe_points_only(tmp_path: Path) -> None:
    with stoppable():
        with stop_request() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop
            write_text(tmp_path / "kept", "work that looks at the flag itself goes on")
        with pytest.raises(Interrupted, match="SIGTERM"):
            write_text(tmp_path / "a", "")
        write_text(tmp_path / "b", "what is told on the way out")
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted), progress("work", 3, silent=True) as bar:
            bar.advance()
    act_on_request()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "kept"]


@pytest.mark.parametrize("presses", [2, 3])
def test_the_third_ctrl_c_ends_at_once_even_if_the_second_was_swallowed(presses: int, finished: Path) -> None:
    code = (
        "import os, signal, sys\nfrom acclimate.training.interrupt import stop_request\n"
        "class Thing:\n    def __del__(self):\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "try:\n    with stop_request():\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "        thing = Thing()\n        del thing\n"  # the second one, swallowed
        + "        os.kill(os.getpid(), signal.SIGINT)\n" * (presses > 2)
        + "        print('went on')\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    )
    done = started(code, cwd=finished)
    assert (done.returncode, done.stdout.strip()) == ((0, "went on") if presses == 2 else (130, ""))


def test_ctrl_c_while_the_program_is_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Slow:
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "acclimate.cli.app", Slow())  # type: ignore[arg-type]
    from acclimate.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted: nothing was begun\n"
