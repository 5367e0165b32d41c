"""What translations of a run are worth: colours nearer to the target, content kept. A Markdown table over seeds.

    python benchmarks/translation.py runs/scenes-translate --model source-only
    python benchmarks/translation.py runs/translate-0 runs/translate-1 runs/translate-2

For every translate stage: the Wasserstein distance of each colour channel between source and target and between
translated and target, in grey levels; their ratio; and the share of pixels on which the predictions of a source-trained
model on an image and on its translation agree. Runs without a colour match are compared with both all the same. Mean
and sample deviation over the seeds of all the runs given.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import torch

from acclimate.data.registry import open_dataset
from acclimate.data.sample import Dataset, Image, evenly_spaced
from acclimate.data.wrappers import TRANSLATION, Translated
from acclimate.errors import UserError
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.predict import predict_labels
from acclimate.evaluation.scores import spread
from acclimate.io.files import read_json
from acclimate.models.checkpoint import load_network
from acclimate.report.tables import mean_and_deviation, percent
from acclimate.translation.colour import (
    Pictures,
    channel_histograms,
    colour_distances,
    histogram_curves,
    mean_std_curves,
    sampled_images,
    through_curves,
)
from scripts import at_least_one, run_script

MATCHES = {"histogram": histogram_curves, "mean-std": mean_std_curves}


class Measured(NamedTuple):
    """One translation: distances per channel in grey levels, their ratio, agreement from 0 to 1."""

    before: list[float]
    after: list[float]
    ratio: float
    agreement: float


class Matched:
    """A set's images through the curves of a colour match."""

    def __init__(self, source: Dataset, target: Dataset, translator: str) -> None:
        self.source = source
        counts = [channel_histograms(sampled_images(dataset)) for dataset in (source, target)]
        self.curves = MATCHES[translator](*counts)

    def __len__(self) -> int:
        return len(self.source)

    def image(self, index: int) -> Image:
        return through_curves(self.source.image(index), self.curves)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs with translate stages")
    parser.add_argument("--model", default="source-only", help="name of the train stage whose predictions are compared")
    parser.add_argument("--images", type=at_least_one, default=100, help="source images to predict on, evenly spaced")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    found: dict[str, list[Measured]] = {}
    for run in arguments.runs:
        seeds = [place for place in (run, *sorted(run.glob("seed-*"))) if any(place.glob(f"*/{TRANSLATION}"))]
        if not seeds:
            raise UserError(f"{run} holds no translation; give the folder of a run that has translated")
        for place in seeds:
            for name, measured in of_seed(place, model=arguments.model, images=arguments.images).items():
                found.setdefault(name, []).append(measured)
    print(table(found))


def of_seed(place: Path, *, model: str, images: int) -> dict[str, Measured]:
    """Every translate stage of one seed, and the colour matches it lacks."""
    models = sorted(place.glob(f"[0-9]*-{model}/model.safetensors"))
    if not models:
        raise UserError(f"{place} has no finished train stage named {model!r}; name one with --model")
    folders = [path.parent for path in place.glob(f"*/{TRANSLATION}")]
    folders.sort(key=lambda folder: int(folder.name.partition("-")[0]))
    result: dict[str, Measured] = {}
    missing = list(MATCHES)
    for folder in folders:
        content = read_json(folder / TRANSLATION)
        source, target = opened(content["source"]), opened(content["target"])
        agreement = agreed(models[0], source, Translated(source, folder), images)
        result[folder.name.partition("-")[2]] = measured(content["wasserstein"], agreement)
        if content["translator"] in missing:
            missing.remove(content["translator"])
    for translator in missing:
        matched = Matched(source, target, translator)
        distances = colour_distances(source, matched, target)
        result[f"({translator})"] = measured(distances, agreed(models[0], source, matched, images))
    return result


def opened(place: dict[str, str]) -> Dataset:
    dataset: Dataset = open_dataset(place["spec"], split=place["split"])
    return dataset


def agreed(model: Path, source: Dataset, translated: Pictures, images: int) -> float:
    """The share of pixels (0-1) that a model gives the same class in an image and in its translation."""
    network, card = load_network(model)
    inference = Inference(size=card.input_size)
    same = pixels = 0
    for index in evenly_spaced(images, len(source)):
        image, other = source.image(index), translated.image(index)
        size = (image.shape[0], image.shape[1])
        with torch.no_grad():
            first, second = (predict_labels([network], inference.prepared(one), size=size)[0] for one in (image, other))
        same += int((first == second).sum())
        pixels += first.numel()
    return same / max(1, pixels)


def measured(distances: dict[str, object], agreement: float) -> Measured:
    return Measured(distances["before"], distances["after"], distances["ratio"], agreement)  # type: ignore[arg-type]


def table(found: dict[str, list[Measured]]) -> str:
    """One line per translation; in brackets, colour matches that are no stage of the run."""
    lines = [
        "| translation | seeds | before: R | G | B | after: R | G | B | ratio | agreement, % |",
        "|---" * 10 + "|",
    ]
    for name, seeds in found.items():
        cells = [mean_and_deviation(spread([each.before[channel] for each in seeds])) for channel in range(3)]
        cells += [mean_and_deviation(spread([each.after[channel] for each in seeds])) for channel in range(3)]
        cells.append(mean_and_deviation(spread([each.ratio for each in seeds]), digits=2))
        cells.append(percent(spread([each.agreement for each in seeds])))
        lines.append(f"| {name} | {len(seeds)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
