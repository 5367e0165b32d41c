"""Losses over the levels of an output, whatever they are called and however much of the image they cover."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from toy import CLASSES, ToyNetwork, batch, make_method, target_batch

from acclimate.models.network import Level, Output, Region


class DetailNetwork(ToyNetwork):
    """A third level that looks at a rectangle of the image and says what its loss weighs, as HRDA's does."""

    region = Region(top=8, left=12, height=16, width=24)

    def __init__(self, weight: float | None) -> None:
        super().__init__()
        self.detail_head = nn.Conv2d(3, CLASSES, 1)
        self.weight = weight

    def segment(self, images: Tensor) -> Output:
        main = super().segment(images).levels["main"]
        logits = self.detail_head(self.region.of(images))
        weight = None if self.weight is None else 1 - self.weight
        detail = Level(logits, weight=self.weight, region=self.region)
        return Output({"main": main._replace(weight=weight), "detail": detail})


@pytest.mark.parametrize(("weight", "expected"), [(0.25, (0.75, 0.25)), (None, (1.0, 0.1)), (0.0, (1.0, None))])
def test_every_level_learns_its_part_of_the_labels(weight: float | None, expected: tuple[float, float | None]) -> None:
    network = DetailNetwork(weight)
    source = batch(0)
    terms, output = make_method("source_only", network).supervised(source, enlarged=True)
    assert terms["segmentation"].weight == expected[0]
    if expected[1] is None:
        assert list(terms) == ["segmentation"]
        return
    loss, found = terms["detail segmentation"].value, terms["detail segmentation"].weight
    assert found == expected[1]
    labels = source.labels[:, 8:24, 12:36]
    logits = output.levels["detail"].logits
    assert logits.shape[2:] == (16, 24)
    picked = logits.log_softmax(dim=1).gather(1, labels.where(labels != 255, 0)[:, None])[:, 0]
    torch.testing.assert_close(loss, -picked[labels != 255].mean())


def test_pseudo_labels_keep_the_proportions_of_the_levels() -> None:
    method = make_method("minent", DetailNetwork(0.25), pseudo_label_weight=0.8)
    target = target_batch(0, labels=True)
    terms = method.pseudo_labels(method.target_output(target), target)
    assert {name: term.weight for name, term in terms.items()} == pytest.approx(
        {"pseudo-labels": 0.6, "detail pseudo-labels": 0.2}
    )
