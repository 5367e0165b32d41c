"""The verb ``evaluate``: checkpoints (one, or several as an ensemble) and a labelled set -> scores and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat

from acclimate.data.class_space import ClassSpace
from acclimate.data.loading import images_in_order
from acclimate.data.sample import Dataset, evenly_spaced
from acclimate.data.wrappers import Subset
from acclimate.errors import UserError
from acclimate.evaluation.boundaries import BoundaryCounts
from acclimate.evaluation.confusion import ConfusionMatrix
from acclimate.evaluation.inference import Inference, Resample
from acclimate.evaluation.label_free import label_free_scores, predicted_probabilities, sampled_class_ratios
from acclimate.evaluation.predict import predict, predict_labels
from acclimate.evaluation.protocols import Protocol
from acclimate.evaluation.scores import Row, read_scores, score_row, write_scores
from acclimate.io.identity import identity
from acclimate.io.progress import progress
from acclimate.models.checkpoint import ModelCard, load_network
from acclimate.models.network import SegmentationNetwork, laid_out_to_predict
from acclimate.models.reordered import Reordered, order_of
from acclimate.stages.pictures import write_pictures
from acclimate.stages.stage import (
    MODEL,
    PREDICTION_WORK,
    Context,
    Done,
    Place,
    Stage,
    StageSettings,
    Written,
    can_name_a_folder,
)
from acclimate.training.resources import peak_memory_mb, reset_peak_memory
from acclimate.training.team import ALONE, Team

SCORES = "scores.json"


class ScoredRow(BaseModel):
    """One row of the results: a stage's checkpoint, or several as an ensemble.

    Logits are averaged (ADVENT's rule) unless the protocol, ``inference`` or ``average`` of the row says otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    of: list[str] = Field(min_length=1)
    weights: list[PositiveFloat] | None = None
    average: Resample | None = None


class EvaluateStage(StageSettings):
    """``evaluate``: scores of stages' checkpoints, one row each.

    Attributes:
        pictures: how many images of each domain are pictured.
        label_free: how many of the target's training images the scores without labels are computed on; 0: none.
        boundary_width: pixels from a class boundary within which accuracy and entropy are also told apart; 0: not at
            all.
    """

    verb = "evaluate"
    tasks = ("segmentation", "detection")
    evaluate: list[str | ScoredRow]
    pictures: NonNegativeInt = 4
    label_free: NonNegativeInt = 16
    boundary_width: NonNegativeInt = 0

    def rows(self) -> list[ScoredRow]:
        """The rows with names written out."""
        return [entry if isinstance(entry, ScoredRow) else ScoredRow(name=entry, of=[entry]) for entry in self.evaluate]

    def made_from(self) -> Iterator[tuple[str, str, str]]:
        for row in self.rows():
            for name in row.of:
                yield "evaluate", name, "train"

    def problems(self, written: Written) -> Iterator[str]:
        at, rows = f"{written.at}.evaluate", self.rows()
        for row in rows:
            if not can_name_a_folder(row.name):
                yield f"{at}: {row.name!r} cannot name a folder; leave out / and \\\\"
            if row.weights is not None and len(row.weights) != len(row.of):
                yield f"{at}: row {row.name!r} has {len(row.weights)} weights for {len(row.of)} models"
        names = [row.name for row in rows]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{at}: two rows are called {name!r}; give one of them another name"
        if written.task.name == "detection" and self.boundary_width:
            yield f"{written.at}.boundary_width: boxes have no class boundaries; remove the key"
        if written.task.name == "detection" and any(len(row.of) > 1 for row in rows):
            yield f"{at}: detectors are scored one by one; give each a row of its own"

    def ready(self, context: Context) -> Sequence[Stage]:
        return [ScoredModels(context, self, row) for row in self.rows()]


class ScoredModels(Stage):
    """A row of results: ``scores.json`` and pictures."""

    verb = "evaluate"
    products = (SCORES,)
    shared = True

    def __init__(self, context: Context, stage: EvaluateStage, row: ScoredRow) -> None:
        super().__init__(context, inputs=[context.finished[name] for name in row.of])
        self.stage, self.row = stage, row
        self.title, self.suffix = f"evaluate {row.name}, seed {context.seed}", row.name
        self.method = "+".join(dict.fromkeys(member.method for member in self.inputs))
        self.protocol = context.data.protocol.averaging(row.average)

    def identity(self) -> dict[str, Any]:
        data, stage = self.context.data, self.stage
        return {
            "name": self.row.name,
            "checkpoints": [member.key for member in self.inputs],
            "weights": self.row.weights,
            "data": data.evaluation.fingerprint(),
            "pictured": data.source.fingerprint(),
            "unlabelled": data.target.fingerprint() if stage.label_free else None,
            "protocol": self.protocol.identity(),
            **{key: value for key, value in identity(stage).items() if key != "evaluate"},
        }

    def work(self) -> float:
        return PREDICTION_WORK * len(self.row.of) * (len(self.context.data.evaluation) + self.stage.label_free)

    def run(self, place: Place) -> dict[str, Any]:
        self.context.task.score(self, place)
        return {}

    def scored(self, done: Done, *, stage_name: str) -> Row:
        """The finished stage's row, with what its models cost and everything they were made from."""
        chain = [stage for member in self.inputs for stage in member.chain().values()]
        chain = list({stage.key: stage for stage in chain}.values())
        first = self.inputs[0].summary
        return read_scores(done.folder / SCORES)[0].model_copy(
            update={
                "stage": stage_name,
                "checkpoint": f"{stage_name}/{MODEL}",
                "train_seconds": round(sum(stage.summary.get("train_seconds", 0.0) for stage in chain), 2),
                "images_per_second": first.get("images_per_second"),
                "peak_memory_mb": max(stage.summary.get("peak_memory_mb", 0.0) for stage in chain),
                "chosen_step": first.get("chosen_step") if len(self.inputs) == 1 else None,
            }
        )


def score_networks(stage: ScoredModels, place: Place) -> None:
    """Scores segmentation networks, as :class:`ScoredModels` says."""
    context, settings = stage.context, stage.stage
    data = context.data
    label_free = LabelFree(data.target, data.source, settings.label_free) if settings.label_free else None
    request = EvaluateRequest(
        name=stage.row.name,
        method=stage.method,
        seed=context.seed,
        checkpoints=[member.folder / MODEL for member in stage.inputs],
        weights=stage.row.weights,
        data=data.evaluation,
        protocol=stage.protocol,
        class_space=data.class_space,
        pictured={"target": data.evaluation, "source": data.source},
        pictures=settings.pictures,
        label_free=label_free,
        boundary_width=settings.boundary_width,
    )
    team, device = Team(place.fabric), str(place.fabric.device)
    evaluate(request, folder=place.folder, title=stage.title, device=device, team=team)


@dataclass(frozen=True)
class LabelFree:
    """What the scores of :mod:`acclimate.evaluation.label_free` are computed on.

    Attributes:
        target: its training images; labels are not looked at.
        source: whose class ratios predictions are compared with; None: they are not.
        images: how many of the target's, evenly spaced.
    """

    target: Dataset
    source: Dataset | None
    images: int


@dataclass(frozen=True)
class EvaluateRequest:
    """Everything an ``evaluate`` stage depends on.

    Attributes:
        name, method, seed: for the row of results.
        checkpoints: one, or the members of an ensemble.
        weights: of the members; equal by default.
        data: the labelled set.
        protocol: how it is scored, and how networks are asked.
        class_space: the classes of labels and networks.
        pictured: domain name -> set of which a few images are pictured.
        pictures: how many images per domain.
        boundary_width: pixels from a class boundary within which scores are also told apart; 0: not at all.
        label_free: what the scores without labels are computed on; None: there are none.
    """

    name: str
    method: str
    seed: int
    checkpoints: Sequence[Path]
    weights: Sequence[float] | None
    data: Dataset
    protocol: Protocol
    class_space: ClassSpace
    pictured: Mapping[str, Dataset]
    pictures: int
    label_free: LabelFree | None = None
    boundary_width: int = 0


def evaluate(
    request: EvaluateRequest, *, folder: Path | None, title: str, device: str = "cpu", team: Team = ALONE
) -> Row:
    """Scores over the whole set at the labels' native size; with a ``folder``, scores and pictures are left there.

    Args:
        request: what is scored, and how.
        folder: of all processes.
        title: of the bar.
        device: of this process.
        team: who shares the images; the scores do not depend on it.

    Raises:
        UserError: the set has no labels, or a checkpoint has other classes.
    """
    if not request.data.has_labels:
        raise UserError(f"{request.data.spec} ({request.data.split}) has no labels, so nothing can be scored on it")
    reset_peak_memory()
    networks, _ = load_networks(request.checkpoints, request.class_space, device=device)
    protocol = request.protocol
    confusion = ConfusionMatrix(request.class_space.classes)
    width = request.boundary_width
    boundaries = BoundaryCounts(request.class_space.classes, width=width) if width else None
    how: dict[str, Any] = {"inference": protocol.inference, "weights": request.weights}
    with progress(title, len(request.data), silent=not team.first) as bar:
        for index in team.handed_out(range(len(request.data)), bar):
            one = Subset(request.data, [index])
            batch = next(images_in_order(one, size=protocol.inference.size, labels=True))
            assert batch.labels is not None
            images, label = batch.images.to(device), batch.labels[0]
            size = (label.shape[0], label.shape[1])
            if boundaries is None:
                labels = predict_labels(networks, images, size=size, **how)[0].cpu().numpy()
            else:
                prediction = predict(networks, images, size=size, **how)
                labels = prediction.labels[0].cpu().numpy()
                boundaries.add(label, labels, prediction.entropy[0].cpu().numpy())
            confusion.add(label, labels)
    confusion, boundaries = _together(confusion, boundaries, team)
    row = score_row(
        confusion,
        name=request.name,
        stage="",
        method=request.method,
        seed=request.seed,
        data=request.data.spec.partition(":")[0],
        split=request.data.split,
        images=len(request.data),
        protocol=protocol,
        peak_memory_mb=round(peak_memory_mb(), 1),
    )
    if boundaries is not None:
        row = row.model_copy(update={"boundaries": boundaries.scores()})
    if chosen := protocol.chosen():
        row = row.model_copy(update={"inference": chosen})
    if request.label_free is not None:
        once = Inference(size=protocol.inference.size)
        scores = scores_without_labels(
            networks, request.label_free, inference=once, weights=request.weights, device=device, team=team
        )
        row = row.model_copy(update={"label_free": scores})
    if folder is not None:
        if team.first:
            write_scores(folder / SCORES, [row])
        write_pictures(
            folder / "pictures",
            request.name,
            networks,
            request.pictured,
            count=request.pictures,
            class_space=request.class_space,
            inference=protocol.inference,
            weights=request.weights,
            device=device,
            team=team,
        )
    return row


def _together(
    confusion: ConfusionMatrix, boundaries: BoundaryCounts | None, team: Team
) -> tuple[ConfusionMatrix, BoundaryCounts | None]:
    """What all processes counted."""
    whole = ConfusionMatrix(confusion.classes)
    whole.take(team.summed(confusion.counts))
    if boundaries is None:
        return whole, None
    around = BoundaryCounts(confusion.classes, width=boundaries.width)
    for counted in team.gathered(boundaries.counted()):
        around.take(counted)
    return whole, around


def scores_without_labels(
    networks: Sequence[SegmentationNetwork],
    data: LabelFree,
    *,
    inference: Inference,
    weights: Sequence[float] | None = None,
    device: str,
    team: Team = ALONE,
) -> dict[str, float]:
    """The scores of :mod:`acclimate.evaluation.label_free` of a network, or of an ensemble.

    Args:
        networks: in evaluation mode.
        inference: how they are asked.
        weights: of the members; equal by default.
        team: who shares the images.
    """
    probabilities = predicted_probabilities(
        networks,
        data.target,
        team.share(evenly_spaced(data.images, len(data.target))),
        inference=inference,
        weights=weights,
        device=device,
    )
    probabilities = team.in_order(probabilities)
    ratios = None if data.source is None else sampled_class_ratios(data.source, classes=networks[0].classes)
    return label_free_scores(probabilities, source_ratios=ratios)


def load_networks(
    checkpoints: Sequence[Path], class_space: ClassSpace | None, *, device: str
) -> tuple[list[SegmentationNetwork], list[ModelCard]]:
    """Networks in evaluation mode, and their cards, over the classes of ``class_space``, matched by name.

    Raises:
        UserError: one has other classes.
    """
    networks, cards = [], []
    for path in checkpoints:
        network, card = load_network(path, device=device)
        order = None if class_space is None else order_of(card, class_space, path)
        ordered = network if order is None else cast(SegmentationNetwork, Reordered(network, order))
        networks.append(laid_out_to_predict(ordered.eval()))
        cards.append(card)
    return networks, cards
