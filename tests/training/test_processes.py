from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from toy import ToyNetwork, make_method
from two_processes import EXCHANGED, TAUGHT, gradients_of_a_step, with_shared_batch_norm

from acclimate.errors import UserError
from acclimate.models.shared_batch_norm import share_batch_norm
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.history import packed
from acclimate.training.resuming import ensure_processes_fit, resumed
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


@pytest.mark.parametrize("name", EXCHANGED)
def test_gradients_sent_in_buckets_are_those_exchanged_at_the_end(name: str, ranks: list[dict[str, Any]]) -> None:
    for result in ranks:
        plain, sent = (result["exchanged"][name, in_buckets] for in_buckets in (False, True))
        for key, value in plain["modules"].items():
            assert torch.equal(value, sent["modules"][key]), key
        assert sent["whole"] == {"pycda": 2, "adda": 3}.get(name, 1), "the rounds of the first step alone"
        assert sent["buckets"] >= 3 * 2
        assert sent["early"] > 0.5 * sent["buckets"], "during the backward passes"


def test_steps_unlike_the_first_have_the_same_mean(ranks: list[dict[str, Any]]) -> None:
    """By hand: 1 - (mean gradient + 0.5), and no decay either where nobody has a gradient."""
    for result in ranks:
        found = result["surprised"]
        assert found["a"] == [-2.0, -27.0, -2.0, -2.0, -2.0]
        # at step 2 one process alone has a gradient, 2 of 2 processes: a mean of 1; at step 3 none has
        assert found["b"] == [-2.0, -2.0, -0.5, 1.0, -2.0]
        assert found["whole"] == [1, 2, 2, 2, 2]


def test_shared_batch_norm_is_that_of_the_whole_batch(ranks: list[dict[str, Any]]) -> None:
    alone = with_shared_batch_norm(None)
    assert any("norm.weight" in key for key in alone)
    assert any("running_var moved" in key for key in alone)
    for result in ranks:
        assert result["shared batch norm"].keys() == alone.keys()
        for key, value in alone.items():
            assert torch.allclose(result["shared batch norm"][key].double(), value.double(), rtol=1e-6, atol=1e-9), key


@pytest.mark.parametrize("name", ["source_only", "dacs"])
def test_parts_of_parameters_learn_what_whole_ones_do(name: str, ranks: list[dict[str, Any]]) -> None:
    first, second = (result["parts"][name] for result in ranks)
    whole, parts = first["whole"], first["parts"]
    for result in (first, second):
        assert result["parts"]["losses"] == pytest.approx(result["whole"]["losses"], rel=1e-8)
        # a token and the biases of two channels or three cannot be halved
        assert result["parts"]["held"] <= 0.55 * result["whole"]["held"]
    assert parts["state"].keys() == whole["state"].keys()
    for key, value in whole["state"]["modules"].items():
        assert torch.allclose(parts["state"]["modules"][key], value, rtol=1e-6, atol=1e-9), key
    ours, theirs = (each["state"]["optimizers"]["network"]["state"] for each in (parts, whole))
    assert ours.keys() == theirs.keys()
    for number, moments in theirs.items():
        assert ours[number].keys() == moments.keys()
        assert all(type(ours[number][key]) is type(value) for key, value in moments.items())
        assert all(ours[number][key].shape == value.shape for key, value in moments.items())
    network = {key.removeprefix("network."): value for key, value in parts["state"]["modules"].items()}
    for key, value in parts["saved"].items():
        assert torch.equal(value, network[key]), key


@pytest.mark.parametrize("name", ["source_only", "dacs"])
@pytest.mark.parametrize("how", ["two sittings", "activations made again"])
def test_parts_of_parameters_go_on_exactly(name: str, how: str, ranks: list[dict[str, Any]]) -> None:
    for result in ranks:
        parts, again = (result["parts"][name][key] for key in ("parts", how))
        assert again["losses"] == parts["losses"]
        for key, value in parts["state"]["modules"].items():
            assert torch.equal(again["state"]["modules"][key], value), key


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
    with pytest.raises(UserError, match=r"2 processes began and 1 process would go on.*--processes 2"):
        resumed(translator, checkpoints, alone)
    checkpoints.save(2, {**kept, "own": [translator.process_state()]})
    assert resumed(translator, checkpoints, alone).step == 2


def test_another_number_of_processes_goes_on_where_no_batch_norm_looks_at_its_own_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fit(method: Any, before: int, now: int) -> None:
        ensure_processes_fit(method.train(), before, now, tmp_path)

    alone = make_method("source_only", ToyNetwork(batch_norm="trained"))
    fit(alone, 2, 2)
    with pytest.raises(UserError, match=r"1 process began and 4 processes would go on.*sync_batch_norm"):
        fit(alone, 1, 4)
    assert not caplog.text
    for method in (make_method("source_only", ToyNetwork(batch_norm="frozen")), alone):
        share_batch_norm(method)
        fit(method, 2, 1)
    assert caplog.text.count("2 processes began this training and 1 process goes on with it") == 2


def test_shared_batch_norm_is_ordinary_in_one_process() -> None:
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    shared = deepcopy(plain)
    share_batch_norm(shared)
    assert shared.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(2, 3, 5, 5)
    for mode in (True, False):
        assert torch.equal(shared.train(mode)(images), plain.train(mode)(images))
    assert torch.equal(shared[1].running_var, plain[1].running_var)

    class WithActivation(torch.nn.BatchNorm2d):
        pass

    with pytest.raises(UserError, match="WithActivation"):
        share_batch_norm(torch.nn.Sequential(WithActivation(3)))
