"""Which image stands at each position of the endless sequence of training items, and what its crop should hold.

A sampler is a pure function of its seed and the position, so that going on at any step is free and exact.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from acclimate.data.class_counts import ClassCounts, class_counts
from acclimate.data.crops import TRIES, Keep
from acclimate.data.sample import Dataset
from acclimate.errors import UserError

SUB_EPOCH = 3000
"""Draws after which FADA forgets which classes it has seen."""
LEAST_SHARE = 0.00149
"""DAFormer's 3,000 pixels of the 1914x1052 of a GTA5 picture."""
_ORDER, _BALANCED, _RARE = 0, 2, 3


@dataclass(frozen=True)
class Draw:
    """One training item.

    Attributes:
        index: of the image.
        keep: what its crop should hold; None: whatever it happens to.
    """

    index: int
    keep: Keep | None = None


class Sampling(BaseModel):
    """How the labelled images are drawn, as a recipe writes it: a kind alone, or a mapping.

    Attributes:
        kind: ``shuffled``, each once per epoch; ``class-balanced``, :class:`ClassBalanced`; ``rare-class``,
            :class:`RareClass`, whose options the others are.
        temperature: of the class probabilities; the lower, the more the rarest classes alone are drawn. ``auto``:
            :func:`half_of_the_classes`.
        least_share: fraction of its pixels that an image drawn for a class has in it.
        crop_ratio: what the crop has of the class, as a multiple of that (of the whole image's pixels).
        tries: crops that are drawn for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["shuffled", "class-balanced", "rare-class"] = "shuffled"
    temperature: PositiveFloat | Literal["auto"] = 0.01
    least_share: float = Field(default=LEAST_SHARE, ge=0, lt=1)
    crop_ratio: NonNegativeFloat = 1.0
    tries: PositiveInt = TRIES

    @model_validator(mode="before")
    @classmethod
    def _from_its_kind(cls, values: Any) -> Any:
        return {"kind": values} if isinstance(values, str) else values

    @model_validator(mode="after")
    def _only_rare_classes_have_options(self) -> Sampling:
        given = sorted(self.model_fields_set - {"kind"})
        if self.kind != "rare-class" and any(getattr(self, name) != getattr(_RARE_CLASS, name) for name in given):
            raise ValueError(f"{', '.join(given)} belong to kind: rare-class, not to {self.kind}")
        return self

    def sampler(self, dataset: Dataset, *, seed: int, cache: Path | None = None) -> Sampler:
        """The sampler of a labelled set.

        Args:
            dataset: whose labels are counted where the kind looks at classes.
            seed: of the draws; not negative.
            cache: folder in which the counts are kept.

        Raises:
            UserError: the set has no labels, or no image has enough of any class.
        """
        if self.kind == "shuffled":
            return Shuffled(len(dataset), seed)
        counts = class_counts(dataset, cache)
        try:
            if self.kind == "class-balanced":
                return ClassBalanced(counts.presence, seed=seed)
            return RareClass(
                counts,
                seed=seed,
                temperature=None if self.temperature == "auto" else self.temperature,
                least_share=self.least_share,
                crop_ratio=self.crop_ratio,
                tries=self.tries,
            )
        except ValueError as error:
            raise UserError(
                f"{dataset.spec} ({dataset.split}): {error}, so source_sampling={self.kind} has nothing to draw"
            ) from None


_RARE_CLASS = Sampling(kind="rare-class")


class Sampler(Protocol):
    """What :func:`acclimate.data.loading.batches` asks for its images."""

    def draw(self, position: int) -> Draw:
        """The item at a position of the endless sequence: a pure function."""
        ...


@dataclass(frozen=True)
class Shuffled:
    """Every image once per epoch, each epoch in a random order of its own.

    Attributes:
        size: how many images there are.
        seed: of the orders; not negative.
        stream: source and target have different orders from one seed.
    """

    size: int
    seed: int
    stream: str = "source"

    def draw(self, position: int) -> Draw:
        """See :class:`Sampler`."""
        epoch, offset = divmod(position, self.size)
        return Draw(int(_kept_order(self, epoch)[offset]))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The order in which an epoch goes through the images: a permutation of 0 … size - 1."""
        return item_generator(self.seed, self.stream, _ORDER, epoch).permutation(self.size)


@lru_cache(maxsize=8)  # a batch may straddle two epochs, and source and target take turns
def _kept_order(sampler: Shuffled, epoch: int) -> NDArray[np.int64]:
    return sampler.order(epoch)


def item_generator(seed: int, stream: str, purpose: int, number: int) -> np.random.Generator:
    """The generator of one item, or of one epoch, of a stream."""
    return np.random.default_rng([seed, zlib.crc32(stream.encode()), purpose, number])


class ClassBalanced:
    """FADA's source sampling: each draw picks a class, then the next image of that class's own list.

    A class is picked with probability proportional to 1 / ln(1.01 + d), where d is its share of all the classes that
    the images drawn so far in this sub-epoch show: what has been seen little is looked for. Each sub-epoch goes through
    every class's list in a random order of its own, again from the start once it is through.

    Args:
        presence: (images, classes), see :attr:`ClassCounts.presence`; classes no image shows are never picked.
        seed: of the draws; not negative.

    Raises:
        ValueError: no image shows any class.
    """

    def __init__(self, presence: NDArray[np.bool_], *, seed: int, sub_epoch: int = SUB_EPOCH) -> None:
        if not presence.any():
            raise ValueError("no image shows any class")
        self.presence, self.seed, self.sub_epoch = presence, seed, sub_epoch

    def draw(self, position: int) -> Draw:
        """See :class:`Sampler`."""
        number, offset = divmod(position, self.sub_epoch)
        return Draw(int(_drawn(self, number)[offset]))

    def images(self, number: int) -> NDArray[np.int64]:
        """The images of a sub-epoch in order."""
        rng = np.random.default_rng([self.seed, _BALANCED, number])
        classes = np.flatnonzero(self.presence.any(axis=0))
        lists = [rng.permutation(np.flatnonzero(self.presence[:, index])) for index in classes]
        presence = self.presence[:, classes]
        used, seen = np.zeros(len(classes), dtype=np.int64), np.zeros(len(classes))
        images = np.empty(self.sub_epoch, dtype=np.int64)
        for draw in range(self.sub_epoch):
            weights = class_weights(seen)
            picked = int(rng.choice(len(classes), p=weights))
            images[draw] = lists[picked][used[picked] % len(lists[picked])]
            used[picked] += 1
            seen += presence[images[draw]]
        return images


def class_weights(seen: NDArray[np.floating]) -> NDArray[np.float64]:
    """The probability of each class, 1 / ln(1.01 + d) over its sum, where d is ``seen`` over its sum."""
    share = seen / seen.sum() if seen.any() else np.zeros(len(seen))
    weights: NDArray[np.float64] = 1.0 / np.log(1.01 + share)
    weights /= weights.sum()
    return weights


@lru_cache(maxsize=4)  # a batch may straddle two sub-epochs
def _drawn(sampler: ClassBalanced, number: int) -> NDArray[np.int64]:
    return sampler.images(number)


class RareClass:
    """DAFormer's rare-class sampling (section 3.2): a class, an image that has enough of it, a crop that shows it.

    P(c) is proportional to exp((1 - f_c) / T), where f_c is the class's fraction of all labelled pixels. The image is
    drawn uniformly among those that have more than ``least_share`` of their pixels in the class, and the crop is drawn
    anew until it has more of them than ``crop_ratio`` times that.

    Args:
        counts: of the source's labels.
        seed: of the draws; not negative.
        temperature: T; None: :func:`half_of_the_classes`.
        least_share: of an image's pixels.
        crop_ratio: what a crop needs, as a multiple of what an image needs (of the whole image's pixels in both cases).
        tries: crops that are drawn; the last one stays.

    Raises:
        ValueError: no image has enough of any class.
    """

    def __init__(
        self,
        counts: ClassCounts,
        *,
        seed: int,
        temperature: float | None = 0.01,
        least_share: float = LEAST_SHARE,
        crop_ratio: float = 1.0,
        tries: int = TRIES,
    ) -> None:
        enough = counts.pixels > least_share * counts.totals[:, None]
        self.classes = np.flatnonzero(enough.any(axis=0))
        """Those that some image has enough of; the others are never drawn."""
        if not len(self.classes):
            raise ValueError(f"no image has {100 * least_share:g} % of its pixels in one class")
        self.images = [np.flatnonzero(enough[:, index]) for index in self.classes]
        frequencies = counts.frequencies[self.classes]
        self.temperature = temperature if temperature is not None else half_of_the_classes(frequencies)
        self.probabilities = rare_class_probabilities(frequencies, self.temperature)
        self.seed, self.share, self.tries = seed, least_share * crop_ratio, tries

    def draw(self, position: int) -> Draw:
        """See :class:`Sampler`."""
        rng = np.random.default_rng([self.seed, _RARE, position])
        number = int(rng.choice(len(self.classes), p=self.probabilities))
        index = int(self.images[number][rng.integers(len(self.images[number]))])
        return Draw(index, Keep(int(self.classes[number]), share=self.share, tries=self.tries))


def rare_class_probabilities(frequencies: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """P(c) = exp((1 - f_c) / T) over its sum (DAFormer, eq. 4 and 5)."""
    exponents = (1 - frequencies) / temperature
    weights: NDArray[np.float64] = np.exp(exponents - exponents.max())
    weights /= weights.sum()
    return weights


def half_of_the_classes(frequencies: NDArray[np.float64]) -> float:
    """The temperature at which draws are spread as if over half of the classes.

    That is, exp of the entropy of P(c) is half of their number. With GTA5's 19 classes it is about the published 0.01;
    with few classes, or all of them frequent, 0.01 would leave a draw or two of the rarest alone.
    """
    low, high = 1e-6, 1e3
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        chances = rare_class_probabilities(frequencies, middle)
        present = chances[chances > 0]
        if np.exp(-(present * np.log(present)).sum()) < max(1.0, len(frequencies) / 2):
            low = middle
        else:
            high = middle
    return high
