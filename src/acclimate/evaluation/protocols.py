"""Protocols: what a published mIoU means.

A protocol fixes the classes, the subsets over which a mean is also printed, the resolution of the comparison and the
rule by which low-resolution network outputs are enlarged to it. All published protocols here score over the whole
split, at the label's native size, with one confusion matrix (never a mean of per-image IoUs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from acclimate.data.class_space import ClassSpace
from acclimate.data.class_spaces import SIXTEEN, THIRTEEN
from acclimate.errors import unknown
from acclimate.evaluation.confusion import Absent
from acclimate.evaluation.inference import ONCE, Inference, Resample
from acclimate.io.identity import identity


@dataclass(frozen=True)
class Protocol:
    """The conventions behind a score.

    Attributes:
        name: how recipes, commands and results refer to it.
        class_space: name of the class space of labels and predictions.
        subsets: named lists of classes over which a mean is also given.
        resolution: ``native``: labels keep their own size and predictions are enlarged to it.
        inference: how networks are asked; every protocol published here enlarges with aligned corners.
        absent: what a class absent from the ground truth counts, see ``ConfusionMatrix``.
        description: one line for ``acclimate list protocols``.
    """

    name: str
    class_space: str
    subsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    resolution: Literal["native"] = "native"
    inference: Inference = ONCE
    absent: Absent = "skip"
    description: str = ""

    def asking(self, inference: Inference, *, size: tuple[int, int] | None = None) -> Protocol:
        """The protocol with the given keys of an inference in place of its own.

        Args:
            inference: what a recipe or a command gives.
            size: (width, height) networks see where neither names one; None: images' own.

        Raises:
            UserError: the keys contradict the protocol's.
        """
        chosen = inference.over(self.inference)
        if chosen.size is None:
            chosen = chosen.model_copy(update={"size": size})
        return replace(self, inference=chosen)

    def identity(self) -> dict[str, Any]:
        """What decides a score, as JSON: the fields that differ from their defaults."""
        found = {"name": self.name, "class_space": self.class_space, "inference": identity(self.inference)}
        if self.subsets:
            found["subsets"] = dict(self.subsets)
        for each in fields(self):
            if each.name not in (*found, "description") and (value := getattr(self, each.name)) != each.default:
                found[each.name] = value
        return found

    def averaging(self, average: Resample | None) -> Protocol:
        """The protocol with a row's own way to average an ensemble; None: as it is. Raises as :meth:`asking`."""
        return self if average is None else self.asking(Inference(average=average))

    def chosen(self) -> dict[str, Any]:
        """In which keys networks are asked otherwise than by the registered protocol, for the row of results."""
        registered = PROTOCOLS[self.name].inference if self.name in PROTOCOLS else ONCE
        keys = [key for key in Inference.model_fields if key not in ("size", "windows_at_once")]
        values = {key: getattr(self.inference, key) for key in keys}
        values = {key: value for key, value in values.items() if value != getattr(registered, key)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "cityscapes-19",
            "cityscapes-19",
            subsets={"16": SIXTEEN, "13": THIRTEEN},
            description="Cityscapes val, the 19 train classes (from GTA5)",
        ),
        Protocol(
            "cityscapes-16",
            "cityscapes-16",
            subsets={"13": THIRTEEN},
            description="Cityscapes val, the 16 classes SYNTHIA shares with it; mIoU* is the mean over 13 of them",
        ),
        Protocol("cityscapes-13", "cityscapes-13", description="Cityscapes val, networks of SYNTHIA's 13 classes"),
        Protocol(
            "cityscapes-19-official",
            "cityscapes-19",
            subsets={"16": SIXTEEN, "13": THIRTEEN},
            absent="nanmean",
            description="cityscapes-19 as the official evaluation scores a class that the labels lack",
        ),
        Protocol(
            "cityscapes-19-bdl",
            "cityscapes-19",
            subsets={"16": SIXTEEN, "13": THIRTEEN},
            inference=Inference(resample="probabilities"),
            description="cityscapes-19 as BDL's script scores: probabilities are enlarged",
        ),
        Protocol(
            "cityscapes-19-fada",
            "cityscapes-19",
            subsets={"16": SIXTEEN, "13": THIRTEEN},
            absent="zero",
            description="cityscapes-19 as FADA's script scores: a class absent from the labels counts 0",
        ),
        Protocol(
            "cityscapes-16-fada",
            "cityscapes-16",
            subsets={"13": THIRTEEN},
            absent="zero",
            description="cityscapes-16 as FADA's script scores: a class absent from the labels counts 0",
        ),
        Protocol("cityscapes-7", "cityscapes-7", description="the 7 super-classes of the Mapillary Vistas experiments"),
        Protocol("camvid-11", "camvid-11", description="CamVid, its 11 classes"),
        Protocol("carla-camvid-10", "carla-camvid-10", description="CamVid, the ten classes CARLA captures share"),
        Protocol("carla-iddlite-7", "carla-iddlite-7", description="IDD-Lite, its seven classes (from CARLA captures)"),
        Protocol("camvid-iddlite", "camvid-iddlite", description="IDD-Lite, its seven classes (from CamVid)"),
        Protocol("scenes", "scenes", description="the built-in street scenes"),
    )
}


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UserError: no protocol has that name.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def protocol_for(name: str, spec: str | None = None) -> Protocol:
    """The protocol of that name; for a ``folder:`` data set, whose classes are its own, also one over those.

    Args:
        name: a registered protocol, or the name of the class space a ``folder:`` data set declares.
        spec: the data the classes may come from, ``kind:path``.

    Raises:
        UserError: no protocol has that name and ``spec`` is not a ``folder:`` data set.
    """
    if name not in PROTOCOLS and spec is not None and spec.partition(":")[0] == "folder":
        return Protocol(name, name, description="the data set's own classes")
    return protocol(name)


def protocol_of(space: ClassSpace) -> Protocol:
    """The registered protocol that scores a class space, or, for a user's own classes, the default one over them."""
    for registered in PROTOCOLS.values():
        if registered.class_space == space.name:
            return registered
    return Protocol(space.name, space.name, subsets=dict(space.subsets), description="the data set's own classes")
