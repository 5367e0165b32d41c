"""What the verb ``train`` needs to know of a segmentation network: its method, its batches and its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from acclimate.data.cache import cached
from acclimate.data.class_counts import class_counts
from acclimate.data.class_space import ClassSpace
from acclimate.data.crops import Focus
from acclimate.data.loading import batches
from acclimate.data.sample import Batch, Dataset
from acclimate.data.stats import stats
from acclimate.data.transforms import Transform
from acclimate.data.wrappers import PseudoLabelled
from acclimate.errors import UserError
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.label_free import HIGHER_IS_BETTER
from acclimate.methods import (
    Method,
    Setting,
    Statistic,
    method_class,
    method_options,
)
from acclimate.models.checkpoint import ModelCard, load_network, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.modules import load_modules, save_modules
from acclimate.models.network import SegmentationNetwork, evaluation_mode
from acclimate.models.registry import build_network
from acclimate.models.reordered import order_of, reorder_heads
from acclimate.pseudo.store import read_manifest
from acclimate.stages.evaluate import LabelFree, scores_without_labels
from acclimate.stages.pictures import overlays
from acclimate.stages.stage import MODEL, MODULES
from acclimate.training.labelled_target import LabelledTarget, joined
from acclimate.training.rounds import source_part
from acclimate.training.settings import TrainingSettings
from acclimate.training.snapshots import Snapshots


@dataclass(frozen=True)
class SegmentationTraining:
    """Everything a ``train`` stage depends on.

    Attributes:
        method, options, network, training, seed: what is trained and how.
        source: the labelled source; for methods that do not train on it, the target with its own or pseudo-labels.
        target: the target without labels, or laid over with pseudo-labels; None where the method does not look at it.
        pseudo_labelled: whether ``target`` carries pseudo-labels to train on.
        class_space: what the network's classes mean.
        start: a checkpoint to start from; None: the network's own initial weights.
        input_size: (width, height) to predict at, noted on the model card.
        recipe, title: for the card and the progress bar.
        scored_on: target and source that snapshots are scored on; the target's own labels, where a few may be read.
    """

    method: str
    options: dict[str, Any]
    network: NetworkConfig
    training: TrainingSettings
    source: Dataset
    target: Dataset | None
    pseudo_labelled: bool
    class_space: ClassSpace
    seed: int
    start: Path | None
    input_size: tuple[int, int] | None
    recipe: str
    title: str
    scored_on: tuple[Dataset, Dataset] | None = None

    def build_method(self, cache: Path) -> Method:
        """The method with its network, initialised from the request's seed and start."""
        return build_method(self, cache=cache)

    def batches(
        self, first_step: int, *, cache: Path, fabric: Fabric
    ) -> tuple[Iterator[Batch], Iterator[Batch] | None]:
        """The batches of both domains from ``first_step`` on."""
        return _batches(self, first_step, cache=cache, fabric=fabric)

    def save(self, path: Path, network: SegmentationNetwork) -> None:
        """Writes the trained network with its card."""
        save_network(path, network, card=_card(self))

    def snapshots(self, method: Method, folder: Path, *, device: str) -> Snapshots | None:
        """What takes snapshots of the method's network while it trains, where the settings ask for it."""
        settings = self.training.snapshots
        if settings is None:
            return None
        assert self.scored_on is not None, "snapshots are scored on the run's own sets"
        data = LabelFree(*self.scored_on, settings.images)
        network = method.result()

        def score() -> dict[str, float]:
            with evaluation_mode(network):
                return scores_without_labels([network], data, inference=Inference(size=self.input_size), device=device)

        def write(place: Path, step: int) -> None:
            save_modules(place / MODULES, method)
            save_network(place / MODEL, network, card=_card(self).model_copy(update={"steps": step}))

        def look() -> dict[str, NDArray[np.uint8]]:
            return overlays(network, self.scored_on[0], size=self.input_size, device=device) if self.scored_on else {}

        return Snapshots(folder, settings, score=score, write=write, higher_is_better=HIGHER_IS_BETTER, look=look)


def build_method(request: SegmentationTraining, *, cache: Path) -> Method:
    """The method with its network, initialised from the request's seed and start."""
    torch.manual_seed(request.seed)
    network = build_network(request.network, len(request.class_space))
    options = method_options(request.method, request.options)
    kind = method_class(request.method)
    needs = kind.needs(options)
    initial = deepcopy(network) if "initial network" in needs else None
    if request.start is not None:
        started, card = load_network(request.start)
        if (order := order_of(card, request.class_space, request.start)) is not None:
            reorder_heads(started, order, request.start)
        _expect_same_network(started, network, request.start)
        problems = network.load_state_dict(started.state_dict(), strict=False)
        if problems.missing_keys or problems.unexpected_keys:
            raise UserError(
                f"{request.start} holds another network ({card.network.name}) than the one to train "
                f"({request.network.name}); start from a checkpoint of the same network"
            )
    setting = Setting(
        optimizer=request.training.optimizer,
        steps=request.training.steps,
        class_names=request.class_space.classes,
        initial=initial,
        **_statistics(request, needs, cache),
    )
    method = kind(network, options=options, setting=setting)
    if request.start is not None:
        load_modules(request.start.parent / MODULES, method)
    return method


def _expect_same_network(started: SegmentationNetwork, network: SegmentationNetwork, path: Path) -> None:
    before, now = _what_it_is(started), _what_it_is(network)
    different = [key for key in now if now[key] != before.get(key)]
    if different:
        wanted = ", ".join(f"{key}: {before.get(key)}" for key in different)
        raise UserError(
            f"{path} holds another network than the one to train; it has {wanted}, where the recipe's network has "
            f"{', '.join(f'{key}: {now[key]}' for key in different)}; set network in the recipe to what it has"
        )


def _what_it_is(network: SegmentationNetwork) -> dict[str, Any]:
    """A network's name and options, without those that only change how it learns."""
    options = network.config.options
    return {"name": network.config.name} | {
        key: value for key, value in options.model_dump().items() if key not in options.learning
    }


def _statistics(request: SegmentationTraining, needs: frozenset[Statistic], cache: Path) -> dict[str, Any]:
    """What the method asks to know of the data, as :class:`Setting` takes it."""
    found: dict[str, Any] = {}
    if "class ratios" in needs:
        found["class_ratios"] = torch.as_tensor(stats(request.source, cache).class_ratios, dtype=torch.float32)
    if "class sizes" in needs:
        found["class_sizes"] = torch.as_tensor(stats(request.source, cache).mean_class_sizes, dtype=torch.float32)
    if "class thresholds" in needs:
        found["class_thresholds"] = _class_thresholds(request)
    if "class shares" in needs:
        domains = {"source": request.source}
        if request.target is not None and request.pseudo_labelled:
            domains["target"] = request.target
        found["class_shares"] = {
            name: {image: torch.from_numpy(row) for image, row in class_counts(dataset, cache).shares_by_name().items()}
            for name, dataset in domains.items()
        }
    return found


def _class_thresholds(request: SegmentationTraining) -> torch.Tensor:
    """(C,) probabilities by which pseudo-labels were chosen; 1 where other labels stand for them in a trial."""
    if request.pseudo_labelled and not isinstance(request.target, PseudoLabelled):
        return torch.ones(len(request.class_space))
    manifest = read_manifest(request.target.folder) if isinstance(request.target, PseudoLabelled) else None
    if manifest is None or manifest["selection"]["decision"] != "class-balanced":
        raise UserError(
            f"the options of {request.method} soften class-balanced labels; give the stage pseudo_labels of a label "
            "stage with selection: {confidence: softmax, rule: portion, decision: class-balanced}"
        )
    return torch.tensor([1.0 if value is None else value for value in manifest["thresholds"]])


def _batches(
    request: SegmentationTraining, first_step: int, *, cache: Path, fabric: Fabric
) -> tuple[Iterator[Batch], Iterator[Batch] | None]:
    settings = request.training
    on_target = method_class(request.method).trains_on != "source"

    part = source_part(request.source, settings.source_portion, seed=request.seed)
    sampler = settings.source_sampling.sampler(part, seed=request.seed, cache=cache)

    def stream(dataset: Dataset, name: str, transform: Transform, size: int, labels: bool) -> Iterator[Batch]:
        if settings.cache and transform.size is not None:
            dataset = cached(
                dataset,
                size=transform.size,
                folder=cache,
                labels=labels,
                resample=transform.resample,
                reading=transform.reading,
                gigabytes=settings.cache_gigabytes,
            )
        if size % fabric.world_size:
            raise UserError(f"a batch of {size} cannot be split over {fabric.world_size} processes evenly")
        return batches(
            dataset,
            transform=transform,
            batch_size=size // fabric.world_size,
            seed=request.seed,
            first_step=first_step,
            steps=settings.steps,
            workers=settings.workers,
            labels=labels,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            stream=name,
            colours_later=fabric.device.type != "cpu",
            sampler=sampler if name == "source" else None,
        )

    mined = _mined(request)
    transform = mined(settings.target_transform if on_target else settings.source_transform)
    source = stream(part, "source", transform, settings.batch_size, True)
    if settings.labelled_target is not None:
        source = joined(source, _few_of_the_target(request, settings.labelled_target, stream))
    if request.target is None:
        return source, None
    size = settings.target_batch_size or settings.batch_size
    target = stream(request.target, "target", mined(settings.target_transform), size, request.pseudo_labelled)
    return source, target


def _few_of_the_target(
    request: SegmentationTraining,
    few: LabelledTarget,
    stream: Callable[[Dataset, str, Transform, int, bool], Iterator[Batch]],
) -> Iterator[Batch]:
    """Batches of the target's few labelled images, changed in colour as the source's are."""
    method = method_class(request.method)
    if method.trains_on != "source" or "class shares" in method.needs(method_options(request.method, request.options)):
        raise UserError(
            f"training.labelled_target adds labelled images to the source's, which {request.method} does not train on "
            "by pixels alone; remove it"
        )
    assert request.scored_on is not None, "a training on a source knows its target"
    transform = request.training.target_transform.model_copy(
        update={"photometric": request.training.source_transform.photometric}
    )
    return stream(few.part(request.scored_on[0]), "labelled target", transform, few.per_batch, True)


def _mined(request: SegmentationTraining) -> Callable[[Transform], Transform]:
    """Adds the crops around rare classes that the settings ask for."""
    mining = request.training.mining
    if mining is None:
        return lambda transform: transform
    if not isinstance(request.target, PseudoLabelled):
        raise UserError("training.mining looks for classes rare in pseudo-labels; give the stage pseudo_labels")
    classes = mining.rare_classes(read_manifest(request.target.folder)["predicted_pixels"])
    focus = Focus(classes=classes, chance=mining.chance)

    def mined(transform: Transform) -> Transform:
        if transform.crop is None:
            raise UserError("training.mining places crops; set crop in source_transform and target_transform")
        return transform.model_copy(update={"focus": focus})

    return mined


def _card(request: SegmentationTraining) -> ModelCard:
    return ModelCard(
        network=request.network.model_copy(update={"weights": None}),
        class_space=request.class_space.name,
        classes=request.class_space.classes,
        colours=request.class_space.colours,
        input_size=request.input_size,
        method=request.method,
        recipe=request.recipe,
        seed=request.seed,
        steps=request.training.steps,
    )
