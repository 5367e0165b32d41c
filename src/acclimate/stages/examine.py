"""What the doctor looks at: a run's sets before anything is trained, and every trained model, on a few pictures.

No recipe names these stages: a run of label maps does them by itself, as many pictures each as its ``examine`` says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from acclimate.data.cut import Cut, unlabelled_rim, without_margin
from acclimate.data.registry import open_dataset
from acclimate.data.sample import Dataset, evenly_spaced
from acclimate.data.transforms import Transform
from acclimate.data.wrappers import Translated
from acclimate.doctor.findings import BASELINE, Finding
from acclimate.doctor.models import findings_in_model
from acclimate.doctor.sets import findings_in_sets
from acclimate.doctor.signals import SIGNALS, ModelSignals, SetSignals
from acclimate.errors import UserError
from acclimate.evaluation.inference import Inference
from acclimate.io.checksums import write_verified_json
from acclimate.io.progress import progress
from acclimate.stages.evaluate import EvaluateStage, load_networks
from acclimate.stages.measured import Glimpse, source_signals, target_signals
from acclimate.stages.pictures import FOLDER, write_pictures
from acclimate.stages.stage import MODEL, Context, Done, Place, Stage
from acclimate.stages.train import TrainStage
from acclimate.translation.colour import wasserstein

log = logging.getLogger(__name__)

PICTURED = 6
"""Frames of the target that are pictured where the recipe scores nothing, so that no other stage pictures them."""


class ExaminedSets(Stage):
    """What :class:`SetSignals` says of source and target."""

    verb = "examine"
    products = (SIGNALS,)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.title = "look at the data"

    def identity(self) -> dict[str, Any]:
        data, recipe = self.context.data, self.context.recipe
        return {
            "sets": [data.source.fingerprint(), data.target.fingerprint()],
            "frames": recipe.examine,
            "transforms": [transform.model_dump(mode="json", include={"size"}) for transform in _transforms(recipe)],
            "translated": _translated(recipe),
        }

    def run(self, place: Place) -> dict[str, Any]:
        recipe, data = self.context.recipe, self.context.data
        source, target = (Glimpse.of(domain, recipe.examine) for domain in (data.source, data.target))
        red, green, blue = (round(float(value), 2) for value in wasserstein(source.colours, target.colours))
        stretches = [
            1.0 if transform.size is None else round(transform.size[0] / transform.size[1] / domain.aspect, 4)
            for transform, domain in zip(_transforms(recipe), (source, target), strict=True)
        ]
        signals = SetSignals(
            colour_distance=(red, green, blue),
            aspects=(round(source.aspect, 4), round(target.aspect, 4)),
            stretches=(stretches[0], stretches[1]),
            target_difference=target.difference(),
            translated=_translated(recipe),
            source_rim=_rim(data.source, recipe.examine),
        )
        write_verified_json(place.folder / SIGNALS, signals.model_dump(mode="json"))
        _tell(findings_in_sets(signals))
        return {}


class ExaminedModel(Stage):
    """What :class:`ModelSignals` says of a trained model; and pictures, where no other stage makes them."""

    verb = "examine"
    products = (SIGNALS,)

    def __init__(self, context: Context, trained: Done) -> None:
        super().__init__(context, inputs=[trained])
        self.trained, self.method = trained, trained.method
        self.title = f"look at {context.name}"
        scores = any(isinstance(stage, EvaluateStage) for stage in context.recipe.stages.values())
        self.pictures = 0 if scores else PICTURED

    def identity(self) -> dict[str, Any]:
        data, recipe = self.context.data, self.context.recipe
        return {
            "name": self.context.name,
            "checkpoint": self.trained.key,
            "sets": [self._source()[0].fingerprint(), data.target.fingerprint()],
            "frames": recipe.examine,
            "pictures": self.pictures,
            "size": recipe.prediction_size(),
        }

    def run(self, place: Place) -> dict[str, Any]:
        context, device = self.context, str(place.fabric.device)
        (network,), _ = load_networks([self.trained.folder / MODEL], context.data.class_space, device=device)
        inference = Inference(size=context.recipe.prediction_size())
        source, held_out = self._source()
        with progress(self.title, 2) as bar:
            on_source = source_signals(
                network, source, held_out=held_out, count=context.recipe.examine, inference=inference, device=device
            )
            bar.advance()
            on_target = target_signals(
                network,
                context.data.target,
                classes=context.data.class_space.classes,
                count=context.recipe.examine,
                inference=inference,
                labels=on_source.labels if on_source else None,
                device=device,
            )
            bar.advance()
        signals = ModelSignals(method=self.method, source=on_source, target=on_target)
        if self.pictures:
            write_pictures(
                place.folder / FOLDER,
                context.name,
                [network],
                {"target": context.data.target},
                count=self.pictures,
                class_space=context.data.class_space,
                inference=inference,
                labels=False,
                device=device,
            )
        write_verified_json(place.folder / SIGNALS, signals.model_dump(mode="json"))
        found = findings_in_model(context.name, signals)
        if self.method != BASELINE:  # what source-only has too was said of source-only
            found = (each for each in found if each.severity == "alarm" and each.kind != "weak source model")
        _tell(found)
        return {}

    def _source(self) -> tuple[Dataset, bool]:
        """Labelled pictures of the source, and whether they were held out: another split's where there is one."""
        source = self.context.data.source
        stage = self.context.recipe.stages[self.context.name]
        if isinstance(stage, TrainStage) and (translation := self.context.earlier(stage.source)) is not None:
            return Translated(source, translation.folder), False
        for split in ("val", "test"):
            if split != source.split:
                try:
                    held_out = open_dataset(source.spec, split=split, class_space=self.context.data.class_space)
                except UserError:
                    continue
                if held_out.has_labels and len(held_out):
                    return without_margin(held_out, self.context.recipe.source_cut), True
        return source, False


def _tell(findings: Iterable[Finding]) -> None:
    """Says at once what is worth more than a note: before hours are spent on what comes next."""
    for finding in findings:
        if finding.severity != "note":
            log.warning("%s", finding.sentence())


def _rim(source: Dataset, count: int) -> Cut:
    """What no label of the source speaks of at its sides."""
    return unlabelled_rim(source, evenly_spaced(count, len(source))) if source.has_labels else Cut()


def _transforms(recipe: Any) -> tuple[Transform, Transform]:
    """How the first stage that trains brings source and target to size."""
    stage = next((each for each in recipe.stages.values() if isinstance(each, TrainStage)), TrainStage(train=""))
    settings = recipe.training_settings(stage)
    return settings.source_transform, settings.target_transform


def _translated(recipe: Any) -> bool:
    """Whether every stage that trains on the source reads it translated, or follows one that does."""
    return any(isinstance(stage, TrainStage) and stage.source is not None for stage in recipe.stages.values())
