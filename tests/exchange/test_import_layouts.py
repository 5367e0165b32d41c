"""Every published layout: a checkpoint written from key and shape facts imports and gives the authors' logits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import authors
import pytest
import torch
from torch import Tensor

from acclimate.exchange.importing import Imported, import_weights
from acclimate.models import NetworkConfig, Output, build_network, load_network

IMAGES = torch.rand(1, 3, 52, 76, generator=torch.Generator().manual_seed(0))
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def body() -> authors.State:
    torch.manual_seed(1)
    return authors.resnet_state()


@pytest.fixture(scope="module")
def caffe_body(body: authors.State) -> authors.State:
    """The same, fit for pixels up to 255."""
    return {**body, "conv1.weight": body["conv1.weight"] / 60}


@pytest.fixture(scope="module")
def caffe_features(caffe_body: authors.State) -> tuple[Tensor, Tensor]:
    return authors.caffe_features(caffe_body, authors.caffe_pixels(IMAGES))


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    source, output = tmp_path / "theirs.pth", tmp_path / "model.safetensors"
    yield source, output
    for path in (source, output):
        path.unlink(missing_ok=True)


def imported(content: object, files: tuple[Path, Path], *, old: bool = False, **options: object) -> Imported:
    source, output = files
    torch.save(content, source, _use_new_zipfile_serialization=not old)
    return import_weights(source, output, **options)  # type: ignore[arg-type]


def ours(files: tuple[Path, Path]) -> Output:
    network, _ = load_network(files[1])
    with torch.no_grad():
        return network(IMAGES)


def same(found: Tensor | None, expected: Tensor) -> None:
    assert 0.01 < expected.std() < 100  # neither dead nor exploded
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("written_by", "layout", "live"),
    [("adaptsegnet", "auto", 2), ("advent", "advent", 4)],
)
def test_multi_level(
    caffe_body: authors.State,
    caffe_features: tuple[Tensor, Tensor],
    files: tuple[Path, Path],
    written_by: str,
    layout: str,
    live: int,
) -> None:
    auxiliary = authors.head_state("layer5.", 1024, 19, live=live)
    main = authors.head_state("layer6.", 2048, 19, live=live)
    result = imported({**caffe_body, **auxiliary, **main}, files, old=written_by == "adaptsegnet", layout=layout)
    assert result.card is not None
    config = result.card.network
    assert (config.name, config.options.multi_level, config.options.branches) == ("deeplab-v2-resnet101", True, live)
    assert (config.options.preprocessing, config.options.batch_norm) == ("caffe", "published")
    assert (result.card.class_space, result.card.input_size) == ("cityscapes-19", (1024, 512))
    middle, last = caffe_features
    output = ours(files)
    same(output.logits, authors.head(main, "layer6.", last, live=live))
    same(output.levels["auxiliary"].logits, authors.head(auxiliary, "layer5.", middle, live=live))


def test_single_level_of_adaptsegnet_and_bdl(
    caffe_body: authors.State, caffe_features: tuple[Tensor, Tensor], files: tuple[Path, Path]
) -> None:
    state = authors.head_state("layer5.", 2048, 16, live=2)
    parallel = {f"module.{key}": value for key, value in {**caffe_body, **state}.items()}
    result = imported(parallel, files, layout="bdl")
    assert result.card is not None
    assert (result.card.network.options.multi_level, result.card.network.options.branches) == (False, 2)
    assert result.card.class_space == "cityscapes-16"
    output = ours(files)
    assert list(output.levels) == ["main"]
    same(output.logits, authors.head(state, "layer5.", caffe_features[1], live=2))


def test_adaptsegnets_vgg(files: tuple[Path, Path]) -> None:
    torch.manual_seed(2)
    state = authors.vgg_state("features.")
    state["features.0.weight"] /= 60
    state |= authors.head_state("classifier.", 1024, 19, live=2)
    result = imported(state, files)
    assert result.card is not None
    assert (result.card.network.options.branches, result.card.network.options.preprocessing) == (2, "caffe")
    expected = authors.head(
        state, "classifier.", authors.vgg_features(state, "features.", authors.caffe_pixels(IMAGES)), live=2
    )
    same(ours(files).logits, expected)


@pytest.mark.parametrize("frozen", [True, False])
def test_fadas_resnet(body: authors.State, files: tuple[Path, Path], frozen: bool) -> None:
    """Frozen batch norm adds no epsilon to the variance; small variances show it."""
    state = dict(body)
    for key in body:
        if key.endswith("running_var"):
            state[key] = body[key] * 1e-3
        elif f"{key.removesuffix('weight')}running_var" in body:
            state[key] = body[key] * 0.03
    features = {f"module.backbone.{key}": value for key, value in state.items()}
    if not frozen:
        features |= {
            key.replace("running_var", "num_batches_tracked"): torch.tensor(7)
            for key in list(features)
            if key.endswith("running_var")
        }
    head = authors.head_state("", 2048, 19, live=4)
    content = {
        "iteration": 40000,
        "feature_extractor": features,
        "classifier": head,
        "model_D": {"D.0.weight": torch.zeros(2, 2)},
        "optimizer_fea": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 2.5e-4}]},
    }
    result = imported(content, files)
    assert result.card is not None
    config = result.card.network
    assert (config.name, config.options.backbone, config.options.preprocessing) == (
        "deeplab-v2",
        "torchvision/resnet101",
        "imagenet",
    )
    assert (config.options.batch_norm, config.options.batch_norm_epsilon) == (
        ("frozen", 0.0) if frozen else ("trained", None)
    )
    pixels = authors.imagenet_pixels(IMAGES)
    expected = {
        epsilon: authors.head(head, "", authors.fada_features(state, pixels, epsilon=epsilon), live=4)
        for epsilon in (0.0, 1e-5)
    }
    right, wrong = (expected[0.0], expected[1e-5]) if frozen else (expected[1e-5], expected[0.0])
    output = ours(files)
    assert output.logits.shape == (1, 19, 7, 10)
    same(output.logits, right)
    assert (output.logits - wrong).abs().max() > 100 * TOLERANCE


def test_fadas_vgg(files: tuple[Path, Path]) -> None:
    torch.manual_seed(3)
    state = authors.vgg_state("backbone.")
    state["backbone.0.weight"] /= 60
    head = authors.head_state("", 1024, 19, live=4)
    result = imported({"feature_extractor": state, "classifier": head, "iteration": 1}, files, layout="fada")
    assert result.card is not None
    assert (result.card.network.options.preprocessing, result.card.network.options.branches) == ("caffe-vgg", 4)
    pixels = authors.caffe_pixels(IMAGES, mean=(103.939, 116.779, 123.68))
    expected = authors.head(head, "", authors.vgg_features(state, "backbone.", pixels), live=4)
    same(ours(files).logits, expected)


def test_initial_weights_start_a_network(
    caffe_body: authors.State, caffe_features: tuple[Tensor, Tensor], files: tuple[Path, Path]
) -> None:
    state = {**caffe_body, **authors.head_state("layer5.", 2048, 21, live=4)}
    result = imported({f"Scale.{key}": value for key, value in state.items()}, files)
    assert result.card is None
    assert "deeplab-v2-resnet101" in result.summary()
    config = NetworkConfig(name="deeplab-v2-resnet101", multi_level=True, weights=str(files[1]))
    network = build_network(config, 7).eval()
    assert network.config.options.preprocessing == "caffe"
    with torch.no_grad():
        output = network(IMAGES)
    for found, expected in zip((output.levels["auxiliary"].features, output.features), caffe_features, strict=True):
        same(found, expected)


def test_initial_weights_of_vgg(files: tuple[Path, Path]) -> None:
    """Caffe's VGG-16 counts its poolings; its classifier is not needed."""
    ours_to_theirs = dict(zip((23, 25, 27), (24, 26, 28), strict=True))
    state = {key: value for key, value in authors.vgg_state("").items() if not key.startswith(("29.", "31."))}
    theirs = {}
    for key, value in state.items():
        index, kind = key.split(".")
        theirs[f"features.{ours_to_theirs.get(int(index), int(index))}.{kind}"] = value
    imported({**theirs, "classifier.0.weight": torch.zeros(2, 2)}, files)
    config = NetworkConfig(name="deeplab-v2-vgg16", weights=str(files[1]), preprocessing="caffe-vgg")
    network = build_network(config, 19)
    for key, value in state.items():
        assert torch.equal(network.state_dict()[f"features.{key}"], value)
