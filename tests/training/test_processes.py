from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from two_processes import gradients_of_a_step

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two real processes, talking over gloo, found."""
    folder = tmp_path_factory.mktemp("two-processes")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(SCRIPT)]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_gradients_are_those_of_the_whole_batch(ranks: list[dict[str, Any]]) -> None:
    alone = gradients_of_a_step(0, 1, Fabric(accelerator="cpu", devices=1, precision="64-true"))
    assert any(key.startswith("discriminators.") for key in alone)
    for result in ranks:
        assert result["world"] == 2
        assert result["gradients"].keys() == alone.keys()
        for key, gradient in alone.items():
            assert torch.allclose(result["gradients"][key], gradient, rtol=1e-9, atol=1e-12), key


def test_processes_stop_and_save_together(ranks: list[dict[str, Any]]) -> None:
    for result in ranks:
        assert result["message"].startswith("stopped after step 3 of 50")
    assert ranks[0]["checkpoints"] == ["state-00000002.pt", "state-00000003.pt"]
