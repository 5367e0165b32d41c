"""What every registered method must do; a new method is tested by existing."""

from __future__ import annotations

import io
import math

import pytest
import torch
from lightning_fabric import Fabric
from toy import ToyNetwork, batch, descend, gradients, make_method, target_batch

from acclimate.errors import UserError
from acclimate.losses import cross_entropy
from acclimate.methods import METHODS, AdaptingOptions, method_class, method_options
from acclimate.methods.fine_grained import FineGrained
from acclimate.methods.output_adversary import OutputAdversary
from acclimate.models.resize import upsample
from acclimate.training.loop import train_step

ADAPTING = [name for name, method in METHODS.items() if issubclass(method.Options, AdaptingOptions)]
ADVERSARIAL = [name for name, method in METHODS.items() if issubclass(method, OutputAdversary | FineGrained)]
LABELLING = [name for name, method in METHODS.items() if method.trains_on == "source"]
RESTYLING = {"fda"}
"""Methods that change the source's images before the network sees them."""
VIEWING = {"proda_distillation"}
"""Methods whose network sees a changed view of the target alone, with its pseudo-labels."""
TOGETHER = {"dise"}
"""Methods that make something of what the network says of both domains."""
every_method = pytest.mark.parametrize("name", METHODS)
both_levels = pytest.mark.parametrize("multi_level", [False, True])


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


@both_levels
@pytest.mark.parametrize("pseudo_labels", [False, True])
@every_method
def test_losses_are_finite_scalars_with_gradients(name: str, multi_level: bool, pseudo_labels: bool) -> None:
    options = {"class_prior_weight": 1.0, "class_prior_mu": 1.0} if name in ADAPTING else {}
    if name in LABELLING:
        options |= {"pseudo_label_auxiliary_weight": 0.1}
    method = make_method(name, ToyNetwork(multi_level=multi_level), **options)
    seen = 0
    for losses in method.losses(batch(0), target_batch(0, labels=pseudo_labels), 0):
        for term in losses.values():
            value, weight = term.value, term.weight
            seen += 1
            if term.role == "figure":
                assert not value.requires_grad
                assert weight == 0
                continue
            assert value.shape == ()
            assert value.dtype == torch.float32
            assert value.requires_grad
            assert math.isfinite(value.item())
            assert weight >= 0
        if losses:
            torch.stack([term.weight * term.value for term in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert seen > 0
    for key, parameter in method.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
            assert parameter.grad.abs().sum() > 0, key


@every_method
def test_only_methods_that_say_so_look_at_the_target(name: str) -> None:
    network = ToyNetwork()
    method = make_method(name, network)
    source, target = batch(0), target_batch(0)
    descend(method, source, target)
    networks = [module for module in method.modules() if isinstance(module, ToyNetwork)]  # a teacher's looks count
    looked = any(images is target.images for network in networks for images in network.calls)
    assert looked == (method_class(name).sees_target and name not in VIEWING)
    assert (network.calls[0] is source.images) == (name not in RESTYLING)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.sees_target])
def test_methods_that_do_not_look_at_the_target_need_none(name: str) -> None:
    with_target, without = make_method(name), make_method(name)
    descend(with_target, batch(0), target_batch(0))
    descend(without, batch(0), None)
    assert_same(with_target.state_dict(), without.state_dict())
    assert_same(gradients(with_target), gradients(without))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in TOGETHER])
def test_one_domain_is_alive_at_a_time(name: str, fabric: Fabric) -> None:
    """When the network is called again, the features of its earlier call have been let go."""
    network = ToyNetwork(multi_level=True)
    method = make_method(name, network)
    train_step(method, batch(0), target_batch(0), 0, fabric=fabric)
    assert network.alive_at_call == [0] * len(network.calls)


def test_adabn_is_source_only_with_other_statistics() -> None:
    adabn, source_only = make_method("adabn"), make_method("source_only")
    source, target = batch(0), target_batch(0)
    descend(adabn, source, target)
    descend(source_only, source, target)
    assert_same(gradients(adabn), gradients(source_only))
    ours, theirs = adabn.state_dict(), source_only.state_dict()
    different = {key for key in ours if not torch.equal(ours[key], theirs[key])}
    prefix = "network.norm."
    assert different == {f"{prefix}running_mean", f"{prefix}running_var", f"{prefix}num_batches_tracked"}
    # by hand: the running mean moves a tenth of the way, to the source first and then to the target
    with torch.no_grad():
        means = [
            source_only.network.stem(source_only.network.preprocessing(x.images)).mean(dim=(0, 2, 3))
            for x in (source, target)
        ]
    assert torch.allclose(ours[f"{prefix}running_mean"], 0.9 * 0.1 * means[0] + 0.1 * means[1], atol=1e-6)


@both_levels
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_each_player_is_trained_by_its_own_losses_alone(name: str, multi_level: bool) -> None:
    method = make_method(name, ToyNetwork(multi_level=multi_level))
    after: list[dict[str, torch.Tensor]] = []
    for losses in method.losses(batch(0), target_batch(0), 0):
        torch.stack([term.weight * term.value for term in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
        after.append(gradients(method))
    supervised, adversarial, discriminators = after
    of_network = set(supervised)
    assert not any(key.startswith("discriminators.") for key in adversarial)
    assert set(adversarial) == of_network
    assert any(not torch.equal(adversarial[key], supervised[key]) for key in of_network)
    assert_same({key: discriminators[key] for key in of_network}, adversarial)
    trained = {key for key in discriminators if key.startswith("discriminators.")}
    assert trained == {key for key, _ in method.named_parameters() if key.startswith("discriminators.")}
    assert {key.split(".")[1] for key in trained} == ({"main", "auxiliary"} if multi_level else {"main"})


@pytest.mark.parametrize("name", [name for name in LABELLING if name not in VIEWING])
def test_pseudo_labels_add_their_cross_entropy_to_any_method(name: str) -> None:
    options = {"pseudo_label_weight": 0.7, "pseudo_label_auxiliary_weight": 0.3}
    if name == "pwl":
        options["pwl_weight"] = 0.0  # pseudo-labels also make image-level labels there
    if name == "crst":
        options["regulariser_weight"] = 0.0
    if "temperature" in method_class(name).Options.model_fields:
        options["temperature"] = 1.0
    plain = make_method(name, ToyNetwork(multi_level=True), **options)
    labelled = make_method(name, ToyNetwork(multi_level=True), **options)
    target = target_batch(0, labels=True)
    assert target.labels is not None
    before = descend(plain, batch(0), target_batch(0))
    values = descend(labelled, batch(0), target)
    assert values == before | {key: values[key] for key in ("pseudo-labels", "auxiliary pseudo-labels")}

    alone = make_method(name, ToyNetwork(multi_level=True), **options).network
    output = alone(target.images)
    size = (target.labels.shape[1], target.labels.shape[2])
    main = cross_entropy(upsample(output.logits, size), target.labels)
    auxiliary = cross_entropy(upsample(output.levels["auxiliary"].logits, size), target.labels)
    assert values["pseudo-labels"] == main.item()
    assert values["auxiliary pseudo-labels"] == auxiliary.item()
    (0.7 * main + 0.3 * auxiliary).backward()  # type: ignore[no-untyped-call]
    without, total = gradients(plain), gradients(labelled)
    for key, parameter in alone.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(total[f"network.{key}"], without[f"network.{key}"] + parameter.grad, atol=1e-6), key


@pytest.mark.parametrize("name", LABELLING)
def test_void_pseudo_labels_change_nothing(name: str) -> None:
    plain, void = make_method(name), make_method(name)
    descend(plain, batch(0), target_batch(0))
    values = descend(void, batch(0), target_batch(0, labels=True, void=1.1))
    assert values["pseudo-labels"] == 0.0
    assert_same(gradients(void), gradients(plain))


@both_levels
@every_method
def test_a_restored_method_goes_on_as_if_nothing_had_happened(name: str, multi_level: bool, fabric: Fabric) -> None:
    method = make_method(name, ToyNetwork(multi_level=multi_level))
    for step in range(2):
        train_step(method, batch(step), target_batch(step), step, fabric=fabric)
    buffer = io.BytesIO()
    torch.save(method.method_state(), buffer)
    buffer.seek(0)
    # a stage that goes on builds its network from the same seed or start, which some methods keep to refer to
    seed = 0 if "labelling" in method.references else 9
    restored = make_method(name, ToyNetwork(multi_level=multi_level, seed=seed))
    restored.load_method_state(torch.load(buffer, weights_only=True))
    for step in range(2, 4):
        train_step(method, batch(step), target_batch(step), step, fabric=fabric)
        train_step(restored, batch(step), target_batch(step), step, fabric=fabric)
    assert_same(restored.state_dict(), method.state_dict())


@every_method
def test_every_trainable_parameter_belongs_to_one_optimizer(name: str) -> None:
    method = make_method(name, ToyNetwork(multi_level=True))
    held = [
        id(p) for optimizer in method.optimizers.values() for group in optimizer.param_groups for p in group["params"]
    ]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in method.parameters() if p.requires_grad}


def weights_of(name: str, *, multi_level: bool = True, **options: object) -> dict[str, float]:
    method = make_method(name, ToyNetwork(multi_level=multi_level), **options)
    target = target_batch(0, labels=True)
    return {key: term.weight for losses in method.losses(batch(0), target, 0) for key, term in losses.items()}


def test_published_weights() -> None:
    """AdaptSegNet and ADVENT: auxiliary cross-entropy 0.1, lambda 0.001 and 0.0002, discriminators in halves."""
    supervised = {"segmentation": 1.0, "auxiliary segmentation": 0.1}
    assert weights_of("minent") == supervised | {
        "entropy": 0.001,
        "auxiliary entropy": 0.0002,
        "pseudo-labels": 1.0,
    }
    for name in ADVERSARIAL:
        assert weights_of(name) == supervised | {
            "adversarial main": 0.001,
            "adversarial auxiliary": 0.0002,
            "pseudo-labels": 1.0,
            "discriminator main on source": 0.5,
            "discriminator auxiliary on source": 0.5,
            "discriminator main on target": 0.5,
            "discriminator auxiliary on target": 0.5,
        }


@pytest.mark.parametrize("name", ADAPTING)
def test_class_prior_is_left_out_by_default_and_weighted_otherwise(name: str) -> None:
    assert "class prior" not in weights_of(name)
    assert weights_of(name, class_prior_weight=0.25)["class prior"] == 0.25


def test_entropy_range_reaches_both_levels() -> None:
    plain = descend(make_method("minent", ToyNetwork(multi_level=True)), batch(0), target_batch(0))
    ranged = descend(make_method("minent", ToyNetwork(multi_level=True), entropy_range=0.3), batch(0), target_batch(0))
    for key in ("entropy", "auxiliary entropy"):
        assert ranged[key] > plain[key]


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown method 'advnt'; did you mean 'advent'"):
        method_class("advnt")


def test_unknown_and_impossible_options_are_all_told() -> None:
    with pytest.raises(UserError) as caught:
        method_options("advent", {"adversarial_wieght": 0.1, "class_prior_mu": 2.0, "adversarial_loss": "wasserstein"})
    message = str(caught.value)
    assert "method advent: unknown key 'adversarial_wieght'; did you mean 'adversarial_weight'?" in message
    assert "class_prior_mu must be less than or equal to 1 (got 2.0)" in message
    assert "adversarial_loss must be 'vanilla' or 'least-squares' (got 'wasserstein')" in message
    assert "'wasserstein'" in message


def test_options_belong_to_their_method() -> None:
    with pytest.raises(UserError, match="method source_only: unknown key 'entropy_weight'"):
        method_options("source_only", {"entropy_weight": 0.1})
    with pytest.raises(UserError, match="entropy_range"):
        method_options("minent", {"entropy_range": 0.0})


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key
