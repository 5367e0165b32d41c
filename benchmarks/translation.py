"""What translations of a run are worth: colours nearer to the target, content kept.

    python benchmarks/translation.py runs/scenes-translate --model source-only

For every translate stage of the run (of each seed): the Wasserstein distance of each colour channel between source and
target and between translated and target, in grey levels, and the share of pixels on which the predictions of a
source-trained model on an image and on its translation agree.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from acclimate.data.registry import open_dataset
from acclimate.data.sample import Dataset
from acclimate.data.wrappers import TRANSLATION, Translated
from acclimate.errors import UserError
from acclimate.files import read_json
from acclimate.scripts import at_least_one, run_script
from acclimate.stages.evaluate import evenly_spaced
from acclimate.translation.agreement import prediction_agreement


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with translate stages")
    parser.add_argument("--model", default="source-only", help="name of the train stage whose predictions are compared")
    parser.add_argument("--images", type=at_least_one, default=100, help="source images to predict on, evenly spaced")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    paths = sorted([*arguments.run.glob(f"*/{TRANSLATION}"), *arguments.run.glob(f"seed-*/*/{TRANSLATION}")])
    if not paths:
        raise UserError(f"{arguments.run} holds no translation; give the folder of a run that has translated")
    print(
        f"{'stage':32} {'R before':>8} {'G':>6} {'B':>6} {'R after':>8} {'G':>6} {'B':>6} {'ratio':>5} {'agreement':>9}"
    )
    for path in paths:
        folder, content = path.parent, read_json(path)
        source: Dataset = open_dataset(content["source"]["spec"], split=content["source"]["split"])
        models = sorted(folder.parent.glob(f"[0-9]*-{arguments.model}/model.safetensors"))
        agreement = prediction_agreement(
            models[0], source, Translated(source, folder), indices=evenly_spaced(arguments.images, len(source))
        )
        distances = content["wasserstein"]
        before, after = ("  ".join(f"{value:5.1f}" for value in distances[when]) for when in ("before", "after"))
        place = str(folder.relative_to(arguments.run))
        print(f"{place:32}   {before}     {after} {distances['ratio']:6.2f} {100 * agreement:8.1f} %")


if __name__ == "__main__":
    run_script(main)
