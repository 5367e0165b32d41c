from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from acclimate.errors import UserError
from acclimate.models import NetworkConfig, build_network
from acclimate.models.backbones import build_backbone

MOBILENET = Path(__file__).parents[2] / "../shared/data/weights/mobilenet_v2_imagenet_features.safetensors"
BACKBONES = ["torchvision/resnet18", "torchvision/mobilenet_v2", "timm/resnet18", "timm/mobilenetv3_small_100"]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
def test_dilation_keeps_the_features_at_the_old_positions(name: str, output_stride: int) -> None:
    """Sampled at stride 32, the dilated network's features are those of the classification network."""
    torch.manual_seed(0)
    backbone = build_backbone(f"torchvision/{name}", output_stride=output_stride, weights=None).double().eval()
    original = torchvision.models.get_model(name).double().eval()
    original.load_state_dict(backbone.state_dict(), strict=False)
    images = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    dense = backbone(images)[-1]
    if name == "mobilenet_v2":
        expected = original.features(images)
    else:
        expected = images
        for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            expected = getattr(original, part)(expected)
    step = 32 // output_stride
    assert dense.shape[-2:] == (64 // output_stride, 96 // output_stride)
    assert expected.abs().max() > 0
    torch.testing.assert_close(dense[:, :, ::step, ::step], expected)


def test_resnet_dilations_are_torchvisions_own() -> None:
    ours = build_backbone("torchvision/resnet50", output_stride=8, weights=None)
    theirs = torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])
    expected = {
        n: (m.stride, m.dilation, m.padding) for n, m in theirs.named_modules() if isinstance(m, torch.nn.Conv2d)
    }
    found = {n: (m.stride, m.dilation, m.padding) for n, m in ours.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert found == expected


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("head", ["aspp", "small-aspp"])
def test_any_backbone_gives_two_levels_at_the_stride(backbone: str, output_stride: int, head: str) -> None:
    options = {"backbone": backbone, "output_stride": output_stride, "head": head, "multi_level": True}
    with torch.device("meta"):
        network = build_network(NetworkConfig.parse({"name": "deeplab-v2", **options}), 7).eval()
        output = network(torch.zeros(2, 3, 64, 128))
    size = (64 // output_stride, 128 // output_stride)
    assert network.stride == output_stride
    assert output.logits.shape == output.levels["auxiliary"].logits.shape == (2, 7, *size)
    assert output.features.shape == (2, network.backbone.channels[-1], *size)
    assert output.levels["auxiliary"].features.shape == (2, network.backbone.channels[-2], *size)
    assert network.config.options.rates == ((6, 12, 18, 24) if output_stride == 8 else (3, 6, 9, 12))


def test_mobilenets_middle_features_are_those_before_its_last_stride() -> None:
    backbone = build_backbone("torchvision/mobilenet_v2", output_stride=16, weights=None)
    assert backbone.channels == [16, 24, 32, 96, 1280]
    assert backbone.strides == [2, 4, 8, 16, 16]


@pytest.mark.skipif(not MOBILENET.is_file(), reason="the ImageNet weights of MobileNetV2 are not on this machine")
def test_imagenet_weights_from_a_local_file() -> None:
    config = NetworkConfig(name="deeplab-v2", backbone="torchvision/mobilenet_v2", weights=str(MOBILENET))
    network = build_network(config, 5)
    state = network.backbone.state_dict()  # type: ignore[union-attr]
    tensors = load_file(MOBILENET)
    assert set(state) == set(tensors)
    assert all(torch.equal(state[key], tensor) for key, tensor in tensors.items())


def test_weights_of_another_backbone_name_keys_and_file(tmp_path: Path) -> None:
    file = tmp_path / "resnet18.safetensors"
    save_file(torchvision.models.resnet18().state_dict(), file)
    with pytest.raises(UserError, match=r"resnet18\.safetensors .*missing keys: features\..*unexpected keys: bn1\."):
        build_backbone("torchvision/mobilenet_v2", output_stride=8, weights=str(file))
    with pytest.raises(UserError, match=r"missing keys: layer1\.0\.conv3\.weight"):
        build_backbone("torchvision/resnet50", output_stride=8, weights=str(file))


def test_a_full_classification_checkpoint_is_accepted_without_its_classifier(tmp_path: Path) -> None:
    file = tmp_path / "resnet18.safetensors"
    full = torchvision.models.resnet18().state_dict()
    save_file({key: value for key, value in full.items() if not key.endswith("num_batches_tracked")}, file)
    for name in ("torchvision/resnet18", "timm/resnet18"):
        backbone = build_backbone(name, output_stride=8, weights=str(file))
        state = {key.removeprefix("model."): value for key, value in backbone.state_dict().items()}
        assert torch.equal(state["layer4.1.conv2.weight"], full["layer4.1.conv2.weight"])


@pytest.mark.parametrize("content", [None, b"", b"\x80\x02}q\x00."])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "weights.pth"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.pth.*safetensors"):
        build_backbone("torchvision/resnet18", output_stride=8, weights=str(file))


def test_imagenet_weights_without_a_network_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", offline)
    with pytest.raises(UserError, match=r"ImageNet weights of torchvision/resnet18.*local safetensors file"):
        build_backbone("torchvision/resnet18", output_stride=8, weights="imagenet")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision/resnet19", "did you mean 'torchvision/resnet1"),
        ("timm/resnet1888", "unknown timm model 'resnet1888'; did you mean 'resnet18"),
        ("resnet18", "neither 'torchvision/NAME' nor 'timm/NAME'"),
        ("timm/vit_tiny_patch16_224", "cannot give feature maps at output stride 8"),
    ],
)
def test_backbones_that_cannot_be(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone(name, output_stride=8, weights=None)
