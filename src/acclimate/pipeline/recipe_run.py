"""The stages of a recipe for one seed, one after the other, each done once and found again by what it depends on."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from acclimate.data.sample import Dataset
from acclimate.data.spatial_prior import spatial_prior
from acclimate.data.tolerance import write_skipped
from acclimate.data.wrappers import Translated
from acclimate.detection.checkpoint import load_detector
from acclimate.detection.evaluate import DetectionEvaluateRequest, evaluate_detections
from acclimate.detection.protocols import DetectionProtocol
from acclimate.detection.train import DetectionTrainRequest
from acclimate.errors import UserError
from acclimate.evaluation.protocols import Protocol
from acclimate.evaluation.scores import Row, read_scores
from acclimate.io.files import atomic, hash_of_file
from acclimate.models.checkpoint import expect_classes, read_card
from acclimate.pipeline.data import Sets, protocol_of_row
from acclimate.pipeline.identity import what_matters
from acclimate.pipeline.store import Store, link
from acclimate.recipe.load import CheckpointStage, EvaluateStage, LabelStage, Recipe, TrainStage, TranslateStage
from acclimate.recipe.load import Row as RecipeRow
from acclimate.stages.evaluate import EvaluateRequest, LabelFree, evaluate
from acclimate.stages.label import LabelRequest, label, with_pseudo_labels
from acclimate.stages.train import launched_fabric, train
from acclimate.stages.training import MODEL, TrainRequest
from acclimate.stages.translate import TranslateRequest, translate, translator_identity
from acclimate.tasks import task_named
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.settings import resolved_precision
from acclimate.training.snapshots import forget_snapshots

ELSEWHERE = "elsewhere"
"""The method of a checkpoint that does not say what trained it."""


@dataclass
class Done:
    """A finished stage: its key in the store, what it cost, and the stages it was made from."""

    key: str
    folder: Path
    summary: dict[str, Any]
    method: str = ""
    made_from: list[Done] = field(default_factory=list)

    def chain(self) -> dict[str, Done]:
        """This stage and everything it was made from, each once."""
        found = {self.key: self}
        for earlier in self.made_from:
            found.update(earlier.chain())
        return found


@dataclass
class Chain:
    """One seed's way through a recipe.

    Attributes:
        recipe: what to do.
        sets: the opened data.
        seed: of everything random.
        store: where finished stages live.
        fabric: the processes.
        output: the run's folder, which gets a link to every stage.
        prefix: of the links' names: ``seed-0/`` where there are several seeds, else empty.
        finished: the stages that are done, by name.
    """

    recipe: Recipe
    sets: Sets
    seed: int
    store: Store
    fabric: Fabric
    output: Path
    prefix: str
    finished: dict[str, Done] = field(default_factory=dict)

    def run(self) -> list[Row]:
        """Every stage in order; the rows of the evaluated ones (in the first process alone)."""
        for stage in self.recipe.stages.values():
            if isinstance(stage, CheckpointStage):
                self._method_of(stage)  # what is wrong with the file is said now rather than after hours of training
        rows: list[Row] = []
        names = [name for name, stage in self.recipe.stages.items() if not isinstance(stage, EvaluateStage)]
        for number, (name, stage) in enumerate(self.recipe.stages.items(), start=1):
            if isinstance(stage, EvaluateStage):
                if self.fabric.is_global_zero:
                    rows.extend(
                        self._evaluated(row, stage, place=f"{number}-{name}-{row.name}") for row in stage.rows()
                    )
                self.fabric.barrier()
                continue
            title = f"{name} (stage {names.index(name) + 1} of {len(names)}, seed {self.seed})"
            if isinstance(stage, CheckpointStage):
                done = self._taken(stage)
            elif isinstance(stage, TrainStage):
                done = self._trained(stage, title)
            elif isinstance(stage, TranslateStage):
                done = self._translated(stage, title)
            else:
                done = self._labelled(stage, title)
            self.finished[name] = done
            if self.fabric.is_global_zero:
                link(self.output / f"{self.prefix}{number}-{name}", done.folder)
        return rows

    def _taken(self, stage: CheckpointStage) -> Done:
        """A copy of the file, so that the user's may change or go."""
        path, store = Path(stage.checkpoint), self.store
        identity = {"sha256": hash_of_file(path)}
        key = store.key("checkpoint", identity)
        if store.finished(key) is None and self.fabric.is_global_zero:
            with store.working_on(key, identity) as folder:
                with atomic(folder / MODEL) as temporary:
                    shutil.copyfile(path, temporary)
                store.finish(key, {})
        self.fabric.barrier()
        return Done(key, store.folder(key), {}, method=self._method_of(stage))

    def _method_of(self, stage: CheckpointStage) -> str:
        """What trained a checkpoint, which has to be one of the recipe's task and classes."""
        path = Path(stage.checkpoint)
        if self.recipe.task == "detection":
            _, detector = load_detector(path)
            expect_classes(detector, self.sets.class_space, path)
            return detector.method or ELSEWHERE
        card = read_card(path)
        expect_classes(card, self.sets.class_space, path)
        return card.method or ELSEWHERE

    def _trained(self, stage: TrainStage, title: str) -> Done:
        recipe = self.recipe
        network, training = recipe.network_config(stage), recipe.training_settings(stage)
        training = training.model_copy(update={"precision": resolved_precision(training.precision, network)})
        start, labels = self._earlier(stage.start), self._earlier(stage.pseudo_labels)
        source, target = self._trained_on(stage, title)
        identity = {
            "method": stage.train,
            "options": task_named(recipe.task).options(stage.train, stage.options).model_dump(mode="json"),
            "network": what_matters(network.model_dump(mode="json")),
            "training": what_matters(training.model_dump(mode="json")),
            "seed": self.seed,
            "source": source.fingerprint(),
            "target": target.fingerprint() if target is not None else None,
            "pseudo_labels": labels.key if labels else None,
            "start": start.key if start else None,
        }
        further: dict[str, Any] = {}
        if (snapshots := getattr(training, "snapshots", None)) is not None:
            further["label_free"] = LabelFree(self.sets.target, self.sets.source, snapshots.images)
            identity["scored_on"] = [self.sets.target.fingerprint(), self.sets.source.fingerprint()]
        kind: Any = DetectionTrainRequest if recipe.task == "detection" else TrainRequest
        request = kind(
            method=stage.train,
            options=stage.options,
            network=network,
            training=training,
            source=source,
            target=target,
            pseudo_labelled=target is not None and labels is not None,
            class_space=self.sets.class_space,
            seed=self.seed,
            start=start.folder / MODEL if start else None,
            input_size=recipe.prediction_size(),
            recipe=recipe.name,
            title=title,
            **further,
        )
        done = self._once("train", identity, title, lambda **place: train(request, **place), training.precision)
        done.method = stage.train
        done.made_from = self._named(stage.start, stage.pseudo_labels, stage.source)
        return done

    def _trained_on(self, stage: TrainStage, title: str) -> tuple[Dataset, Dataset | None]:
        """What a stage reads as its labelled set and as its target, if it sees one."""
        method = task_named(self.recipe.task).method(stage.train)
        labels, translation = self._earlier(stage.pseudo_labels), self._earlier(stage.source)
        source = self.sets.source if method.trains_on == "source" else self.sets.target
        if method.trains_on == "pseudo-labels":
            assert labels is not None, "the recipe's check asks for pseudo-labels"
            return with_pseudo_labels(self.sets.target, labels.folder), None
        if translation is not None:
            source = Translated(source, translation.folder)
        if not source.has_labels:
            raise UserError(
                f"stage {title.split()[0]} trains on the labels of {source.spec} ({source.split}), which has none"
            )
        if labels is not None:
            return source, with_pseudo_labels(self.sets.target, labels.folder)
        return source, self.sets.target if method.sees_target else None

    def _translated(self, stage: TranslateStage, title: str) -> Done:
        options, training, writing = self.recipe.translation_settings(stage)
        perceptual, earlier = self._earlier(stage.perceptual), self._earlier(stage.source)
        source = Translated(self.sets.source, earlier.folder) if earlier else self.sets.source
        identity = {
            **translator_identity(stage.translate, options, training, writing, self.seed),
            "source": source.fingerprint(),
            "target": self.sets.target.fingerprint(),
            "perceptual": perceptual.key if perceptual else None,
        }
        request = TranslateRequest(
            translator=stage.translate,
            options=options,
            training=training,
            writing=writing,
            source=source,
            target=self.sets.target,
            perceptual=perceptual.folder / MODEL if perceptual else None,
            seed=self.seed,
            title=title,
        )
        done = self._once("translate", identity, title, lambda **place: translate(request, **place), training.precision)
        done.made_from = self._named(stage.perceptual, stage.source)
        return done

    def _labelled(self, stage: LabelStage, title: str) -> Done:
        model, sets = self.finished[stage.label], self.sets
        identity = {
            "checkpoint": model.key,
            "data": sets.target.fingerprint(),
            "selection": stage.selection.identity(),
            "input_size": self.recipe.prediction_size(),
        }
        if stage.inference != type(stage.inference)():
            identity["inference"] = stage.inference.model_dump(mode="json", exclude={"patches_at_once"})
        if stage.spatial_prior:
            identity["spatial_prior"] = sets.source.fingerprint()
        key = self.store.key("label", identity)
        if self.store.finished(key) is None and self.fabric.is_global_zero:
            request = LabelRequest(
                checkpoint=model.folder / MODEL,
                data=sets.target,
                class_space=sets.class_space,
                selection=stage.selection,
                inference=stage.inference.views(size=self.recipe.prediction_size()),
                patches=stage.inference.in_patches(),
                batch_size=stage.batch_size,
                scores_on_disk=stage.scores_on_disk,
                prior=spatial_prior(sets.source, self.store.root / "cache") if stage.spatial_prior else None,
                title=title,
            )
            with self.store.working_on(key, identity) as folder:
                write_skipped(folder, sets.skipped)
                summary = label(request, folder=folder, device=str(self.fabric.device)) | sets.skipped_counts()
                self.store.finish(key, summary)
        elif self.fabric.is_global_zero:
            _say(f"{title}: already done, reused")
        self.fabric.barrier()
        summary = self.store.finished(key) or {}
        return Done(key, self.store.folder(key), summary, method=model.method, made_from=[model])

    def _once(
        self, verb: str, identity: dict[str, Any], title: str, work: Callable[..., dict[str, Any]], precision: Any
    ) -> Done:
        """A stage that all processes work on together, unless it is done already.

        Args:
            work: takes ``folder``, ``cache`` and ``fabric`` and returns what the stage cost.
            precision: of the fabric it is given.
        """
        store, key = self.store, self.store.key(verb, identity)
        summary = store.finished(key)
        if summary is None:
            fabric = launched_fabric(precision)
            place = {"cache": store.root / "cache", "fabric": fabric}
            if fabric.world_size > 1 and not fabric.is_global_zero:
                summary = work(folder=store.folder(key), **place)
            else:
                with store.working_on(key, identity) as folder:
                    write_skipped(folder, self.sets.skipped)
                    summary = work(folder=folder, **place) | self.sets.skipped_counts()
                    store.finish(key, summary)
                    # not before: killed in between, the stage would begin anew
                    Checkpoints(folder).clear()
                    forget_snapshots(folder)
        else:
            _say(f"{title}: already done, reused")
        return Done(key, store.folder(key), summary)

    def _evaluated(self, row: RecipeRow, stage: EvaluateStage, *, place: str) -> Row:
        sets, members = self.sets, [self.finished[name] for name in row.of]
        assert sets.evaluation is not None
        protocol = protocol_of_row(sets.protocol, row)
        identity = {
            "name": row.name,
            "checkpoints": [member.key for member in members],
            "weights": row.weights,
            "data": sets.evaluation.fingerprint(),
            "pictured": sets.source.fingerprint(),
            "protocol": asdict(protocol) | {"inference": _asked(protocol)},
            "pictures": stage.pictures,
        }
        if self._label_free(stage) is not None:
            identity["label_free"] = {"images": stage.label_free, "target": sets.target.fingerprint()}
        if stage.boundary_width:
            identity["boundary_width"] = stage.boundary_width
        key = self.store.key("evaluate", identity)
        if self.store.finished(key) is None:
            with self.store.working_on(key, identity) as folder:
                self._evaluate(row, stage, members, protocol, folder)
                write_skipped(folder, sets.skipped)
                self.store.finish(key, sets.skipped_counts())
        link(self.output / f"{self.prefix}{place}", self.store.folder(key))
        scored = read_scores(self.store.folder(key) / "scores.json")[0]
        chain = {key: done for member in members for key, done in member.chain().items()}
        stage_name = f"{self.prefix}{list(self.recipe.stages).index(row.of[0]) + 1}-{row.of[0]}"
        return scored.model_copy(
            update={
                "stage": stage_name,
                "checkpoint": f"{stage_name}/{MODEL}",
                # what the checkpoint cost with everything it was made from
                "train_seconds": round(sum(done.summary.get("train_seconds", 0.0) for done in chain.values()), 2),
                "images_per_second": members[0].summary.get("images_per_second"),
                "peak_memory_mb": max(done.summary.get("peak_memory_mb", 0.0) for done in chain.values()),
                "chosen_step": members[0].summary.get("chosen_step") if len(members) == 1 else None,
            }
        )

    def _evaluate(
        self,
        row: RecipeRow,
        stage: EvaluateStage,
        members: list[Done],
        protocol: Protocol | DetectionProtocol,
        folder: Path,
    ) -> None:
        assert self.sets.evaluation is not None
        shared: dict[str, Any] = {
            "name": row.name,
            "method": "+".join(dict.fromkeys(member.method for member in members)),
            "seed": self.seed,
            "data": self.sets.evaluation,
            "class_space": self.sets.class_space,
            "pictured": {"target": self.sets.evaluation, "source": self.sets.source},
            "pictures": stage.pictures,
        }
        checkpoints = [member.folder / MODEL for member in members]
        title = f"evaluate {row.name}, seed {self.seed}"
        if isinstance(protocol, DetectionProtocol):
            found = DetectionEvaluateRequest(**shared, checkpoint=checkpoints[0], protocol=protocol)
            evaluate_detections(found, folder=folder, title=title, device=str(self.fabric.device))
            return
        request = EvaluateRequest(
            **shared,
            checkpoints=checkpoints,
            weights=row.weights,
            protocol=protocol,
            label_free=self._label_free(stage),
            boundary_width=stage.boundary_width,
        )
        evaluate(request, folder=folder, title=title, device=str(self.fabric.device))

    def _label_free(self, stage: EvaluateStage) -> LabelFree | None:
        if not stage.label_free or self.recipe.task != "segmentation":
            return None
        return LabelFree(self.sets.target, self.sets.source, stage.label_free)

    def _earlier(self, name: str | None) -> Done | None:
        return None if name is None else self.finished[name]

    def _named(self, *names: str | None) -> list[Done]:
        return [self.finished[name] for name in names if name is not None]


def _asked(protocol: Protocol | DetectionProtocol) -> Any:
    return protocol.inference.model_dump(mode="json") if isinstance(protocol, Protocol) else None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
