"""Which network, size, batch, rates and steps fit two sets of pictures and a machine, and why: values with reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acclimate.planning.defaults import (
    ADAPTED,
    BASE,
    CONTROL,
    EXAMINED,
    FAR_COLOURS,
    FOUNDATION,
    LIGHT,
    RANDOM,
    SAME_ASPECT,
    SYSTEM,
    Fit,
    teacher_decay,
)
from acclimate.planning.domains import Domain, colour_gap
from acclimate.planning.machine import Machine, fetch_weights, network_for_weights
from acclimate.recipe.load import content_of
from acclimate.recipe.text import set_key

Size = tuple[int, int]
"""(width, height)."""
_FIRST = ("name", "about", "source", "target")
NO_WEIGHTS = "none"
"""For ``--weights``: start from random weights."""


@dataclass
class Choice:
    """A recipe's content in the making: values at dotted keys, and why each is what it is."""

    content: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(_FIRST) | content_of(SYSTEM))
    reasons: dict[str, str] = field(default_factory=dict)

    def set(self, key: str, value: Any, reason: str = "") -> None:
        """The value of a dotted key, and why."""
        set_key(self.content, key, value)
        if reason:
            self.reasons[key] = reason


def fit_for(machine: Machine, weights: str | None) -> tuple[Fit, str | None, str]:
    """The row of the table for a machine and a file of weights; what weights it starts from, and why this network.

    Args:
        machine: what there is.
        weights: ``none``, a file, or None: the network's own, which are downloaded where they are not here.

    Raises:
        UserError: the weights cannot be had.
    """
    on_gpu = machine.gpu is not None and machine.gpu_memory_gb >= FOUNDATION.memory_gb
    if weights == NO_WEIGHTS:
        return RANDOM, None, RANDOM.why
    if weights is not None:
        network = network_for_weights(Path(weights))
        row = LIGHT if network == LIGHT.network["name"] else FOUNDATION
        if row is FOUNDATION and not on_gpu:  # a large network on a processor: small pictures, few at a time
            row = Fit(
                **{
                    **vars(FOUNDATION),
                    "areas": (224 * 168, *FOUNDATION.areas),
                    "usual": 1,
                    "batch_size": LIGHT.batch_size,
                    "base_steps": LIGHT.base_steps,
                    "steps": LIGHT.steps,
                }
            )
        return _with_network(row, network), weights, f"the network of {Path(weights).name}"
    fetch_weights(LIGHT.network["name"])
    return LIGHT, "imagenet", LIGHT.why


def _with_network(row: Fit, name: str) -> Fit:
    return Fit(**{**vars(row), "network": {"name": name}})


def training_size(native: Size, *, area: int, stride: int) -> Size:
    """(width, height) with the proportions of ``native``, about ``area`` pixels, in multiples of the stride."""
    width, height = native
    factor = min(1.0, math.sqrt(area / (width * height)))

    def side(length: int) -> int:
        most = max(1, length // stride)
        return stride * min(most, max(1, round(length * factor / stride)))

    return max(2 * stride, side(width)), max(2 * stride, side(height))


def covering_size(native: Size, size: Size) -> Size:
    """The smallest size of ``native``'s own proportions that covers ``size``."""
    factor = max(size[0] / native[0], size[1] / native[1])
    return max(size[0], round(native[0] * factor)), max(size[1], round(native[1] * factor))


def chosen(
    source: Domain, target: Domain, machine: Machine, *, fit: Fit, weights: str | None, why: str, area: int
) -> Choice:
    """The recipe for two domains on a machine, with the table's own steps."""
    choice = Choice()
    size = training_size(target.size, area=area, stride=fit.stride)
    choice.set("name", "adapt")
    choice.set("about", f"{source.spec} to {target.spec}, fitted to the data and this machine by `acclimate adapt`.")
    choice.set("source", source.spec)
    choice.set("target", target.spec, "its images alone: labels are never trained on")
    if source.cut:
        choice.set(
            "source_cut", source.cut.sides(), "no label has a class there, and the network would learn nothing of it"
        )
    if source.split != "train":
        choice.set("source_split", source.split, "the only split to train on")
    if target.split != "train":
        choice.set("target_split", target.split, "the only split to train on")
    choice.content["network"] = dict(fit.network) | ({} if fit.from_random else {"weights": weights})
    choice.reasons["network.name"] = why
    choice.set("training.batch_size", fit.batch_size, "of each domain")
    choice.set("training.precision", fit.precision)
    choice.content["training"]["optimizer"] = {**fit.optimizer, "learning_rate": fit.rate}
    _transforms(choice, source, target, size)
    set_steps(choice, fit, 1.0)
    if machine.gpu is None:
        choice.set("examine", EXAMINED, "pictures of each domain that the doctor looks at: few on a processor")
    if target.scored is not None:
        choice.content["stages"]["scores"] = {"evaluate": [CONTROL, ADAPTED]}
        choice.reasons["stages.scores"] = "the target's val labels, for scoring alone"
    return choice


def _transforms(choice: Choice, source: Domain, target: Domain, size: Size) -> None:
    native = "x".join(map(str, target.size))
    reason = f"the target's proportions ({native}), no larger than the time allows"
    choice.set("training.target_transform.size", list(size), reason)
    ratio = (source.size[0] / source.size[1]) / (target.size[0] / target.size[1])
    if 1 / SAME_ASPECT < ratio < SAME_ASPECT:
        choice.set("training.source_transform.size", list(size))
        return
    cover = covering_size(source.size, size)
    choice.set("training.source_transform.size", list(cover), "its own proportions: nothing is squeezed")
    choice.set("training.source_transform.crop", list(size), "what the target's pictures are like")


def set_steps(choice: Choice, fit: Fit, factor: float) -> None:
    """The table's steps times a factor, and what follows from them."""
    base, steps = max(1, round(fit.base_steps * factor)), max(1, round(fit.steps * factor))
    choice.set("training.steps", steps)
    choice.set(f"stages.{BASE}.training.steps", base)
    choice.set("training.schedule.warmup_steps", math.ceil(fit.warmup * steps))
    if base != steps:
        choice.set(f"stages.{BASE}.training.schedule.warmup_steps", math.ceil(fit.warmup * base))
    if fit.base_rate != fit.rate:
        choice.set(f"stages.{BASE}.training.optimizer.learning_rate", fit.base_rate)
    choice.set(f"stages.{ADAPTED}.options.teacher.decay", teacher_decay(steps), f"a memory that fits {steps} steps")
    choice.set("training.log_every", max(1, min(20, steps // 20)))


def what_was_seen(source: Domain, target: Domain, machine: Machine) -> list[str]:
    """Lines on the data and the machine, for the user and for the head of the recipe."""
    space = source.dataset.class_space
    labelled = "scored on its val labels" if target.scored else "no labels to score on"
    lines = [
        f"source: {source.spec}, {len(source.dataset)} labelled images, {_sizes(source)}",
        f"target: {target.spec}, {len(target.dataset)} images, {_sizes(target)}, {labelled}",
        f"classes ({len(space)}): {', '.join(space.classes)}",
        f"machine: {machine.words()}, {machine.memory_gb:.0f} GB of memory",
    ]
    gap = colour_gap(source, target)
    far = ", far apart: compare with a colour match first (`translate: histogram`)" if gap >= FAR_COLOURS else ""
    lines.append(f"colours: {gap:.0f} of 255 grey levels apart{far}")
    return [*lines, *source.remarks, *target.remarks]


def what_was_chosen(choice: Choice, fit: Fit, why: str) -> list[str]:
    """Lines on the choice, for the user and for the head of the recipe."""
    content: Mapping[str, Any] = choice.content
    training, stages = content["training"], content["stages"]
    size = "x".join(map(str, training["target_transform"]["size"]))
    crop = training["source_transform"].get("crop")
    cut = f" (the source at {'x'.join(map(str, training['source_transform']['size']))}, cut)" if crop else ""
    return [
        f"network: {content['network']['name']}, {why}",
        f"pictures: {size}{cut}, {training['batch_size']} of each domain per step",
        f"steps: {stages[BASE]['training']['steps']:,} on the source, then {training['steps']:,} more without the "
        f"target ({CONTROL}) and with it ({ADAPTED}: {stages[ADAPTED]['train']})",
    ]


def _sizes(domain: Domain) -> str:
    (most, _), others = domain.sizes.most_common(1)[0], len(domain.sizes) - 1
    return most if not others else f"mostly {most} ({others + 1} sizes)"
