"""DACS: a teacher's labels of the target, learned on images that are half source (Tranheden et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, NonNegativeFloat, PositiveInt

from acclimate.data.photometric import Photometric, augmented
from acclimate.data.sample import Batch
from acclimate.methods.base import AdaptingOptions, Losses, Method
from acclimate.methods.mixing import ClassesOf, Mixing, ensure_same_size, masks_of, mixed, paired
from acclimate.methods.teacher import TeacherOptions


class DacsTeacher(TeacherOptions):
    """Those of :class:`TeacherOptions`, with DACS's decay."""

    decay: float = Field(default=0.99, ge=0.0, lt=1.0)


class DacsOptions(AdaptingOptions):
    """Settings of DACS.

    Attributes:
        mixed_weight: of the loss on mixed images (1 published).
        mixing: what of the source is pasted: the larger half of its ``classmix``, a box of half the area (``cutmix``),
            or ``none``, which leaves the teacher's labels on the target's own pixels.
        classes_of: whose classes ClassMix draws from: those of each ``image`` (DACS), or of the whole ``batch`` (the
            code of DAFormer and its successors).
        void_is_class: let ClassMix draw void, as all published codes do.
        views: how many differently mixed and coloured images are learned from one pair, each with its share of
            the weight (2 in UniMatch V2).
        strong: how mixed images are changed in colour and blurred; null: not at all.
        teacher: whose labels are learned.
    """

    mixed_weight: NonNegativeFloat = 1.0
    mixing: Mixing = "classmix"
    classes_of: ClassesOf = "image"
    void_is_class: bool = False
    views: PositiveInt = 1
    strong: Photometric | None = Photometric(
        brightness=0.25, contrast=0.25, saturation=0.25, hue=0.25, probability=0.8, blur_probability=0.5
    )
    teacher: TeacherOptions = DacsTeacher()


class Dacs(Method):
    """L = CE(f(x_s), y_s) + CE(f(x_m), y_m), weighted by the teacher's confidence (DACS eq. 1 to 3)."""

    name = "dacs"
    summary = "a mean teacher's labels on images mixed of both domains by class (DACS)"
    Options = DacsOptions
    options: DacsOptions
    teaches = True

    def losses(self, source: Batch, target: Batch | None, step: int) -> Iterator[Losses]:
        assert target is not None
        ensure_same_size(source.images, target.images)

        yield self.source_losses(source)
        for view in range(self.options.views):
            yield self.mixed_losses(source, target, "mixed" if view == 0 else f"mixed (view {view + 1})")
        yield self.target_losses(target)

    def source_losses(self, source: Batch) -> Losses:
        """What is learned from the source alone."""
        return self.supervised(source)[0]

    def mixed_losses(self, source: Batch, target: Batch, name: str) -> Losses:
        """Cross-entropy on mixed images, mean over all pixels: what is void or not believed counts as 0."""
        assert source.labels is not None
        options, taught = self.options, self.taught(target)
        images, labels = (paired(values, len(target.images)) for values in (source.images, source.labels))
        masks = masks_of(options.mixing, labels, classes_of=options.classes_of, void_is_class=options.void_is_class)
        return self.taught_losses(
            name,
            augmented(mixed(images, target.images, masks), options.strong),
            taught,
            labels=mixed(labels, taught.labels, masks),
            weights=mixed(taught.weights.new_ones(()), taught.weights, masks),
            weight=options.mixed_weight / options.views,
        )

    def target_losses(self, target: Batch) -> Losses:
        """What is learned from the target as it is: the class-ratio prior and pseudo-labels, where they are wanted."""
        if target.labels is None and self.options.class_prior_weight == 0:
            return {}
        output = self.target_output(target)
        return self.class_prior(output) | self.pseudo_labels(output, target)
