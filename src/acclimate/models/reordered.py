"""Networks whose classes come in another order: classes are matched by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from acclimate.data.class_space import ClassSpace
from acclimate.errors import UserError
from acclimate.models.checkpoint import Classified, expect_classes
from acclimate.models.network import Output, SegmentationNetwork

_SEEN = (1, 3, 96, 128)
"""Of the images on which reordered weights are compared."""


class Reordered(nn.Module):
    """Asks a network and puts its classes in another order.

    Args:
        network: predicts C classes.
        order: of the new i-th class the place among the network's own, C of them.
    """

    def __init__(self, network: SegmentationNetwork, order: Sequence[int]) -> None:
        super().__init__()
        self.network, self.classes = network, network.classes
        place = next(network.parameters()).device
        self.register_buffer("order", torch.tensor(order, device=place), persistent=False)

    def forward(self, images: Tensor) -> Output:
        output: Output = self.network(images)
        return output.with_logits(lambda level: level.logits.index_select(1, self.get_buffer("order")))


def order_of(card: Classified, class_space: ClassSpace, path: Path) -> list[int] | None:
    """Of each class of ``class_space`` the place among the checkpoint's; None where the order is the same.

    Raises:
        UserError: the checkpoint at ``path`` has other classes.
    """
    if card.classes == class_space.classes:
        return None
    if sorted(card.classes) != sorted(class_space.classes):
        expect_classes(card, class_space, path)
    return [card.classes.index(name) for name in class_space.classes]


def reorder_heads(network: SegmentationNetwork, order: Sequence[int], path: Path) -> None:
    """Puts the classes of a network's own weights in another order, so that training can go on from them.

    Args:
        network: its heads are changed in place, and all of its levels compared with :class:`Reordered`.
        order: as there.
        path: the checkpoint, for the message.

    Raises:
        UserError: the weights of a class cannot be told from others.
    """
    images = torch.rand(_SEEN, generator=torch.Generator().manual_seed(0))
    images = images.to(next(network.parameters()).device)
    network.eval()
    with torch.no_grad():
        wanted: Output = Reordered(network, order)(images)
        for parameter in {id(each): each for head in network.heads() for each in head.parameters()}.values():
            if parameter.shape[0] == network.classes:
                parameter.copy_(parameter[list(order)].clone())
        found: Output = network(images)
    pairs = [(found.levels[name].logits, level.logits) for name, level in wanted.levels.items()]
    if not all(torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4) for ours, theirs in pairs):
        raise UserError(
            f"{path} has the same classes in another order, and of this network it cannot be told which weights are "
            "which class's: list the classes of the source in the checkpoint's order"
        )
