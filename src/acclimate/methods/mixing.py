"""Images of two domains in one: which pixels come from the source, and what becomes of images, labels and weights.

What is drawn comes from torch's generator on the CPU, which the training loop seeds for every step, so masks are the
same on every device and after every resume.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from acclimate.errors import UserError
from acclimate.labels import VOID

Mixing = Literal["classmix", "cutmix", "none"]
ClassesOf = Literal["image", "batch"]


def class_masks(labels: Tensor, *, classes_of: ClassesOf = "image", void_is_class: bool = False) -> Tensor:
    """ClassMix: the pixels of half of the classes of each image, (B, H, W) bool.

    Of the K classes, the larger half is drawn without replacement, a draw for each image. An image of void alone has
    no class and an empty mask.

    Args:
        labels: (B, H, W) int64 train ids, void 255.
        classes_of: ``image``, the K classes present in that image (DACS); ``batch``, those present anywhere in the
            batch, as the code of DAFormer and its successors does, where some of the drawn classes may be absent.
        void_is_class: count void among the classes, as all published codes do; it is pasted then, without a loss.
    """
    ids = torch.arange(VOID + 1)
    here = torch.zeros(labels.shape[0], VOID + 1, dtype=torch.bool, device=labels.device)
    # one transfer from the device for all images
    present = here.scatter_(1, labels.flatten(1), value=True).cpu()
    if not void_is_class:
        present[:, VOID] = False
    if classes_of == "batch":
        present = present.any(dim=0).expand_as(present)
    pasted = torch.zeros_like(present)
    for row, chosen in zip(present, pasted, strict=True):
        classes = ids[row]
        count = len(classes)
        chosen[classes[torch.randperm(count, device="cpu")[: (count + 1) // 2]]] = True
    return pasted.to(labels.device, non_blocking=True).gather(1, labels.flatten(1)).view_as(labels)


def box_masks(count: int, size: tuple[int, int], *, device: torch.device | str = "cpu") -> Tensor:
    """CutMix: one box of half the area in each image, (count, H, W) bool.

    Its width is uniform between half of the image's and all of it, its place uniform among those inside, as in the code
    of ClassMix and DACS.
    """
    height, width = size
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for mask in masks:
        box_width = _integer((width + 1) // 2, width)
        box_height = min(height, max(1, round(height * width / 2 / box_width)))
        top, left = _integer(0, height - box_height), _integer(0, width - box_width)
        mask[top : top + box_height, left : left + box_width] = True
    return masks.to(device, non_blocking=True)


def masks_of(
    mixing: Mixing,
    labels: Tensor,
    *,
    classes_of: ClassesOf = "image",
    void_is_class: bool = False,
) -> Tensor:
    """The pixels, (B, H, W) bool, that come from the source images with these labels; none at all for ``none``."""
    if mixing == "classmix":
        return class_masks(labels, classes_of=classes_of, void_is_class=void_is_class)
    if mixing == "cutmix":
        return box_masks(labels.shape[0], (labels.shape[1], labels.shape[2]), device=labels.device)
    return torch.zeros_like(labels, dtype=torch.bool)


def mixed(source: Tensor, target: Tensor, masks: Tensor) -> Tensor:
    """``source`` where ``masks`` is true and ``target`` elsewhere: images (B, 3, H, W), labels or weights (B, H, W).

    Args:
        masks: (B, H, W) bool.
    """
    return torch.where(masks.unsqueeze(1) if target.dim() == 4 else masks, source, target)


def paired(source: Tensor, count: int) -> Tensor:
    """``count`` of the source's images or labels, in their order, again from the first where there are fewer."""
    indices = torch.arange(count, device=source.device) % source.shape[0]
    return source if count == source.shape[0] else source[indices]


def ensure_same_size(source: Tensor, target: Tensor) -> None:
    """Raises UserError unless the images of both domains have one height and width: places are mixed with places."""
    ours, theirs = tuple(source.shape[-2:]), tuple(target.shape[-2:])
    if ours != theirs:
        raise UserError(
            f"images are mixed pixel by pixel, but the source's are {ours[1]}x{ours[0]} and the target's "
            f"{theirs[1]}x{theirs[0]}; set training.source_transform and training.target_transform to the same size "
            "or the same crop"
        )


def _integer(lowest: int, highest: int) -> int:
    """Uniform among lowest, ..., highest."""
    return int(torch.randint(lowest, highest + 1, (), device="cpu").item())
