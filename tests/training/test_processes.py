from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from two_processes import TAUGHT, gradients_of_a_step

from acclimate.errors import UserError
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.history import packed
from acclimate.training.resuming import resumed
from acclimate.translation.cyclegan import CycleGan
from acclimate.translation.settings import CycleGanOptions

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


@pytest.mark.parametrize("name", TAUGHT)
def test_teachers_stay_the_same_in_every_process(name: str, ranks: list[dict[str, Any]]) -> None:
    first, second = (result["taught"][name] for result in ranks)
    assert any(key.startswith("teacher.") for key in first["modules"])
    for key, value in first["modules"].items():
        assert torch.equal(value, second["modules"][key]), key
    assert not torch.equal(first["masked"], second["masked"]), "each process has images and masks of its own"


def test_processes_stop_and_save_together(ranks: list[dict[str, Any]]) -> None:
    for result in ranks:
        assert result["message"].startswith("stopped after step 3 of 50")
    assert ranks[0]["checkpoints"] == ["state-00000002.pt", "state-00000003.pt"]


def test_what_each_process_owns_reaches_all(ranks: list[dict[str, Any]]) -> None:
    for result in ranks:
        assert [state["rank"] for state in result["gathered"]] == [0, 1]
        for rank, state in enumerate(result["gathered"]):
            assert [picture.tolist() for picture in state["pictures"]] == [[rank, rank]] * (1 + 3 * rank)


def test_a_stopped_translation_goes_on_with_every_process_own_pool(ranks: list[dict[str, Any]]) -> None:
    for result in ranks:
        translation = result["translation"]
        assert translation["stopped"]
        assert translation["parts"]["begun at"] == 4
        assert len(translation["states"]) == 1
        whole, parts = translation["whole"], translation["parts"]
        for key, value in whole["weights"].items():
            assert torch.equal(value, parts["weights"][key]), key
        for look, pool in whole["pools"].items():
            assert torch.equal(pool, parts["pools"][look])
    first, second = (result["translation"]["whole"] for result in ranks)
    assert all(torch.equal(value, second["weights"][key]) for key, value in first["weights"].items())
    assert not any(torch.equal(pool, second["pools"][look]) for look, pool in first["pools"].items())


def test_a_state_that_lacks_what_each_process_owns_is_refused(tmp_path: Path) -> None:
    translator = CycleGan(CycleGanOptions(width=4, blocks=1, discriminator_width=4), learning_rate=0.01)
    checkpoints = Checkpoints(tmp_path)
    kept = {"seconds": 1.0, "images": 4, "processes": 1, "method": translator.method_state(), "history": packed([])}
    alone = Fabric(accelerator="cpu", devices=1)
    checkpoints.save(2, kept)
    with pytest.raises(UserError, match=r"another version of acclimate.*delete that folder"):
        resumed(translator, checkpoints, alone)
    checkpoints.save(2, {**kept, "own": [translator.process_state()], "processes": 2})
    with pytest.raises(UserError, match=r"2 processes began and 1 process would go on.*--nproc-per-node=2"):
        resumed(translator, checkpoints, alone)
    checkpoints.save(2, {**kept, "own": [translator.process_state()]})
    assert resumed(translator, checkpoints, alone).step == 2
