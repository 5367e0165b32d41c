"""Pseudo-label selection: is it the papers' selection, how fast is it, and what memory does it take?

    python benchmarks/selection.py [--pixels 10500000]

Identity: on random and on very peaky logits (half the pixels above 0.9999), the selection is compared pixel by pixel
with a direct implementation of ESL eq. 5-9, and of the authors' scripts, in float64 with a full sort. Pixels that
differ must lie within one bin of the histogram from the threshold. Speed and memory: thresholds and selection, network
and scores excluded, of the streaming histogram and of the plain procedure (two float64 arrays of the whole set, a sort
per class, a mask per class), each in a process of its own. Exit status 1 if a pixel further than a bin differs, a kept
share is wrong by more than 0.5 %, or the gain is below 5.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.pseudo.confidence import CONFIDENCES, Confidence, score_maps
from acclimate.pseudo.histogram import BINS, ScoreHistogram, bin_edges
from acclimate.pseudo.selection import select
from acclimate.pseudo.thresholds import Convention, Rule, Selection, class_thresholds, kept_share
from scripts import at_least_one, run_script

CLASSES, HEIGHT, WIDTH = 19, 512, 1024
KINDS = ("random", "peaky")
RULES: tuple[Rule, ...] = ("capped", "median")
CONVENTIONS: tuple[Convention, ...] = ("paper", "authors")
Floats = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pixels", type=at_least_one, default=20 * HEIGHT * WIDTH, help="of each kind; whole images of 1024x512"
    )
    parser.add_argument("--variant", choices=("plain", "streaming"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = max(1, -(-arguments.pixels // (HEIGHT * WIDTH)))
    if arguments.variant:
        print(json.dumps(plain_cost(images) if arguments.variant == "plain" else streaming_cost(images)))
        return
    failed = print_identity(images)
    failed |= print_costs(images)
    sys.exit(int(failed))


def logits_of(kind: str, image: int) -> torch.Tensor:
    """(1, 19, 512, 1024): standard normal times 2, or with a winner so far ahead that half the pixels exceed 0.9999."""
    random = torch.Generator().manual_seed(image)
    logits = torch.randn(1, CLASSES, HEIGHT, WIDTH, generator=random).mul_(2.0)
    if kind == "peaky":
        # a few classes are common and easy, the rest rare and hard, as on streets
        winner = (torch.rand(1, 1, HEIGHT, WIDTH, generator=random).square_() * CLASSES).long()
        lead = torch.rand(1, 1, HEIGHT, WIDTH, generator=random).mul_(32.0)
        logits.scatter_add_(1, winner, lead)
    return logits


# --- identity ---------------------------------------------------------------------------------------------------------


def direct_scores(logits: torch.Tensor) -> tuple[NDArray[np.uint8], dict[Confidence, Floats]]:
    """Class and uncertainties straight from the definitions, in float64 (where 1 - P still has 1e-16)."""
    # the argmax is taken from the same float32 logits, so that ties fall alike
    best = logits[0].max(dim=0).indices.numpy().astype(np.uint8)
    z = logits[0].double()
    probabilities = torch.exp(z - z.logsumexp(dim=0))
    entropy = torch.special.entr(probabilities).sum(dim=0) / np.log(CLASSES)
    return best, {"softmax": (1.0 - probabilities.amax(dim=0)).numpy(), "entropy": entropy.numpy()}


def direct_threshold(scores: Floats, confidence: Confidence, rule: Rule, convention: Convention) -> float:
    """The threshold of one class in uncertainty, from all its scores: eq. 6 and 9, or the scripts'."""
    if convention == "paper":
        median = float(np.median(scores)) if scores.size else 0.0
    elif confidence == "entropy":
        median = float(np.sort(scores)[round(0.5 * scores.size)]) if scores.size else 0.0
    else:
        median = float(1.0 - np.sort(1.0 - scores)[round(0.5 * scores.size)]) if scores.size else 1.0
    if rule == "median":
        return median
    return max(0.1 if confidence == "entropy" else 1.0 - 0.9, median)


def print_identity(images: int) -> bool:
    pixels = images * HEIGHT * WIDTH
    print(f"identity, {pixels / 1e6:.1f} million pixels of {CLASSES} classes, {BINS} bins per class")
    columns = ("logits", "score", "rule", "convention", "kept", "share error", "differ", "beyond a bin")
    print("{:8}{:9}{:8}{:12}{:>8}{:>13}{:>9}{:>14}".format(*columns))
    failed = False
    for kind in KINDS:
        ours, direct, classes, predicted = gather(kind, images)
        disagree = int((classes != predicted).sum())
        easy = float((direct["softmax"] < 1e-4).mean())
        for confidence in CONFIDENCES:
            histogram = ScoreHistogram(CLASSES, confidence)
            histogram.add(torch.from_numpy(predicted), torch.from_numpy(ours[confidence]))
            for rule, convention in itertools.product(RULES, CONVENTIONS):
                selection = Selection(confidence=confidence, rule=rule, convention=convention)
                row = compare(histogram, selection, ours[confidence], predicted, direct[confidence], classes)
                failed |= row["beyond"] > 0 or row["share error"] > 0.005
                print(
                    f"{kind:8}{confidence:9}{rule:8}{convention:12}{row['kept']:8.4f}{row['share error']:13.2e}"
                    f"{row['differ']:9.0f}{row['beyond']:14.0f}"
                )
        failed |= disagree > 0
        print(f"  {kind}: {easy:.1%} of the pixels above 0.9999; {disagree} predicted classes differ")
    print("share error: largest difference of a class's kept share, in the histogram's own account\n")
    return failed


def gather(kind: str, images: int) -> tuple[dict[Confidence, Any], dict[Confidence, Any], Any, Any]:
    """Scores of all images, ours in float32 and the direct ones in float64, and both predictions."""
    shape = (images, HEIGHT, WIDTH)
    ours = {name: np.empty(shape, np.float32) for name in CONFIDENCES}
    direct = {name: np.empty(shape, np.float64) for name in CONFIDENCES}
    classes, predicted = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    for image in range(images):
        logits = logits_of(kind, image)
        maps = score_maps(logits, resample="logits")
        predicted[image] = maps.prediction[0].numpy()
        classes[image], scores = direct_scores(logits)
        for name in CONFIDENCES:
            ours[name][image], direct[name][image] = maps.uncertainty[name][0].numpy(), scores[name]
    return dict(ours), dict(direct), classes, predicted


def compare(
    histogram: ScoreHistogram, selection: Selection, ours: Any, predicted: Any, direct: Any, classes: Any
) -> dict[str, float]:
    """Pixels selected differently, those of them further than a bin from the threshold, and kept shares."""
    edges, thresholds = bin_edges(), class_thresholds(histogram, selection)
    account = kept_share(histogram, thresholds)
    selected = select(torch.from_numpy(predicted), torch.from_numpy(ours), thresholds).numpy() != 255
    differ, beyond, share_error = 0, 0, 0.0
    for index in range(CLASSES):
        mask = classes == index
        scores = direct[mask]
        threshold = direct_threshold(scores, selection.confidence, selection.rule, selection.convention)
        kept = scores <= threshold if selection.convention == "authors" else scores < threshold
        wrong = kept != selected[mask]
        position = np.searchsorted(edges, threshold, side="right") - 1
        distance = np.abs(np.searchsorted(edges, scores[wrong], side="right") - 1 - position)
        differ, beyond = differ + int(wrong.sum()), beyond + int((distance > 1).sum())
        if scores.size:
            share_error = max(share_error, abs(account.kept[index] - float(kept.sum())) / scores.size)
    return {"kept": float(selected.mean()), "share error": share_error, "differ": differ, "beyond": beyond}


# --- speed and memory -------------------------------------------------------------------------------------------------


def score_stream(images: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Predictions and entropies of the images; a few distinct ones in turn, shifted: making them is not measured."""
    distinct = distinct_scores()
    for image in range(images):
        prediction, entropy = distinct[image % len(distinct)]
        yield prediction.roll(image, dims=1), entropy.roll(image, dims=1)


@cache
def distinct_scores() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Predictions and entropies of four images."""
    maps = [score_maps(logits_of("peaky", image), resample="logits", confidences=["entropy"]) for image in range(4)]
    return [(part.prediction[0], part.uncertainty["entropy"][0]) for part in maps]


def streaming_cost(images: int) -> dict[str, float]:
    """Histogram, thresholds, then selection image by image (the second pass)."""
    memory_before = memory_from_here()
    histogram, fill, rest, kept = ScoreHistogram(CLASSES, "entropy"), 0.0, 0.0, 0
    for prediction, entropy in score_stream(images):
        start = time.perf_counter()
        histogram.add(prediction, entropy)
        fill += time.perf_counter() - start
    start = time.perf_counter()
    thresholds = class_thresholds(histogram, Selection(convention="authors"))
    rest += time.perf_counter() - start
    for prediction, entropy in score_stream(images):
        start = time.perf_counter()
        labels = select(prediction, entropy, thresholds)
        rest += time.perf_counter() - start
        kept += int((labels != 255).sum())
    return {"thresholds": fill, "selection": rest, "kept": kept, "peak_mb": peak_memory() - memory_before}


def plain_cost(images: int) -> dict[str, float]:
    """Two float64 arrays of the whole set, a sort and a mask per class: the procedure of the published scripts."""
    memory_before = memory_from_here()
    predictions, scores = np.zeros((images, HEIGHT, WIDTH)), np.zeros((images, HEIGHT, WIDTH))
    for image, (prediction, entropy) in enumerate(score_stream(images)):
        predictions[image], scores[image] = prediction.numpy(), entropy.numpy()
    start = time.perf_counter()
    limits = []
    for index in range(CLASSES):
        ordered = np.sort(scores[predictions == index])
        median = ordered[round(len(ordered) * 0.5)] if len(ordered) else 0.0
        limits.append(max(0.1, float(median)))
    middle, kept = time.perf_counter(), 0
    selection = 0.0
    for image in range(images):
        begin = time.perf_counter()
        label = predictions[image].copy()
        for index in range(CLASSES):
            label[(scores[image] > limits[index]) & (predictions[image] == index)] = 255
        result = label.astype(np.uint8)
        selection += time.perf_counter() - begin
        kept += int((result != 255).sum())
    return {
        "thresholds": middle - start,
        "selection": selection,
        "kept": kept,
        "peak_mb": peak_memory() - memory_before,
    }


def memory_from_here() -> float:
    """Makes the scores, starts the count of peak memory anew (Linux), and returns it in MB."""
    distinct_scores()
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> float:
    """Largest resident memory since the count started, MB; NaN where the system does not tell."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    return float("nan")


def print_costs(images: int) -> bool:
    pixels, rows = images * HEIGHT * WIDTH, {}
    print(f"speed and memory, {pixels / 1e6:.1f} million pixels, one thread, entropy, network and scores excluded")
    print(f"{'procedure':12}{'thresholds s':>14}{'selection s':>13}{'together s':>12}{'peak MB':>9}")
    for variant in ("plain", "streaming"):
        command = [sys.executable, __file__, "--pixels", str(pixels), "--variant", variant]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            sys.exit(result.stderr)
        row = rows[variant] = json.loads(result.stdout.splitlines()[-1])
        row["seconds"] = row["thresholds"] + row["selection"]
        columns = (row["thresholds"], row["selection"], row["seconds"])
        print(f"{variant:12}{columns[0]:14.3f}{columns[1]:13.3f}{columns[2]:12.3f}{row['peak_mb']:9.0f}")
    gain = rows["plain"]["seconds"] / rows["streaming"]["seconds"]
    difference = abs(rows["plain"]["kept"] - rows["streaming"]["kept"]) / pixels
    rate = pixels / rows["streaming"]["thresholds"] / 1e6
    print(f"{gain:.1f} times as fast; {rate:.0f} million pixels/s counted; kept shares differ by {difference:.1e}")
    table = CLASSES * BINS * 8 / 1e6
    print(
        f"peak: above libraries and four images' scores; the histogram is {table:.0f} MB however many images there are,"
    )
    print(f"the two arrays {pixels * 16 / 1e6:.0f} MB, {HEIGHT * WIDTH * 16 / 1e6:.1f} MB per image (24,955 for 2,975)")
    return gain < 5


if __name__ == "__main__":
    run_script(main)
