"""Backbones of timm: their maps, their weights from a file, and how deep their parameters lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from acclimate.errors import UserError
from acclimate.models.backbones import build_backbone

DINOV2 = Path(__file__).parents[2] / "../shared/data/weights/dinov2_vits14_fp16.safetensors"
HIERARCHICAL = (
    "pvt_v2_b0",
    "swin_tiny_patch4_window7_224",
    "convnext_atto",
    "mobilenetv4_conv_small",
    "efficientnet_b0",
)
PLAIN = ("vit_tiny_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch16_dinov3", "eva02_tiny_patch14_224")


@pytest.mark.parametrize("name", [*HIERARCHICAL, *PLAIN])
def test_maps_have_the_channels_and_strides_that_are_declared(name: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(f"timm/{name}", output_stride=None, weights=None)
        side = max(backbone.strides)
        maps = backbone(torch.zeros(2, 3, 3 * side, 5 * side))
    expected = [
        (2, channels, 3 * side // stride, 5 * side // stride)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    assert [tuple(features.shape) for features in maps] == expected
    if name in PLAIN:
        assert len(set(backbone.strides)) == 1
        assert len(maps) == 4
    else:
        assert backbone.strides[-4:] == [4, 8, 16, 32]


@pytest.mark.parametrize(
    ("name", "published", "left_out"),
    [
        # left out: the classifier, and the norm before it where maps are taken earlier
        ("convnext_tiny", 28_589_128, 769_000 + 2 * 768),
        ("swin_tiny_patch4_window7_224", 28_288_354, 769_000 + 2 * 768),
        ("pvt_v2_b2", 25_362_856, 513_000),
        ("vit_tiny_patch16_224", 5_717_416, 193_000),
        ("vit_small_patch14_dinov2", 22_056_576, 384),  # the mask token, which timm does not have
        ("vit_base_patch14_dinov2", 86_580_480, 768),
        ("vit_large_patch14_dinov2", 304_368_640, 1024),
    ],
)
def test_published_parameter_counts(name: str, published: int, left_out: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone(f"timm/{name}", output_stride=None, weights=None)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == published - left_out


def test_a_transformers_maps_are_its_blocks_with_positions_of_the_images_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    square = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    torch.nn.init.normal_(square.pos_embed)
    save_file(square.state_dict(), tmp_path / "vit.safetensors")
    backbone = build_backbone(
        "timm/vit_tiny_patch16_224", output_stride=None, weights=str(tmp_path / "vit.safetensors")
    )
    # timm's own way: positions interpolated once, for a model of another size
    oblong = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=(48, 80))
    grid = square.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (14, 14))
    grid = torch.nn.functional.interpolate(grid, size=(3, 5), mode="bicubic", antialias=True)
    positions = torch.cat([square.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
    oblong.load_state_dict({**square.state_dict(), "pos_embed": positions})
    images = torch.randn(1, 3, 48, 80)
    tokens = {}
    for number in (2, 5, 8, 11):
        oblong.blocks[number].register_forward_hook(lambda _, __, out, number=number: tokens.update({number: out}))
    with torch.no_grad():
        maps = backbone.eval()(images)
        oblong.eval()(images)
    for number, features in zip((2, 5, 8, 11), maps, strict=True):
        expected = oblong.norm(tokens[number])[:, 1:].transpose(1, 2).unflatten(2, (3, 5))
        torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)


def test_half_precision_and_positions_of_another_size_are_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = timm.create_model("vit_tiny_patch16_224", img_size=96)
    with torch.no_grad():
        small.pos_embed.copy_(torch.arange(192.0).expand_as(small.pos_embed) / 8)  # the same everywhere
    save_file({key: value.half() for key, value in small.state_dict().items()}, tmp_path / "half.safetensors")
    name, file = "timm/vit_tiny_patch16_224", str(tmp_path / "half.safetensors")
    state = build_backbone(name, output_stride=None, weights=file).state_dict()
    assert {value.dtype for value in state.values()} == {torch.float32}
    assert torch.equal(state["model.blocks.3.attn.qkv.weight"], small.blocks[3].attn.qkv.weight.half().float())
    assert state["model.pos_embed"].shape == (1, 14 * 14 + 1, 192)
    torch.testing.assert_close(state["model.pos_embed"], (torch.arange(192.0) / 8).expand(1, 197, 192))


@pytest.mark.parametrize("name", ["convnext_atto", "pvt_v2_b0", "mobilenetv4_conv_small"])
def test_stages_take_weights_under_timms_names_for_the_whole_model(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = timm.create_model(name).eval()
    save_file({key: value.contiguous() for key, value in whole.state_dict().items()}, tmp_path / "weights.safetensors")
    file = str(tmp_path / "weights.safetensors")
    backbone = build_backbone(f"timm/{name}", output_stride=None, weights=file).eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        last = backbone(images)[-1]
        _, intermediates = whole.forward_intermediates(images)
    torch.testing.assert_close(last, intermediates[-1])


@pytest.mark.skipif(not DINOV2.is_file(), reason="the weights of DINOv2 are not on this machine")
def test_dinov2_from_a_local_file_in_half_precision() -> None:
    backbone = build_backbone("timm/vit_small_patch14_dinov2", output_stride=None, weights=str(DINOV2)).eval()
    tensors = load_file(DINOV2)
    state = {key.removeprefix("model."): value for key, value in backbone.state_dict().items()}
    assert set(state) == set(tensors)
    assert all(torch.equal(state[key], tensor.float()) for key, tensor in tensors.items())
    # a picture of two halves: patches are more like those of their own half
    images = torch.zeros(1, 3, 56, 112)
    images[..., 56:] = torch.randn(3, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = torch.nn.functional.normalize(backbone(images)[-1][0], dim=0)
    likeness = torch.einsum("dhw,dij->hwij", features, features)
    assert likeness[:, :4, :, :4].mean() > likeness[:, :4, :, 4:].mean() + 0.2


def test_weights_of_another_model_name_the_keys(tmp_path: Path) -> None:
    save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), tmp_path / "vit.safetensors")
    with pytest.raises(UserError, match=r"vit\.safetensors .*missing keys: .*unexpected keys: "):
        build_backbone("timm/pvt_v2_b0", output_stride=None, weights=str(tmp_path / "vit.safetensors"))


@pytest.mark.parametrize(
    ("name", "stride", "message"),
    [
        ("beit_base_patch16_224", None, "cannot look at images of 48x80 pixels.*made for one size"),
        ("vit_tiny_patch16_224", 8, "cannot give feature maps at output stride 8, only at that of its patches, 16"),
        ("pvt_v2_b0", 16, "cannot give feature maps at output stride 16"),
    ],
)
def test_models_that_do_not_fit_are_refused(name: str, stride: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_backbone(f"timm/{name}", output_stride=stride, weights=None)


def test_drop_path_reaches_timm_and_is_refused_elsewhere() -> None:
    with torch.device("meta"):
        backbone = build_backbone("timm/vit_tiny_patch16_224", output_stride=None, weights=None, drop_path=0.3)
    rates = [module.drop_prob for module in backbone.modules() if type(module).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.3)
    with pytest.raises(UserError, match="drop_path is for models of timm"):
        build_backbone("torchvision/resnet18", output_stride=None, weights=None, drop_path=0.3)


def test_depths_count_blocks_or_stages() -> None:
    with torch.device("meta"):
        plain = build_backbone("timm/vit_tiny_patch16_224", output_stride=None, weights=None)
        stages = build_backbone("timm/pvt_v2_b0", output_stride=None, weights=None)
        resnet = build_backbone("torchvision/resnet18", output_stride=None, weights=None)
        mobile = build_backbone("timm/efficientnet_b0", output_stride=None, weights=None)
    depths = plain.depths()
    assert (depths["model.pos_embed"], depths["model.patch_embed.proj.weight"]) == (0, 0)
    assert (depths["model.blocks.0.norm1.weight"], depths["model.blocks.11.mlp.fc2.bias"]) == (1, 12)
    assert depths["model.norm.weight"] == 12
    assert plain.undecayed() == {"model.pos_embed", "model.cls_token"}
    assert stages.depths()["model.stages_2.blocks.0.norm1.weight"] == 3
    assert resnet.depths()["layer4.0.conv1.weight"] > resnet.depths()["layer3.0.conv1.weight"]
    found = mobile.depths()
    assert found["model.blocks.6.0.conv_pw.weight"] == found["model.blocks.5.0.conv_pw.weight"] + 1
