"""Scores of checkpoints on unlabelled images, to choose an option (lambda, say) without a single target label.

python benchmarks/label_free.py scenes:camera runs/*/6-fine-grained-entropy/model.safetensors

Per checkpoint: the mean normalised entropy of its predictions, the normalised entropy of its mean prediction over all
pixels, and their difference: the information that predictions carry about the class (information maximisation). Mean
entropy alone rewards the collapse onto one class, which the difference gives zero; so take the largest difference.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch

from acclimate.data.loading import images_in_order
from acclimate.data.registry import open_dataset
from acclimate.data.wrappers import Subset
from acclimate.losses import entropy_map
from acclimate.models.checkpoint import load_network
from acclimate.scripts import at_least_one, run_script
from acclimate.stages.evaluate import class_space_of, evenly_spaced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="kind:path of images that are not scored")
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--split", default="train")
    parser.add_argument("--images", type=at_least_one, default=50)
    arguments = parser.parse_args()
    print("| checkpoint | mean entropy | entropy of the mean | information |")
    print("|---|---|---|---|")
    for path in arguments.checkpoints:
        mean, of_mean = entropies(path, arguments.data, arguments.split, arguments.images)
        print(f"| {path} | {mean:.4f} | {of_mean:.4f} | {of_mean - mean:.4f} |")


@torch.no_grad()
def entropies(path: Path, data: str, split: str, images: int) -> tuple[float, float]:
    """Mean normalised entropy, and normalised entropy of the mean prediction, at the network's own stride."""
    network, card = load_network(path)
    network.eval()
    dataset = open_dataset(data, split=split, class_space=class_space_of(card))
    some = Subset(dataset, evenly_spaced(images, len(dataset)))
    entropy, probabilities, count = 0.0, torch.zeros(len(card.classes), dtype=torch.float64), 0
    for batch in images_in_order(some, size=card.input_size):
        logits = network(batch.images).main.float()
        maps = entropy_map(logits)
        entropy += float(maps.sum())
        probabilities += logits.softmax(dim=1).sum(dim=(0, 2, 3)).double()
        count += maps.numel()
    mean = probabilities / count
    return entropy / count, float(-(mean * mean.clamp_min(1e-12).log()).sum() / math.log(len(mean)))


if __name__ == "__main__":
    run_script(main)
