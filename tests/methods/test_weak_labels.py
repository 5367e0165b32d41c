"""Pseudo weak-labels in a method: whose labels are used, the joint loss, and the classifier that is handed on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy import CLASSES, ToyNetwork, batch, target_batch

from acclimate.errors import UserError
from acclimate.losses.image_labels import class_shares, image_label_loss, image_labels
from acclimate.methods import Setting, method_options
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.methods.weak_labels import WeakLabels
from acclimate.models.image_classifier import ImageClassifier
from acclimate.models.modules import load_modules, save_modules

SIZES = torch.tensor([0.3, 0.2, 0.9])


def make(setting: dict[str, object] | None = None, *, seed: int = 0, **options: object) -> WeakLabels:
    network = ToyNetwork()
    torch.manual_seed(seed)
    values = {"optimizer": OptimizerSettings(), "class_sizes": SIZES, **(setting or {})}
    return WeakLabels(network, options=method_options("pwl", dict(options)), setting=Setting(**values))  # type: ignore[arg-type]


def first_losses(method: WeakLabels) -> dict[str, tuple[torch.Tensor, float]]:
    return next(method.losses(batch(0), None, 0))


@pytest.mark.parametrize("labels", ["image", "crop"])
def test_the_joint_loss_by_hand(labels: str) -> None:
    source = batch(0)
    known = {name: torch.tensor([0.2, 0.0, 0.4]) for name in source.names}
    method = make({"class_shares": {"source": known}}, pwl_labels=labels, pwl_eta=0.5, pwl_weight=0.3)
    term = first_losses(method)["source image labels"]
    value, weight = term.value, term.weight
    assert weight == 0.3
    assert source.labels is not None
    shares = torch.stack(list(known.values())) if labels == "image" else class_shares(source.labels, CLASSES)
    wanted = image_labels(shares, SIZES, eta=0.5)
    if labels == "image":
        assert wanted.tolist() == [[1.0, 0.0, 0.0]] * len(source.names)  # 0.2 > 0.15; 0.4 < 0.45
    features = ToyNetwork()(source.images).features
    assert features is not None
    assert value.item() == pytest.approx(image_label_loss(method.classifier(features), wanted).item(), rel=1e-5)


def test_the_classifier_learns_at_the_networks_rate_and_schedule() -> None:
    method = make()
    groups = method.optimizers["network"].param_groups
    assert {id(p) for p in groups[-1]["params"]} == {id(p) for p in method.classifier.parameters()}
    assert all("initial_lr" in group for group in groups)
    assert groups[-1]["initial_lr"] == OptimizerSettings().learning_rate


def test_source_images_may_keep_every_class() -> None:
    shares = {"source": {name: torch.tensor([0.001, 0.0, 0.4]) for name in batch(0).names}}
    filtered, everything = (
        first_losses(make({"class_shares": shares}, pwl_source=rule))["source image labels"].value
        for rule in ("filtered", "all")
    )
    assert filtered.item() != everything.item()


def test_the_head_of_the_published_encoder() -> None:
    with torch.device("meta"):
        head = ImageClassifier(4096, 19)
    expected = 4096 * 2048 + 2048 + 9 * 2048 * 2048 + 2048 + 2048 * 512 + 512 + 512 * 19 + 19
    assert sum(parameter.numel() for parameter in head.parameters()) == expected


def test_the_classifier_goes_on_in_the_next_round(tmp_path: Path) -> None:
    first, second = make(seed=1), make(seed=2)
    save_modules(tmp_path / "modules.safetensors", first)
    before = second.classifier.reduce.weight.clone()
    load_modules(tmp_path / "modules.safetensors", second)
    for key, value in first.classifier.state_dict().items():
        assert torch.equal(second.classifier.state_dict()[key], value)
    assert not torch.equal(second.classifier.reduce.weight, before)
    load_modules(tmp_path / "absent.safetensors", second)
    (tmp_path / "modules.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="is damaged or of another program"):
        load_modules(tmp_path / "modules.safetensors", second)


def test_the_target_has_pixels_and_its_own_image_labels() -> None:
    """Eq. 7: cross-entropy on pseudo-labels plus lambda L_cl of them, by eta whatever the source keeps."""
    target = target_batch(0, labels=True)
    assert target.labels is not None
    # the second image's pseudo-label is void throughout: it says nothing of what the image holds
    known = dict(zip(target.names, torch.tensor([[0.2, 0.0, 0.4], [0.0, 0.0, 0.0]]), strict=True))
    method = make({"class_shares": {"target": known}}, pwl_eta=0.5, pwl_weight=0.3, pwl_source="all")
    terms = list(method.losses(batch(0), target, 0))[1]
    assert {name: term.weight for name, term in terms.items()} == {"pseudo-labels": 1.0, "target image labels": 0.3}
    output = ToyNetwork()(target.images)
    logits = method.classifier(output.features)[0]
    wanted = torch.tensor([1.0, 0.0, 0.0])  # 0.2 > 0.5 * 0.3; 0.4 < 0.5 * 0.9
    each = wanted * logits.sigmoid().log() + (1 - wanted) * (1 - logits.sigmoid()).log()
    assert terms["target image labels"].value.item() == pytest.approx(-each.mean().item(), rel=1e-5)
    size = target.labels.shape[1:]
    enlarged = torch.nn.functional.interpolate(output.logits, size=size, mode="bilinear", align_corners=True)
    expected = torch.nn.functional.cross_entropy(enlarged, target.labels, ignore_index=255)
    assert terms["pseudo-labels"].value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_classifier_written_out() -> None:
    torch.manual_seed(0)
    head, relu = ImageClassifier(64, 5), torch.relu
    features = torch.randn(2, 64, 4, 6)
    inner = relu(head.context(relu(head.reduce(features)))).flatten(2).mean(dim=2)
    torch.testing.assert_close(head(features), head.classes(relu(head.hidden(inner))))
    assert (head.reduce.out_channels, head.context.kernel_size, head.hidden.out_features) == (32, (3, 3), 16)
