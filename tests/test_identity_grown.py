"""A field added to every settings class at once, before anything is imported: no key of a shipped recipe may notice.

Unlike a test of ``identity()`` alone, this also sees the code that hashes settings without it.
"""

from __future__ import annotations

import json
import subprocess
import sys

GROWN_KEYS = """
import json
import sys
from pathlib import Path

from pydantic import BaseModel

LATER = "added_later"
metaclass = type(BaseModel)
plain = metaclass.__new__
grown_classes = []


def grown(kind, name, bases, namespace, **keywords):
    first = not any(LATER in getattr(base, "model_fields", {}) for base in bases)
    if sys.argv[1] == "grown" and str(namespace.get("__module__", "")).startswith("acclimate.") and first:
        namespace.setdefault("__annotations__", {})[LATER] = "int"
        namespace[LATER] = 0
        grown_classes.append(name)
    return plain(kind, name, bases, namespace, **keywords)


metaclass.__new__ = grown

from acclimate.detection.protocols import detection_protocol
from acclimate.evaluation.protocols import PROTOCOLS
from acclimate.pipeline.recipe_run import RecipeRun
from acclimate.pipeline.store import Store
from acclimate.recipe.load import load_recipe, recipe_names
from acclimate.stages.stage import RunData


class Named:
    has_labels = True
    split = "train"

    def __init__(self, name):
        self.spec = name

    def fingerprint(self):
        return self.spec


found = {}
for name in recipe_names():
    recipe, _ = load_recipe(name, overrides={"training.precision": "32-true"})
    if recipe.task == "detection":
        protocol = detection_protocol(recipe.protocol)
    else:
        protocol = PROTOCOLS[recipe.protocol or "scenes"].asking(recipe.inference, size=recipe.prediction_size())
    data = RunData(None, protocol, Named("source"), Named("target"), Named("evaluation"))
    found[name] = dict(RecipeRun(recipe, data, 0, Store(Path("s")), None, Path("r"), "").keys())
print(json.dumps({"keys": found, "grown": grown_classes}))
"""


def keys(how: str) -> dict[str, dict[str, str] | list[str]]:
    command = [sys.executable, "-c", GROWN_KEYS, how]
    found: dict[str, dict[str, str] | list[str]] = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
    )
    return found


def test_a_field_added_to_every_settings_class_changes_no_key() -> None:
    before, after = keys("plain"), keys("grown")
    assert before["grown"] == []
    assert {"TrainingSettings", "Selection", "Inference", "StageSettings", "CycleGanOptions"} <= set(after["grown"])
    assert after["keys"] == before["keys"]
