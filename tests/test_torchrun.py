"""A recipe in two processes on the CPU, started by torchrun and by `--processes`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from acclimate.data.loading import batches
from acclimate.data.registry import open_dataset
from acclimate.data.transforms import Transform
from acclimate.errors import UserError
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe

if sys.platform == "win32":
    pytest.skip("torchrun with gloo is tried on POSIX systems", allow_module_level=True)

RECIPE = """
name: tiny
source: scenes:render,images=6,size=64x32
target: scenes:camera,images=6,size=64x32
protocol: scenes
network: {name: small, width: 16}
training:
  steps: STEPS
  batch_size: 2
  precision: 32-true
  source_transform: {size: [64, 32]}
  target_transform: {size: [64, 32]}
  checkpoint_minutes: 0
stages:
  base: {train: advent, options: {discriminator_width: 4}}
  labels: {label: base}
  scores: {evaluate: [base], pictures: 1}
"""


SHARDED = "base: {train: minent, training: {shard: true}}"


def torchrun(recipe: Path, output: Path) -> subprocess.Popen[str]:
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "acclimate.cli.app"]
    return started(*launcher, "run", str(recipe), "-o", str(output))


def started(*command: str) -> subprocess.Popen[str]:
    source = str(Path(__file__).parents[1] / "src")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([source, environment.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def written(tmp_path: Path, steps: int) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE.replace("STEPS", str(steps)))
    return path


@pytest.mark.slow
def test_thresholds_labels_and_scores_equal_those_of_one_process(tmp_path: Path) -> None:
    recipe = written(tmp_path, 3)
    before = recipe.read_text()
    recipe.write_text(before.replace("base: {train: advent, options: {discriminator_width: 4}}", SHARDED))
    assert recipe.read_text() != before
    process = started("acclimate", "run", str(recipe), "-o", str(tmp_path / "two/run"), "--processes", "2")
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    two = tmp_path / "two/.stages"
    trained = next(two.glob("train-*"))
    assert all(type(value) is Tensor for value in load_file(trained / "model.safetensors").values())
    assert json.loads((trained / "done.json").read_text())["processes"] == 2
    assert output.count("page: ") == 1, "one process alone tells and writes the result"
    # the same checkpoint, labelled and scored by one process
    shutil.copytree(trained, tmp_path / "one/.stages" / trained.name)
    loaded, origins = load_recipe(str(recipe))
    run(loaded, Run(output=tmp_path / "one/run"), origins=origins)
    labels, scores = next(two.glob("label-*")), next(two.glob("evaluate-*"))
    compared = 0
    for path in [*sorted(labels.glob("labels/*.png")), labels / "manifest.json", *sorted(scores.rglob("*.png"))]:
        assert (tmp_path / "one/.stages" / path.relative_to(two)).read_bytes() == path.read_bytes(), path
        compared += 1
    assert compared >= 8
    rows = [json.loads((tmp_path / place / "run/results.json").read_text())["rows"] for place in ("one", "two")]
    assert rows[0][0]["iou"] == rows[1][0]["iou"]


@pytest.mark.slow
def test_one_dying_stops_the_other(tmp_path: Path) -> None:
    process = torchrun(written(tmp_path, 100_000), tmp_path / "runs/a")
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list((tmp_path / "runs/.stages").glob("train-*/state-*.json")):
            assert process.poll() is None
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            pytest.skip("the processes' ids are read from /proc")
        workers = [int(pid) for pid in children.read_text().split()]
        assert len(workers) >= 2
        os.kill(workers[-1], 9)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "Signal 9" in output or "SIGKILL" in output
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    # and what was begun by two is not gone on with by one
    loaded, origins = load_recipe(str(tmp_path / "tiny.yaml"))
    with pytest.raises(UserError, match=r"2 processes began and 1 process would go on.*--processes 2"):
        run(loaded, Run(output=tmp_path / "runs/a"), origins=origins)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_samples_are_shared_out_without_overlap(world: int) -> None:
    """However many processes there are, together they see at each step what one would see."""
    dataset = open_dataset("scenes:render,images=12,size=64x32")
    transform = Transform(size=(64, 32), flip=True)

    def seen(rank: int, world: int) -> list[list[str]]:
        stream = batches(
            dataset, transform=transform, batch_size=6 // world, seed=1, steps=4, rank=rank, world_size=world
        )
        return [batch.names for batch in stream]

    shares = [seen(rank, world) for rank in range(world)]
    together = [[name for share in shares for name in share[step]] for step in range(4)]
    assert together == seen(0, 1)
    assert all(len(set(names)) == 6 for names in together)
    assert sorted(together[0] + together[1]) == sorted(dataset.names), "an epoch is every image once"
