"""The page on detection says what the code says."""

from __future__ import annotations

import pytest
from markdown_pages import ROOT, code, tables
from pydantic import BaseModel
from test_docs_tables import defaults

from acclimate.detection.config import DetectorConfig
from acclimate.detection.methods.advent import DetectionAdvEntOptions
from acclimate.detection.methods.base import DetectionAdaptingOptions, DetectionOptions, DetectionPseudoLabelOptions
from acclimate.detection.methods.mean_teacher import DetectionMeanTeacherOptions
from acclimate.detection.methods.minent import DetectionMinEntOptions
from acclimate.detection.networks import DETECTORS
from acclimate.detection.registry import BOXED_DATASETS
from acclimate.detection.settings import DetectionTraining
from acclimate.detection.transforms import BoxTransform
from acclimate.pseudo.boxes import BoxSelection
from acclimate.stages.label_boxes import LabelBoxesStage
from acclimate.training.settings import TrainingSettings

FOUND = {table[0][0]: table[1:] for table in tables(ROOT / "docs" / "methods" / "detection.md")}


@pytest.mark.parametrize(
    ("heading", "model", "without"),
    [
        ("option of every method", DetectionOptions, None),
        ("option of pseudo-labels", DetectionPseudoLabelOptions, DetectionOptions),
        ("option of minent and advent", DetectionAdaptingOptions, DetectionPseudoLabelOptions),
        ("option of minent", DetectionMinEntOptions, DetectionAdaptingOptions),
        ("option of mean_teacher", DetectionMeanTeacherOptions, DetectionOptions),
        ("option of advent", DetectionAdvEntOptions, DetectionAdaptingOptions),
        ("key of a label stage", LabelBoxesStage, None),
        ("key of a selection", BoxSelection, None),
        ("key of training", DetectionTraining, TrainingSettings),
        ("key of a transform", BoxTransform, None),
    ],
)
def test_options_and_defaults(heading: str, model: type[BaseModel], without: type[BaseModel] | None) -> None:
    assert {code(row[0])[0]: row[1] for row in FOUND[heading]} == defaults(model, without=without)


def test_detectors_and_kinds_of_data() -> None:
    assert {code(row[0])[0] for row in FOUND["detector"]} == set(DETECTORS)
    written = {option for row in FOUND["detector"] for option in code(row[2])}
    assert written == set(DetectorConfig.model_fields) - {"name", "options"}
    assert {code(row[0])[0] for row in FOUND["kind"]} == set(BOXED_DATASETS)
