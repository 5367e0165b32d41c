"""Self-training with pseudo weak-labels (PWL, MLSL section 3.3): pixels and images are taught together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from acclimate.data.sample import Batch
from acclimate.losses.image_labels import class_shares, image_label_loss, image_labels
from acclimate.methods.base import Losses, Method, PseudoLabelOptions, Setting, Statistic, Term
from acclimate.methods.optimizers import remember_initial_rates
from acclimate.models.image_classifier import ImageClassifier
from acclimate.models.network import Output, SegmentationNetwork


class WeakLabelOptions(PseudoLabelOptions):
    """Settings of self-training with pseudo weak-labels.

    Attributes:
        pwl_weight: lambda of eq. 6: 0.025 in the paper, 0.04 in the authors' code.
        pwl_eta: the fraction of a class's mean size in the source above which an image holds the class: 0.05 in the
            paper, 0.0225 in the authors' code.
        pwl_labels: whether image-level labels come from the whole ``image``'s (pseudo-)label, as in the paper, or from
            the training ``crop``, as in the authors' code.
        pwl_inclusive: >= instead of > (the authors' code).
        pwl_source: whether source images are held to the same rule (``filtered``, the authors' code) or a single pixel
            of ground truth makes a class present (``all``).
    """

    pwl_weight: NonNegativeFloat = 0.025
    pwl_eta: NonNegativeFloat = 0.05
    pwl_labels: Literal["image", "crop"] = "image"
    pwl_inclusive: bool = False
    pwl_source: Literal["filtered", "all"] = "filtered"


class WeakLabels(Method):
    """L_seg + lambda L_cl on the source and on the pseudo-labelled target (MLSL eq. 6 and 7)."""

    name = "pwl"
    summary = "self-training on pixels and on image-level labels (MLSL section 3.3)"
    Options = WeakLabelOptions
    options: WeakLabelOptions
    sees_target = False

    @classmethod
    def needs(cls, options: Any) -> frozenset[Statistic]:
        sizes: frozenset[Statistic] = super().needs(options) | frozenset({"class sizes"})
        return sizes | {"class shares"} if options.pwl_labels == "image" else sizes

    def __init__(self, network: SegmentationNetwork, *, options: WeakLabelOptions, setting: Setting) -> None:
        super().__init__(network, options=options, setting=setting)
        self.classifier = ImageClassifier(network.feature_channels()["main"], network.classes)
        optimizer = self.optimizers["network"]
        settings = setting.optimizer
        optimizer.add_param_group(
            {
                "params": list(self.classifier.parameters()),
                "lr": settings.learning_rate,
                "weight_decay": settings.weight_decay,
            }
        )
        remember_initial_rates(optimizer)
        sizes = setting.class_sizes if setting.class_sizes is not None else torch.zeros(network.classes)
        self.register_buffer("class_sizes", sizes.clone())

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        eta = self.options.pwl_eta if self.options.pwl_source == "filtered" else 0.0
        terms, output = self.supervised(source)
        yield terms | self._image_loss("source", output, source, eta=eta)

        if target is not None and target.labels is not None:
            output = self.target_output(target)
            terms = self.pseudo_labels(output, target)
            yield terms | self._image_loss("target", output, target, eta=self.options.pwl_eta)

    def saved_modules(self) -> dict[str, torch.nn.Module]:
        return {"classifier": self.classifier}

    def _image_loss(self, domain: Literal["source", "target"], output: Output, batch: Batch, *, eta: float) -> Losses:
        if self.options.pwl_weight == 0:
            return {}
        assert output.features is not None
        shares = self._shares(domain, batch)
        labels = image_labels(shares, self.get_buffer("class_sizes"), eta=eta, inclusive=self.options.pwl_inclusive)
        loss = image_label_loss(self.classifier(output.features), labels, shares.sum(dim=1) > 0)
        return {f"{domain} image labels": Term(loss, self.options.pwl_weight)}

    def _shares(self, domain: Literal["source", "target"], batch: Batch) -> Tensor:
        assert batch.labels is not None
        known = self.setting.class_shares.get(domain)
        if self.options.pwl_labels == "crop" or known is None:
            return class_shares(batch.labels, self.network.classes)
        return torch.stack([known[name] for name in batch.names]).to(batch.labels.device, non_blocking=True)
