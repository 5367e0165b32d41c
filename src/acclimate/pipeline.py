"""Runs a recipe: its stages in order, each done once, for one seed or several; then results and the report page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from acclimate.data.sample import Dataset
from acclimate.data.spatial_prior import spatial_prior
from acclimate.data.tolerance import write_skipped
from acclimate.data.wrappers import Translated
from acclimate.detection.evaluate import DetectionEvaluateRequest, evaluate_detections
from acclimate.detection.protocols import DetectionProtocol
from acclimate.detection.train import DetectionTrainRequest
from acclimate.environment import environment
from acclimate.errors import UserError
from acclimate.evaluation.scores import Row, read_scores, write_results
from acclimate.files import write_json, write_text
from acclimate.identity import what_matters
from acclimate.recipe import EvaluateStage, LabelStage, Origins, Recipe, TrainStage, TranslateStage, explained
from acclimate.recipe import Row as RecipeRow
from acclimate.sets import Sets, open_sets, protocol_of_row, readable
from acclimate.stages.evaluate import EvaluateRequest, LabelFree, evaluate
from acclimate.stages.label import LabelRequest, label, laid_over
from acclimate.stages.train import MODEL, TrainRequest, launched_fabric, train
from acclimate.stages.translate import TranslateRequest, translate, translator_identity
from acclimate.store import Store, link
from acclimate.tasks import task_named
from acclimate.training.checkpoint import Checkpoints
from acclimate.training.settings import resolved_precision


@dataclass(frozen=True)
class Run:
    """What a run needs besides its recipe.

    Attributes:
        output: the run's folder.
        seeds: one run of every stage per seed.
        store: where finished stages live; None: ``.stages`` beside ``output``, shared by the runs there.
    """

    output: Path
    seeds: Sequence[int] = (0,)
    store: Path | None = None


@dataclass
class Done:
    """A finished stage: its key in the store, what it cost, and the stages it was made from."""

    key: str
    verb: str
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


def run(recipe: Recipe, settings: Run, *, origins: Origins | None = None) -> list[Row]:
    """Runs every stage of ``recipe`` for every seed and writes ``results.json`` and ``report.html``.

    Stages that are finished are not done again; an interrupted one goes on where it stopped.

    Returns:
        The rows of results, in the recipe's order, seed by seed.

    Raises:
        UserError: the recipe, the data or a checkpoint is at fault.
        Interrupted: asked to stop; the state is saved, and the same call goes on.
    """
    sets = open_sets(recipe)
    store = Store(settings.store or settings.output.parent / ".stages")
    fabric = launched_fabric("32-true")
    if recipe.bad_data == "skip":
        with fabric.rank_zero_first():
            sets = readable(sets, cap=recipe.bad_data_cap, folder=store.root / "cache")
    if fabric.is_global_zero:
        write_text(settings.output / "recipe.yaml", explained(recipe, origins or {}))
        write_skipped(settings.output, sets.skipped)
        write_json(settings.output / "environment.json", {**environment(), "seeds": list(settings.seeds)})
    rows: list[Row] = []
    for seed in settings.seeds:
        prefix = "" if len(settings.seeds) == 1 else f"seed-{seed}/"
        rows.extend(_run_seed(recipe, sets, seed, settings.output, prefix, store, fabric))
    if fabric.is_global_zero:
        from acclimate.report.page import write_report

        write_results(settings.output / "results.json", rows, environment=environment())
        write_report([settings.output], settings.output / "report.html")
    return rows


def _run_seed(
    recipe: Recipe, sets: Sets, seed: int, output: Path, prefix: str, store: Store, fabric: Fabric
) -> list[Row]:
    finished: dict[str, Done] = {}
    rows: list[Row] = []
    names = [name for name, stage in recipe.stages.items() if not isinstance(stage, EvaluateStage)]
    for number, (name, stage) in enumerate(recipe.stages.items(), start=1):
        if isinstance(stage, EvaluateStage):
            for row in stage.rows():
                if fabric.is_global_zero:
                    place = f"{prefix}{number}-{name}-{row.name}"
                    rows.append(_evaluate_row(recipe, sets, row, stage, seed, finished, output, place, prefix, store))
            fabric.barrier()
            continue
        title = f"{name} (stage {names.index(name) + 1} of {len(names)}, seed {seed})"
        if isinstance(stage, TrainStage):
            done = _train(recipe, sets, stage, seed, finished, store, title)
        elif isinstance(stage, TranslateStage):
            done = _translate(recipe, sets, stage, seed, finished, store, title)
        else:
            done = _label(recipe, sets, stage, finished, store, fabric, title)
        finished[name] = done
        if fabric.is_global_zero:
            link(output / f"{prefix}{number}-{name}", done.folder)
    return rows


def _train(
    recipe: Recipe,
    sets: Sets,
    stage: TrainStage,
    seed: int,
    finished: dict[str, Done],
    store: Store,
    title: str,
) -> Done:
    network, training = recipe.network_config(stage), recipe.training_settings(stage)
    training = training.model_copy(update={"precision": resolved_precision(training.precision, network)})
    method = task_named(recipe.task).method(stage.train)
    start = finished[stage.start] if stage.start else None
    labels = finished[stage.pseudo_labels] if stage.pseudo_labels else None
    translation = finished[stage.source] if stage.source else None
    source = sets.source if method.trains_on == "source" else sets.target
    if method.trains_on == "pseudo-labels":
        assert labels is not None, "the recipe's check asks for pseudo-labels"
        source = laid_over(sets.target, labels.folder)
    elif translation is not None:
        source = Translated(source, translation.folder)
    if not source.has_labels:
        raise UserError(
            f"stage {title.split()[0]} trains on the labels of {source.spec} ({source.split}), which has none"
        )
    target: Dataset | None = sets.target if method.sees_target or labels else None
    if labels is not None:
        target = None if method.trains_on == "pseudo-labels" else laid_over(sets.target, labels.folder)
    identity = {
        "method": stage.train,
        "options": task_named(recipe.task).options(stage.train, stage.options).model_dump(mode="json"),
        "network": what_matters(network.model_dump(mode="json")),
        "training": what_matters(training.model_dump(mode="json")),
        "seed": seed,
        "source": source.fingerprint(),
        "target": target.fingerprint() if target is not None else None,
        "pseudo_labels": labels.key if labels else None,
        "start": start.key if start else None,
    }
    key = store.key("train", identity)
    made_from = [earlier for earlier in (start, labels, translation) if earlier is not None]
    if (summary := store.finished(key)) is None:
        fabric = launched_fabric(training.precision)
        kind: Any = DetectionTrainRequest if recipe.task == "detection" else TrainRequest
        request = kind(
            method=stage.train,
            options=stage.options,
            network=network,
            training=training,
            source=source,
            target=target,
            pseudo_labelled=target is not None and labels is not None,
            class_space=sets.class_space,
            seed=seed,
            start=start.folder / MODEL if start else None,
            input_size=recipe.prediction_size(),
            recipe=recipe.name,
            title=title,
        )
        if fabric.world_size > 1 and not fabric.is_global_zero:
            summary = train(request, folder=store.folder(key), cache=store.root / "cache", fabric=fabric)
        else:
            with store.working_on(key, identity) as folder:
                write_skipped(folder, sets.skipped)
                summary = train(request, folder=folder, cache=store.root / "cache", fabric=fabric)
                summary |= sets.skipped_counts()
                store.finish(key, summary)
                Checkpoints(folder).clear()  # not before: killed in between, the stage would begin anew
    else:
        _say(f"{title}: already done, reused")
    return Done(key, "train", store.folder(key), summary, method=stage.train, made_from=made_from)


def _translate(
    recipe: Recipe, sets: Sets, stage: TranslateStage, seed: int, finished: dict[str, Done], store: Store, title: str
) -> Done:
    options, training, writing = recipe.translation_settings(stage)
    perceptual = finished[stage.perceptual] if stage.perceptual else None
    earlier = finished[stage.source] if stage.source else None
    source = Translated(sets.source, earlier.folder) if earlier else sets.source
    identity = {
        **translator_identity(stage.translate, options, training, writing, seed),
        "source": source.fingerprint(),
        "target": sets.target.fingerprint(),
        "perceptual": perceptual.key if perceptual else None,
    }
    key = store.key("translate", identity)
    if (summary := store.finished(key)) is None:
        fabric = launched_fabric(training.precision)
        request = TranslateRequest(
            translator=stage.translate,
            options=options,
            training=training,
            writing=writing,
            source=source,
            target=sets.target,
            perceptual=perceptual.folder / MODEL if perceptual else None,
            seed=seed,
            title=title,
        )
        if fabric.world_size > 1 and not fabric.is_global_zero:
            summary = translate(request, folder=store.folder(key), cache=store.root / "cache", fabric=fabric)
        else:
            with store.working_on(key, identity) as folder:
                write_skipped(folder, sets.skipped)
                summary = translate(request, folder=folder, cache=store.root / "cache", fabric=fabric)
                summary |= sets.skipped_counts()
                store.finish(key, summary)
                Checkpoints(folder).clear()
    else:
        _say(f"{title}: already done, reused")
    made_from = [stage for stage in (perceptual, earlier) if stage is not None]
    return Done(key, "translate", store.folder(key), summary, made_from=made_from)


def _label(
    recipe: Recipe,
    sets: Sets,
    stage: LabelStage,
    finished: dict[str, Done],
    store: Store,
    fabric: Fabric,
    title: str,
) -> Done:
    model = finished[stage.label]
    identity = {
        "checkpoint": model.key,
        "data": sets.target.fingerprint(),
        "selection": stage.selection.identity(),
        "input_size": recipe.prediction_size(),
    }
    if not stage.inference.plain:
        identity["inference"] = stage.inference.identity()
    if stage.spatial_prior:
        identity["spatial_prior"] = sets.source.fingerprint()
    key = store.key("label", identity)
    if store.finished(key) is None and fabric.is_global_zero:
        request = LabelRequest(
            checkpoint=model.folder / MODEL,
            data=sets.target,
            class_space=sets.class_space,
            selection=stage.selection,
            input_size=recipe.prediction_size(),
            batch_size=stage.batch_size,
            inference=stage.inference,
            prior=spatial_prior(sets.source, store.root / "cache") if stage.spatial_prior else None,
            title=title,
        )
        with store.working_on(key, identity) as folder:
            write_skipped(folder, sets.skipped)
            summary = label(request, folder=folder, device=str(fabric.device)) | sets.skipped_counts()
            store.finish(key, summary)
    elif fabric.is_global_zero:
        _say(f"{title}: already done, reused")
    fabric.barrier()
    summary = store.finished(key) or {}
    return Done(key, "label", store.folder(key), summary, method=model.method, made_from=[model])


def _evaluate_row(
    recipe: Recipe,
    sets: Sets,
    row: RecipeRow,
    stage: EvaluateStage,
    seed: int,
    finished: dict[str, Done],
    output: Path,
    place: str,
    prefix: str,
    store: Store,
) -> Row:
    assert sets.evaluation is not None
    members = [finished[name] for name in row.of]
    method = "+".join(dict.fromkeys(member.method for member in members))
    protocol = protocol_of_row(sets.protocol, row)
    inference = {**recipe.inference.chosen(), **({} if row.average is None else {"average": row.average})}
    identity = {
        "name": row.name,
        "checkpoints": [member.key for member in members],
        "weights": row.weights,
        "data": sets.evaluation.fingerprint(),
        "pictured": sets.source.fingerprint(),
        "protocol": asdict(protocol),
        "input_size": recipe.prediction_size(),
        "pictures": stage.pictures,
    }
    without_labels = None
    if stage.label_free and recipe.task == "segmentation":
        without_labels = LabelFree(sets.target, sets.source, stage.label_free)
        identity["label_free"] = {"images": stage.label_free, "target": sets.target.fingerprint()}
    if stage.boundary_width:
        identity["boundary_width"] = stage.boundary_width
    key = store.key("evaluate", identity)
    if store.finished(key) is None:
        shared: dict[str, Any] = {
            "name": row.name,
            "method": method,
            "seed": seed,
            "data": sets.evaluation,
            "class_space": sets.class_space,
            "pictured": {"target": sets.evaluation, "source": sets.source},
            "pictures": stage.pictures,
        }
        checkpoints = [member.folder / MODEL for member in members]
        with store.working_on(key, identity) as folder:
            title = f"evaluate {row.name}, seed {seed}"
            if isinstance(protocol, DetectionProtocol):
                found = DetectionEvaluateRequest(**shared, checkpoint=checkpoints[0], protocol=protocol)
                evaluate_detections(found, folder=folder, title=title)
            else:
                request = EvaluateRequest(
                    **shared,
                    checkpoints=checkpoints,
                    weights=row.weights,
                    protocol=protocol,
                    input_size=recipe.prediction_size(),
                    inference=inference,
                    label_free=without_labels,
                    boundary_width=stage.boundary_width,
                )
                evaluate(request, folder=folder, title=title)
            write_skipped(folder, sets.skipped)
            store.finish(key, sets.skipped_counts())
    link(output / place, store.folder(key))
    scored = read_scores(store.folder(key) / "scores.json")[0]
    chain = {key: done for member in members for key, done in member.chain().items()}
    position = list(recipe.stages).index(row.of[0]) + 1
    stage_name = f"{prefix}{position}-{row.of[0]}"
    return scored.model_copy(
        update={
            "stage": stage_name,
            "checkpoint": f"{stage_name}/{MODEL}",
            # what the checkpoint cost with everything it was made from
            "train_seconds": round(sum(done.summary.get("train_seconds", 0.0) for done in chain.values()), 2),
            "images_per_second": members[0].summary.get("images_per_second"),
            "peak_memory_mb": max(done.summary.get("peak_memory_mb", 0.0) for done in chain.values()),
        }
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
