"""What RetinaNet and FCOS share: a score of its own for every class, by a sigmoid, and no background."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.detection.detector import Candidates, Detection, Detector, DetectorOutput, clipped, sorted_by_score
from acclimate.detection.losses import MapShape, per_class_self_information
from acclimate.detection.matching import BACKGROUND, NEITHER, targets_of, without_difficult
from acclimate.detection.sample import Boxes
from acclimate.errors import UserError
from acclimate.precision import full_precision


class PerClassDetector(Detector):
    """A detector whose scores are sigmoids, class by class.

    Torchvision counts a background that these modules do not have: of ``num_classes`` labels the first is never an
    object's. Here there may be as many labels as classes, or that one more, which is learned to be absent as
    torchvision does, and otherwise left out: it is in no entropy and is never found.
    """

    spare = (0, 1)

    @abstractmethod
    def owners(self, targets: Sequence[dict[str, Tensor]], output: DetectorOutput) -> list[Tensor]:
        """Which object each prior belongs to, as :func:`acclimate.detection.matching.owners_by_overlap` says it."""

    @abstractmethod
    def boxes_at(self, offsets: Tensor, priors: Tensor) -> Tensor:
        """(P, 4) boxes in pixels from the offsets (P, 4) of an image."""

    def raw(self, output: DetectorOutput) -> dict[str, Tensor]:
        """The output in full precision, as torchvision names it."""
        found = {"cls_logits": output.logits, "bbox_regression": output.offsets, "bbox_ctrness": output.centreness}
        return {name: full_precision(values) for name, values in found.items() if values is not None}

    def loss(
        self, output: DetectorOutput, boxes: Sequence[Boxes], *, spared: Sequence[Boxes] | None = None
    ) -> dict[str, Tensor]:
        """Focal loss of every class at every prior, and of the boxes what the family has, as torchvision weighs them.

        A prior that would not be background if a difficult or a spared box were an object is neither.
        """
        priors = output.priors
        with torch.autocast(priors.device.type, enabled=False):
            targets = targets_of(without_difficult(boxes), first=self.first, device=priors.device)
            owners = self.owners(targets, output)
            for others in ([item.kept(item.difficult) for item in boxes], spared or ()):
                if any(len(item) for item in others):
                    would = self.owners(targets_of(others, first=self.first, device=priors.device), output)
                    owners = [
                        torch.where((owner == BACKGROUND) & (other != BACKGROUND), NEITHER, owner)
                        for owner, other in zip(owners, would, strict=True)
                    ]
            heads = self.leaving_out(self.raw(output), owners)
            losses = self.module.head.compute_loss(targets, heads, [priors] * len(boxes), owners)
        localisation = [value for name, value in losses.items() if name != "classification"]
        return {"classification": losses["classification"], "localisation": torch.stack(localisation).sum()}

    def leaving_out(self, heads: dict[str, Tensor], owners: Sequence[Tensor]) -> dict[str, Tensor]:
        """The heads' outputs, such that priors that are neither object nor background cost nothing."""
        return heads

    @torch.no_grad()
    def detections(self, output: DetectorOutput, size: tuple[int, int]) -> list[Detection]:
        counts, count = [shape.priors for shape in output.maps], len(output.logits)
        heads = {name: list(torch.split(values, counts, dim=1)) for name, values in self.raw(output).items()}
        if self.first:
            heads["cls_logits"] = [_never_found(logits, self.first) for logits in heads["cls_logits"]]
        priors = list(torch.split(output.priors, counts))
        found = self.module.postprocess_detections(heads, [priors] * count, [size] * count)
        return [sorted_by_score(each, first=self.first) for each in found]

    def information(self, output: DetectorOutput, *, background: bool = True) -> Tensor:
        """-P log P of each class's being there and of its not being there, divided by C log 2.

        The classes' scores are no distribution over classes but one over yes and no for each of them: the sum is the
        mean of their binary entropies.
        """
        self.information_channels(background=background)
        return per_class_self_information(output.logits[..., self.first :])

    def information_channels(self, *, background: bool = True) -> int:
        if not background:
            raise UserError(
                f"{self.family} scores every class by itself and has no background that entropies could leave out; "
                "remove background: false from the method's options"
            )
        return 2 * self.classes

    def decoded(self, output: DetectorOutput, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        boxes = self.boxes_at(output.offsets[0], output.priors)
        return clipped(boxes, size), self.scores(output)

    def scores(self, output: DetectorOutput) -> Tensor:
        """(P, classes) of the first image of a batch."""
        return output.logits[0, :, self.first :].sigmoid()

    def candidates(self, scores: Tensor, maps: Sequence[MapShape]) -> Candidates:
        """The best of every map, whatever their class."""
        found, begin = [], 0
        for part, shape in zip(torch.split(scores, [shape.priors for shape in maps]), maps, strict=True):
            values = part.reshape(-1)
            top, at = values.topk(min(self.module.topk_candidates, len(values)))
            found.append((top, begin + at // self.classes, at % self.classes))
            begin += shape.priors
        return Candidates(*(torch.cat(values) for values in zip(*found, strict=True)))


def _never_found(logits: Tensor, first: int) -> Tensor:
    """Logits (B, P, L) whose labels before the first class have score 0."""
    return torch.cat([torch.full_like(logits[..., :first], -torch.inf), logits[..., first:]], dim=-1)
