"""From our checkpoints to files that other programs run: ONNX, and PyTorch's own exported programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.exchange.programs import Comparison, Program, Run, claim_program, write_program
from acclimate.models.aspp import ASPP
from acclimate.models.checkpoint import load_network
from acclimate.models.network import SegmentationNetwork
from acclimate.models.resize import upsample

CHECKED_SHAPES = ((1, 96, 160), (2, 121, 107))
"""(batch, height, width) of the images on which the export is compared; none is what the export saw."""

SMALLEST = 64
"""The smallest height and width, in pixels, that an exported program takes: maps of a single row need other rules."""

RUNNER = Path(__file__).with_name("onnx_runner.py")
"""The program that is written beside a model in ONNX."""

_SEEN_SHAPE = (2, 136, 200)


class Exported(nn.Module):
    """What is exported: RGB images (B, 3, H, W) in [0, 1] to the main head's logits.

    Args:
        network: in evaluation mode.
        enlarge: enlarge the logits to (H, W), bilinearly with aligned corners, as published evaluations do; otherwise
            they stay at the network's stride.
    """

    def __init__(self, network: SegmentationNetwork, *, enlarge: bool) -> None:
        super().__init__()
        self.network = network
        self.enlarge = enlarge

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images).logits
        if self.enlarge:
            logits = upsample(logits, (images.shape[2], images.shape[3]))
        return logits


def export_network(
    checkpoint: Path, output: Path, *, enlarge: bool = False, tolerance: float = 1e-4
) -> list[Comparison]:
    """Writes a checkpoint's network as ``.onnx`` or ``.pt2``, after comparing its logits with ours.

    Beside an ``.onnx`` lies a ``.py`` of the same name that runs it without acclimate and PyTorch: :data:`RUNNER`.

    Batch, height and width are free, from :data:`SMALLEST` pixels up. The preprocessing is inside; the model card is in
    the file's metadata, under ``acclimate``.

    Args:
        checkpoint: a segmentation network's ``model.safetensors``.
        output: the file; its suffix chooses the format.
        enlarge: see :class:`Exported`.
        tolerance: largest difference of logits allowed, relative to the largest logit (but no less than 1).

    Returns:
        A comparison for each of :data:`CHECKED_SHAPES`.

    Raises:
        UserError: another suffix, packages of the extra ``export`` are missing, the network cannot be exported, or the
            difference is too large; no file is written then.
    """
    output = Path(output)
    claim_program(output, checkpoint=checkpoint)
    network, card = load_network(checkpoint)
    module = Exported(load_network(checkpoint)[0], enlarge=enlarge)
    make_exportable(module)
    ours = Exported(network, enlarge=enlarge).eval()

    def compared(run: Run) -> list[Comparison]:
        return [_compared(ours, run, shape) for shape in CHECKED_SHAPES]

    program = program_of(module, card)
    return write_program(program, output, checkpoint=checkpoint, compared=compared, tolerance=tolerance)


def make_exportable(module: nn.Module) -> None:
    """Replaces what exporters cannot follow at every image size by what computes the same, in place."""
    module.eval().requires_grad_(False)
    for parent in list(module.modules()):
        if isinstance(parent, ASPP):
            parent.foldable = False
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d) and child.ceil_mode:
                parent.add_module(name, _rounding_down(child))
            if isinstance(child, nn.AdaptiveAvgPool2d) and isinstance(child.output_size, int):
                parent.add_module(name, _AveragesOfParts(child.output_size))


def _rounding_down(pool: nn.MaxPool2d) -> nn.Module:
    """A max-pooling that rounds sizes up, as one that rounds down a map with one more row and column."""
    # for other numbers, the last window may lie in the padding, where PyTorch leaves it out
    assert (pool.kernel_size, pool.stride, pool.padding, pool.dilation) == (3, 2, 1, 1)
    return nn.Sequential(nn.ConstantPad2d((1, 2, 1, 2), float("-inf")), nn.MaxPool2d(kernel_size=3, stride=2))


class _AveragesOfParts(nn.Module):
    """Adaptive average pooling to ``parts`` x ``parts`` as two matrix products, which hold at every size.

    Part i of n positions begins at floor(i n / parts) and ends before ceil((i + 1) n / parts).
    """

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, maps: Tensor) -> Tensor:
        rows, columns = self._weights(maps, maps.shape[2]), self._weights(maps, maps.shape[3])
        return rows @ maps @ columns.transpose(0, 1)

    def _weights(self, maps: Tensor, count: int) -> Tensor:
        """(parts, count): the share of each position in each part's average."""
        part = torch.arange(self.parts, device=maps.device)[:, None]
        position = torch.arange(count, device=maps.device)[None, :]
        # position >= floor(part count / parts) and position < ceil((part + 1) count / parts), without quotients
        inside = ((position + 1) * self.parts > part * count) & (position * self.parts < (part + 1) * count)
        weights = inside.to(maps.dtype)
        return weights / weights.sum(dim=1, keepdim=True)


def _compared(module: nn.Module, run: Run, shape: tuple[int, int, int]) -> Comparison:
    batch, height, width = shape
    images = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected: Tensor = module(images)
    (found,) = run(images)
    if found.shape != expected.shape:
        raise UserError(f"the exported model gives {tuple(found.shape)} where ours gives {tuple(expected.shape)}")
    return Comparison(shape, float((found - expected).abs().max()), float(expected.abs().max()))


def program_of(module: nn.Module, card: BaseModel) -> Program:
    """The module as a program for any batch, height and width."""
    images, free = seen()
    return Program(module, card, images, ("logits",), RUNNER, free)


def seen() -> tuple[Tensor, dict[int, Any]]:
    """The images that the exporter sees, and the dimensions of them that stay free."""
    batch, height, width = _SEEN_SHAPE
    free = {
        0: torch.export.Dim("batch"),
        2: torch.export.Dim("height", min=SMALLEST),
        3: torch.export.Dim("width", min=SMALLEST),
    }
    return torch.rand(batch, 3, height, width), free
