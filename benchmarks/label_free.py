"""Scores of checkpoints on unlabelled images, to choose an option (lambda, say) without a single target label.

    python benchmarks/label_free.py scenes:camera runs/*/6-fine-grained-entropy/model.safetensors --source scenes:render

The scores are those of every row of results (docs/bench.md says which is better when higher); the class-ratio
divergence needs the labelled source.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from acclimate.data.registry import open_dataset
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.label_free import HIGHER_IS_BETTER
from acclimate.models.checkpoint import load_network
from acclimate.stages.evaluate import LabelFree, scores_without_labels
from scripts import at_least_one, run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="kind:path of images that are not scored")
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--source", help="kind:path whose class ratios predictions are compared with")
    parser.add_argument("--split", default="train")
    parser.add_argument("--images", type=at_least_one, default=50)
    arguments = parser.parse_args()
    print("| checkpoint | " + " | ".join(HIGHER_IS_BETTER) + " |")
    print("|---" * (len(HIGHER_IS_BETTER) + 1) + "|")
    for path in arguments.checkpoints:
        network, card = load_network(path)
        space = card.space()
        target = open_dataset(arguments.data, split=arguments.split, class_space=space)
        source = open_dataset(arguments.source, class_space=space) if arguments.source else None
        data = LabelFree(target, source, arguments.images)
        scores = scores_without_labels([network.eval()], data, inference=Inference(size=card.input_size), device="cpu")
        cells = [f"{scores[name]:.4f}" if name in scores else "–" for name in HIGHER_IS_BETTER]
        print(f"| {path} | {' | '.join(cells)} |")


if __name__ == "__main__":
    run_script(main)
