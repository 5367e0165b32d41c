"""Rounds of self-training in a recipe: one short entry that stands for alternating ``label`` and ``train`` stages.

.. code-block:: yaml

    stages:
      source-only: {train: source_only}
      cbst:
        rounds: 3
        start: source-only
        label: {selection: {confidence: softmax, rule: portion, decision: class-balanced}}
        train: {train: source_only, training: {steps: 200}}
        portion: {first: 0.2, step: 0.05, highest: 0.5}
        learning_rate: {first: 0.01, factor: 0.7071}
      scores: {evaluate: [source-only, cbst]}

becomes ``cbst-labels-1``, ``cbst-1``, ``cbst-labels-2``, ``cbst-2`` …: ordinary stages, each kept and resumable. In an
``evaluate`` stage ``cbst`` means every round; elsewhere it means the last one.
"""

from __future__ import annotations

import copy
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from acclimate.errors import UserError
from acclimate.io.validation import validated

MOST_ROUNDS = 1000
"""Published schedules have up to five; a number with a zero too many must not fill the memory with stages."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Growing(_Strict):
    """A share that grows by ``step`` every round up to ``highest``."""

    first: float = Field(gt=0, le=1)
    step: float = Field(default=0.0, ge=0)
    highest: float = Field(default=1.0, gt=0, le=1)

    def at(self, number: int) -> float:
        """The share of round ``number``, counted from 0."""
        return round(min(self.first + self.step * number, max(self.highest, self.first)), 6)


class Shrinking(_Strict):
    """A rate that is multiplied by ``factor`` every round; 1/sqrt(2) in CBST and MLSL."""

    first: PositiveFloat
    factor: float = Field(default=0.70710678, gt=0, le=1)

    def at(self, number: int) -> float:
        """The rate of round ``number``, counted from 0."""
        return float(f"{self.first * self.factor**number:.6g}")


class Rounds(_Strict):
    """Rounds of label and train.

    Attributes:
        rounds: how many, up to :data:`MOST_ROUNDS`.
        start: the stage the first round labels with and starts from.
        label, train: what every round's stages hold besides what follows here.
        portion: of each class (or of all pixels) that is kept.
        learning_rate: of the network in each round.
        source_portion: of the source's images that each round trains on.
    """

    rounds: int = Field(gt=0, le=MOST_ROUNDS)
    start: str
    label: dict[str, Any] = {}
    train: dict[str, Any]
    portion: Growing | None = None
    learning_rate: Shrinking | None = None
    source_portion: Growing | None = None

    def stages(self, name: str) -> dict[str, Any]:
        """The ordinary stages, by name, in order."""
        result: dict[str, Any] = {}
        previous = self.start
        for number in range(self.rounds):
            label, train = copy.deepcopy(self.label), copy.deepcopy(self.train)
            labels, model = f"{name}-labels-{number + 1}", f"{name}-{number + 1}"
            if self.portion is not None:
                _part(label, "selection")["portion"] = self.portion.at(number)
            if self.learning_rate is not None:
                optimizer = _part(_part(train, "training"), "optimizer")
                optimizer["learning_rate"] = self.learning_rate.at(number)
            if self.source_portion is not None:
                _part(train, "training")["source_portion"] = self.source_portion.at(number)
            result[labels] = {"label": previous, **label}
            result[model] = {**train, "start": previous, "pseudo_labels": labels}
            previous = model
        return result


def _part(values: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping under a key, which a round writes into; made where there is none."""
    part = values.setdefault(key, {})
    if not isinstance(part, dict):
        raise UserError(f"{key} must be a mapping, got {part!r}")
    return part


def expanded_rounds(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a recipe with ordinary stages in place of its rounds.

    Raises:
        UserError: an entry with ``rounds`` has problems.
    """
    stages = content.get("stages")
    if not isinstance(stages, dict) or not any(isinstance(each, dict) and "rounds" in each for each in stages.values()):
        return content
    recipe = str(content.get("name", ""))
    result: dict[str, Any] = {}
    models: dict[str, list[str]] = {}
    for name, stage in stages.items():
        if isinstance(stage, dict) and "rounds" in stage:
            stage = {**stage, "start": _last(stage.get("start"), models)}
            rounds = validated(Rounds, stage, f"recipe {recipe}: stages.{name}")
            try:
                expansion = rounds.stages(str(name))
            except UserError as error:
                raise UserError(f"recipe {recipe}: stages.{name}: {error}") from None
            models[str(name)] = [key for key, each in expansion.items() if "train" in each]
            result.update(expansion)
        elif isinstance(stage, dict) and isinstance(stage.get("evaluate"), list):
            rows = [row for entry in stage["evaluate"] for row in _rows(entry, models)]
            result[name] = {**stage, "evaluate": rows}
        elif isinstance(stage, dict):
            keys = ("start", "label", "perceptual")
            result[name] = {key: _last(value, models) if key in keys else value for key, value in stage.items()}
        else:
            result[name] = stage
    return {**content, "stages": result}


def _last(name: Any, models: dict[str, list[str]]) -> Any:
    if isinstance(name, list):
        return [_last(each, models) for each in name]
    return models[name][-1] if isinstance(name, str) and models.get(name) else name


def _rows(entry: Any, models: dict[str, list[str]]) -> list[Any]:
    if isinstance(entry, str) and entry in models:
        return list(models[entry])
    if isinstance(entry, dict) and isinstance(entry.get("of"), list):
        return [{**entry, "of": [_last(name, models) for name in entry["of"]]}]
    return [entry]
