"""What the kills of ``kill_stress.py`` meet: every method, verb and command, each as one small command."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from acclimate.detection.methods import DETECTION_METHODS
from acclimate.methods import METHODS

RECIPE = """
name: stress
source: scenes:render,images=4,size=64x32
target: scenes:camera,images=4,size=64x32
protocol: scenes
examine: 2
network: {name: small, width: 16}
training:
  steps: 6
  batch_size: 2
  precision: 32-true
  optimizer: {learning_rate: 0.01}
  source_transform: {size: [64, 32], flip: true}
  target_transform: {size: [64, 32]}
  checkpoint_minutes: 0
  log_every: 1
stages:
"""
DETECTION = """
name: stress
task: detection
source: scenes:camera,images=4,size=128x64
target: scenes:fog,images=4,size=128x64
protocol: voc07
network: {name: light-ssd}
training:
  steps: 4
  batch_size: 2
  precision: 32-true
  source_transform: {size: [192, 192]}
  target_transform: {size: [192, 192]}
  checkpoint_minutes: 0
  log_every: 1
stages:
"""
BASE = "  base: {train: source_only}\n"
TRANSLATION = """translation:
  options: {width: 4, blocks: 1, discriminator_width: 4, pool_size: 3}
  training: {steps: 8, batch_size: 2, checkpoint_minutes: 0, log_every: 1}
"""
VERB_STAGES = {
    "translate": f"{BASE}  translated: {{translate: cyclegan, perceptual: base}}\n",
    "label": f"{BASE}  labels: {{label: base}}\n",
    "evaluate": f"{BASE}  scores: {{evaluate: [base], pictures: 1}}\n",
    "checkpoint": "  given: {checkpoint: MODEL}\n  scores: {evaluate: [given], pictures: 1}\n",
}
"""The stages with which a verb other than train is tried; a verb without an entry is named as not covered."""
DATA = "scenes:camera,images=4,size=64x32"
RENDERS = "scenes:render,images=4,size=64x32"


@dataclass
class Command:
    """A command of the command line and what it starts from.

    Attributes:
        arguments: after ``acclimate``; ``OUT`` is where it writes to.
        given: folder that a life begins with, copied to ``OUT``; None: with nothing.
    """

    arguments: list[str]
    given: Path | None = None


def recipes() -> dict[str, str]:
    """Name of each method and verb -> its recipe."""
    found = {}
    for name, method in METHODS.items():
        narrow = ", ".join(
            f"{key}: 4" for key in ("translator_width", "perceptual_width") if key in method.Options.model_fields
        )
        stages = f"  it: {{train: {name}, options: {{{narrow}}}}}\n" if narrow else f"  it: {{train: {name}}}\n"
        if method.trains_on == "pseudo-labels":
            stages = f"{BASE}  labels: {{label: base}}\n  it: {{train: {name}, pseudo_labels: labels}}\n"
        more = "".join(f", {key}: {str(value).lower()}" for key, value in method.network_options.items())
        found[f"train {name}"] = RECIPE.replace("width: 16", f"width: 16{more}") + stages
    for name in DETECTION_METHODS:
        options = ", options: {discriminator_width: 8, discriminator_layers: 4}" if name == "advent" else ""
        found[f"detection {name}"] = f"{DETECTION}  it: {{train: {name}{options}}}\n"
    recipe = RECIPE.replace("stages:\n", f"{TRANSLATION}stages:\n")
    return found | {verb: recipe + stages for verb, stages in VERB_STAGES.items()}


def commands(folder: Path, model: Path, run: Path) -> dict[str, Command]:
    """Every cell by name, with what it needs made in ``folder``.

    Args:
        model: a trained checkpoint.
        run: the folder of the run that trained it, with its store beside it.
    """
    found = {}
    for number, (name, text) in enumerate(recipes().items()):
        path = folder / f"recipe-{number}.yaml"
        path.write_text(text.replace("MODEL", str(model)))
        # the verb's own work is what is cut: the stage it needs is there before
        given = None
        if BASE in text and "width: 16," not in text:
            given = folder / "given"
        found[name] = Command(["run", str(path), "-o", "OUT/run", "--store", "OUT/.stages"], given)
    small = ["--set", "options.width=4", "--set", "options.blocks=1", "--set", "options.discriminator_width=4"]
    steps = ["--set", "training.steps=4", "--set", "training.batch_size=2", "--set", "training.checkpoint_minutes=0"]
    sets = ["--source", RENDERS, "--target", DATA]
    few = ["--set", "training.steps=3", "--set", "stages.base.training.steps=3", "--set", "examine=2"]
    return found | {
        "command label": Command(["label", str(model), "--data", DATA, "-o", "OUT/labels"]),
        "command translate (colour match)": Command(
            ["translate", *sets, "--translator", "histogram", "-o", "OUT/translated"]
        ),
        "command translate (CycleGAN)": Command(
            ["translate", *sets, "--translator", "cyclegan", "-o", "OUT/translated", *small, *steps]
        ),
        "command predict": Command(["predict", str(model), str(folder / "frames"), "-o", "OUT/found", "--overlay"]),
        "command export": Command(["export", str(model), "-o", "OUT/model.onnx"]),
        "command report": Command(["report", str(run), "-o", "OUT/page.html"]),
        "command evaluate": Command(
            ["evaluate", str(model), "--data", DATA, "--split", "val", "--json", "OUT/scores.json"]
        ),
        "command stats": Command(["stats", RENDERS, "--spatial-priors", "OUT/priors.png"]),
        "command init": Command(["init", str(folder / "frames"), "-o", "OUT/dataset.yaml"]),
        "command demo-data": Command(["demo-data", "OUT/demo", "--images", "4", "--size", "64x32"]),
        "command adapt": Command(
            ["adapt", *sets, "--weights", "none", *few, "-o", "OUT/run", "--store", "OUT/.stages"]
        ),
    }


def commands_named() -> list[str]:
    """The names of the cells that are single commands."""
    with tempfile.TemporaryDirectory() as folder:
        found = commands(Path(folder), Path("model"), Path("run"))
    return [name for name in found if name.startswith("command ")]
