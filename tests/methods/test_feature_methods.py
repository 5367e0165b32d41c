"""DAFormer's and VFM-UDA++'s feature distances within a step, against loops in float64."""

from __future__ import annotations

import math

import pytest
import torch
from lightning_fabric import Fabric
from test_dacs import batches
from torch import Tensor
from toy import ToyNetwork, batch, gradients, make_method

from acclimate.errors import UserError
from acclimate.methods import Method
from acclimate.methods.daformer import ids_of_things
from acclimate.methods.vfm_uda import VfmUda
from acclimate.models.network import SegmentationNetwork
from acclimate.training.loop import train_step


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="64-true")


def stepped(fabric: Fabric, name: str, **options: object) -> tuple[Method, dict[str, float]]:
    method = make_method(name, ToyNetwork().double(), strong=None, **options).double()
    terms = train_step(method, *batches(0), 0, fabric=fabric)
    return method, {key: term.value.item() for key, term in terms.items()}


def added(ours: Method, without: Method) -> dict[str, Tensor]:
    """What an additional term added to the network's gradients."""
    before = gradients(without)
    return {key: value - before[key] for key, value in gradients(ours).items() if key.startswith("network.")}


def test_the_distance_of_things_equals_a_loop_over_cells(fabric: Fabric) -> None:
    method, values = stepped(fabric, "daformer", feature_distance={"weight": 0.5, "share": 0.6})
    without, plain = stepped(fabric, "daformer", feature_distance=None)
    assert {key: value for key, value in values.items() if key != "feature distance"} == pytest.approx(plain)

    network, reference = ToyNetwork().double(), ToyNetwork(seed=5).double().eval()
    source, _ = batches(0)
    assert source.labels is not None
    features, initial = network(source.images).features, reference(source.images).features
    kept = []
    for image in range(2):
        for row in range(features.shape[2]):
            for column in range(features.shape[3]):
                cell = source.labels[image, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].flatten().tolist()
                if any(cell.count(thing) / 16 >= 0.6 for thing in (1, 2)):  # person and car; 0 is road
                    squares = (features[image, :, row, column] - initial[image, :, row, column]).square()
                    kept.append(squares.sum().sqrt())
    assert 10 < len(kept) < features.shape[0] * features.shape[2] * features.shape[3]
    expected = sum(kept) / len(kept)
    assert values["feature distance"] == pytest.approx(expected.item(), rel=1e-9)
    (0.5 * expected).backward()
    for key, gradient in added(method, without).items():
        own = dict(network.named_parameters())[key.removeprefix("network.")].grad
        torch.testing.assert_close(gradient, torch.zeros_like(gradient) if own is None else own, rtol=1e-8, atol=1e-12)


def test_things_are_known_by_name_or_named() -> None:
    assert ids_of_things(["sky", "car", "tree", "pedestrian"], None) == (1, 3)
    assert ids_of_things(["sky", "car", "tree"], ["tree"]) == (2,)
    with pytest.raises(UserError, match=r"unknown class in feature_distance.things 'trea'; did you mean 'tree'"):
        ids_of_things(["sky", "tree"], ["trea"])


@pytest.mark.parametrize("name", ["daformer", "vfm_uda"])
def test_the_initial_network_is_in_no_state(name: str) -> None:
    options = {"vfm_uda": {"feature_alignment": {}}}.get(name, {})
    method = make_method(name, **options)
    initial = method.references["initial"]
    assert isinstance(initial, SegmentationNetwork)
    assert not any("initial" in key for key in method.method_state()["modules"])
    before = {key: value.clone() for key, value in initial.state_dict().items()}
    fabric = Fabric(accelerator="cpu", devices=1)
    train_step(method, batch(0), batch(9, labels=False), 0, fabric=fabric)
    assert all(torch.equal(value, before[key]) for key, value in initial.state_dict().items())


def test_the_alignment_of_both_domains_equals_a_loop(fabric: Fabric) -> None:
    method, values = stepped(fabric, "vfm_uda", masked_consistency=None, feature_alignment={"weight": 0.5})
    assert {group["lr"] for group in method.optimizers["network"].param_groups} == {0.01, 0.1}
    fresh = make_method("vfm_uda", ToyNetwork().double(), feature_alignment={}).double()
    assert isinstance(fresh, VfmUda)
    projection = fresh.projection
    assert projection is not None
    network, reference = ToyNetwork().double(), ToyNetwork(seed=5).double().eval()
    source, target = batches(0)
    for domain, images in (("source", source.images), ("target", target.images)):
        network.train()
        features, initial = network(images).features, reference(images).features.detach()
        inner = torch.nn.functional.conv2d(features, projection[0].weight, projection[0].bias).permute(0, 2, 3, 1)
        centred = inner - inner.mean(dim=-1, keepdim=True)
        normed = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        active = normed * 0.5 * (1 + torch.erf(normed / math.sqrt(2)))
        last = projection[3].weight[:, :, 0, 0]
        projected = active @ last.T + projection[3].bias
        total = 0.0
        for image in range(2):
            for row in range(initial.shape[2]):
                for column in range(initial.shape[3]):
                    a, b = projected[image, row, column], initial[image, :, row, column]
                    gaps = (a - b).abs()
                    smooth = torch.where(gaps < 1, 0.5 * gaps.square(), gaps - 0.5).mean()
                    cosine = (a @ b) / (a.norm() * b.norm())
                    total += (0.1 * smooth + 0.9 * (1 - cosine)).item()
        count = initial.shape[0] * initial.shape[2] * initial.shape[3]
        assert values[f"{domain} feature alignment"] == pytest.approx(total / count, rel=1e-6), domain


def test_published_settings() -> None:
    daformer, vfm = make_method("daformer").options, make_method("vfm_uda").options
    assert daformer.teacher.decay == vfm.teacher.decay == 0.999  # type: ignore[attr-defined]
    assert daformer.teacher.threshold == vfm.teacher.threshold == 0.968  # type: ignore[attr-defined]
    assert not daformer.teacher.flip  # type: ignore[attr-defined]
    assert vfm.teacher.flip  # type: ignore[attr-defined]
    assert vfm.teacher.margins.model_dump() == {"top": 3, "bottom": 25, "left": 3, "right": 3}  # type: ignore[attr-defined]
    assert vfm.masked_consistency.model_dump(exclude={"strong"}) == {  # type: ignore[attr-defined]
        "weight": 1.0,
        "ratio": 0.7,
        "block": 6.25,
    }
    assert daformer.feature_distance.model_dump() == {  # type: ignore[attr-defined]
        "weight": 0.005,
        "share": 0.75,
        "things": None,
    }
