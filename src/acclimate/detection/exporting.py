"""From a detector's checkpoint to a program that other software runs: boxes, scores and classes of a picture."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from acclimate.detection.checkpoint import load_detector
from acclimate.detection.detector import Detection, Detector
from acclimate.errors import UserError
from acclimate.exchange.programs import Comparison, Program, Run, claim_program, write_program

OUTPUTS = ("boxes", "scores", "classes", "all_boxes", "all_scores")
RUNNER = Path(__file__).with_name("onnx_runner.py")
"""The program that is written beside a detector in ONNX."""
CHECKED, UNDECIDED = 2, 0.02
"""How many images are compared, and which share of the detections may be others: of two boxes that overlap by just as
much as is allowed, or the last ones that are kept, rounding chooses."""

_BESIDE = [[-2.0, -2.0, -1.0, -1.0], [-4.0, -4.0, -3.0, -3.0]]


class ExportedDetector(nn.Module):
    """What is exported: an RGB image (1, 3, H, W) in [0, 1], at the size the detector was trained on, to detections.

    Args:
        detector: in evaluation mode.
        size: (width, height).
    """

    priors: Tensor

    def __init__(self, detector: Detector, size: tuple[int, int]) -> None:
        super().__init__()
        self.detector = detector
        self.size = size
        with torch.no_grad():
            priors = detector(torch.zeros(1, 3, size[1], size[0])).priors
        self.register_buffer("priors", priors)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """``boxes`` (N, 4) in pixels of the image, ``scores`` (N,), most certain first, and ``classes`` (N,).

        They are what non-maximum suppression leaves; ``all_boxes`` (P, 4) and ``all_scores`` (P, classes) are those of
        every prior.
        """
        output = self.detector(images, self.priors)
        boxes, scores = self.detector.decoded(output, self.size[::-1])
        top, places, classes = self.detector.candidates(scores, output.maps)
        found, rules = boxes[places], self.detector.module
        # boxes of different classes never overlap where each class has a place of its own
        apart = found + classes[:, None] * (max(self.size) + 1.0)
        sure = (top > rules.score_thresh).nonzero()[:, 0]
        # exporters take it that suppression leaves two boxes or more: two beside the picture, which come last, do
        boxes_seen = torch.cat([apart[sure], apart.new_tensor(_BESIDE)])
        left = nms(boxes_seen, torch.cat([top[sure], top.new_tensor([-1.0, -2.0])]), rules.nms_thresh)[: -len(_BESIDE)]
        kept = sure[left][: rules.detections_per_img]
        return found[kept], top[kept], classes[kept], boxes, scores


def export_detector(checkpoint: Path, output: Path, *, tolerance: float = 1e-4) -> list[Comparison]:
    """Writes a detector as ``.onnx`` or ``.pt2``, after comparing boxes, scores and detections with ours.

    Beside an ``.onnx`` lies a ``.py`` of the same name that runs it without acclimate and PyTorch: :data:`RUNNER`.

    Args:
        checkpoint: of a detector.
        output: the file; its suffix chooses the format.
        tolerance: largest difference of scores, and of coordinates relative to the picture's longer side.

    Returns:
        Comparisons of scores and of boxes on :data:`CHECKED` images.

    Raises:
        UserError: another suffix, packages of the extra ``export`` are missing, the detector cannot be exported, or it
            finds something else; no file is written then.
    """
    output = Path(output)
    claim_program(output, checkpoint=checkpoint)
    detector, card = load_detector(checkpoint)
    width, height = card.input_size
    module = ExportedDetector(detector, card.input_size).eval().requires_grad_(False)
    images = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))

    def compared(run: Run) -> list[Comparison]:
        return [each for seed in range(CHECKED) for each in _compared(module, run, seed=seed)]

    program = Program(module, card, images, OUTPUTS, RUNNER)
    return write_program(program, output, checkpoint=checkpoint, compared=compared, tolerance=tolerance)


def _compared(module: ExportedDetector, run: Run, *, seed: int) -> list[Comparison]:
    """The exported scores and boxes against ours, on noise that is coarse enough to look like things."""
    width, height = module.size
    coarse = torch.rand(1, 3, 1 + height // 16, 1 + width // 16, generator=torch.Generator().manual_seed(seed))
    images = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear").contiguous()
    with torch.no_grad():
        output = module.detector(images)
        expected_boxes, expected_scores = module.detector.decoded(output, (height, width))
        expected = module.detector.detections(output, (height, width))[0]
    boxes, scores, classes, all_boxes, all_scores = run(images)
    others = _others(Detection(boxes, classes, scores), expected)
    if others > UNDECIDED * max(len(expected.scores), len(scores)):
        raise UserError(
            f"the exported detector finds {others} other things than ours, of {len(expected.scores)} in a picture of "
            f"{width}x{height}; nothing was written: try the other format"
        )
    shape = (1, height, width)
    return [
        Comparison(shape, float((found - wanted).abs().max()), float(wanted.abs().max()), what)
        for found, wanted, what in (
            (all_scores, expected_scores, "score"),
            (all_boxes, expected_boxes, "coordinate"),
        )
    ]


def _others(found: Detection, expected: Detection) -> int:
    """How many detections of one have no counterpart in the other: its class, its box to a pixel, its score to 0.01."""
    if not len(found.scores) or not len(expected.scores):
        return max(len(found.scores), len(expected.scores))
    same = (
        (torch.cdist(found.boxes, expected.boxes, p=float("inf")) < 1.0)
        & (found.classes[:, None] == expected.classes[None, :])
        & ((found.scores[:, None] - expected.scores[None, :]).abs() < 0.01)
    )
    return max(int((~same.any(dim=1)).sum()), int((~same.any(dim=0)).sum()))
