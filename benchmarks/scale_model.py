"""What limits training and labelling on many processes: a model of a page, from measured figures and named assumptions.

    python benchmarks/scale_model.py --step 7.63 --backward 0.56 --images-per-step 2 --gradients 200
        --label 0.38 --image 0.38 --read 24.7 --bandwidth 10 --latency 20 --storage 5 [--processes 1 8 64 512]

*Measured*, of one process (docs/results/speed.md says where each is from): seconds of a step, the share of it that is
the backward pass, images a step reads, MB of gradients and statistics, seconds to label an image in one pass, MB of an
image's file, images a second that a loader gives. *Assumed*, as nothing here can measure them: GB/s and microseconds
of the network between processes, GB/s of the storage that all read from. Nothing has a default: what is not given is
not made up.

The model. A mean over N processes that pass parts around a ring takes 2 (N - 1) / N of its bytes over the bandwidth,
and 2 (N - 1) latencies. Gradients travel during the backward pass; what takes longer than that is waited for:

    step(N) = step + max(0, ring(N) - backward)

Images come as fast as the slower of the loaders, one a process, and the storage, which all share. Labelling needs
images * seconds / N, two rings of histograms (8 bytes for each bin of each class and of each confidence) and the same
images from storage. The table has images a second and the efficiency, against N times one process, and what limits.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from acclimate.pseudo.histogram import bins_for
from scripts import at_least_one, run_script

CONFIDENCES = 2


@dataclass(frozen=True)
class Figures:
    """Measured of one process; times in seconds, sizes in MB.

    Attributes:
        step: of training.
        backward: share of the step.
        images_per_step: read, of both domains.
        gradients: exchanged in a step.
        label: to label an image.
        image: an image's file.
        read: images a second from one loader.
    """

    step: float
    backward: float
    images_per_step: float
    gradients: float
    label: float
    image: float
    read: float


@dataclass(frozen=True)
class Assumed:
    """Of the surroundings.

    Attributes:
        bandwidth: GB/s between two processes.
        latency: microseconds between two processes.
        storage: GB/s that all processes read together.
    """

    bandwidth: float
    latency: float
    storage: float


@dataclass(frozen=True)
class Predicted:
    """Images a second, that against as many times one process, and what holds it back."""

    speed: float
    efficiency: float
    limit: str


def ring(megabytes: float, processes: int, assumed: Assumed) -> float:
    """Seconds of a mean over the processes."""
    if processes == 1:
        return 0.0
    passed_on = 2 * (processes - 1) / processes * megabytes / 1e3 / assumed.bandwidth
    return passed_on + 2 * (processes - 1) * assumed.latency / 1e6


def training(figures: Figures, assumed: Assumed, processes: int) -> Predicted:
    """Training with the same batch for each process."""
    waited = max(0.0, ring(figures.gradients, processes, assumed) - figures.backward * figures.step)
    speeds = {
        "compute" if waited == 0 else "network": processes * figures.images_per_step / (figures.step + waited),
        "loaders": processes * figures.read,
        "storage": assumed.storage * 1e3 / figures.image,
    }
    return _slowest(speeds, alone=figures.images_per_step / figures.step, processes=processes)


def labelling(figures: Figures, assumed: Assumed, processes: int, *, images: int, classes: int) -> Predicted:
    """Labels of so many images, shared out."""
    histograms = CONFIDENCES * classes * bins_for(classes) * 8 / 1e6
    largest = -(-images // processes)
    seconds = largest * figures.label + ring(histograms, processes, assumed)
    exchange = ring(histograms, processes, assumed) > 0.5 * seconds
    speeds = {
        "network" if exchange else "compute": images / seconds,
        "loaders": processes * figures.read,
        "storage": assumed.storage * 1e3 / figures.image,
    }
    return _slowest(speeds, alone=1 / figures.label, processes=processes)


def hidden_from(figures: Figures, assumed: Assumed, processes: int) -> float:
    """Seconds of a step from which the exchange is over before the backward pass is."""
    return ring(figures.gradients, processes, assumed) / figures.backward


def _slowest(speeds: dict[str, float], *, alone: float, processes: int) -> Predicted:
    limit = min(speeds, key=speeds.__getitem__)
    return Predicted(speeds[limit], speeds[limit] / (processes * alone), limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("step", "backward", "images-per-step", "gradients", "label", "image", "read"):
        parser.add_argument(f"--{name}", type=float, required=True, help="measured")
    for name in ("bandwidth", "latency", "storage"):
        parser.add_argument(f"--{name}", type=float, required=True, help="assumed")
    parser.add_argument("--processes", type=at_least_one, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--images", type=at_least_one, default=1_000_000, help="that are labelled")
    parser.add_argument("--classes", type=at_least_one, default=19)
    given = parser.parse_args()
    figures = Figures(
        given.step, given.backward, given.images_per_step, given.gradients, given.label, given.image, given.read
    )
    assumed = Assumed(given.bandwidth, given.latency, given.storage)
    print("| processes | training, images/s | efficiency | limit | exchange hidden from a step of |", end="")
    print(f" {given.images:,} labels, h | efficiency | limit |")
    print("|---|---|---|---|---|---|---|---|")
    for count in given.processes:
        train = training(figures, assumed, count)
        labels = labelling(figures, assumed, count, images=given.images, classes=given.classes)
        hours = given.images / labels.speed / 3600
        print(
            f"| {count} | {train.speed:,.1f} | {100 * train.efficiency:.0f} % | {train.limit} | "
            f"{1e3 * hidden_from(figures, assumed, count):,.0f} ms | {hours:,.2f} | {100 * labels.efficiency:.0f} % | "
            f"{labels.limit} |"
        )


if __name__ == "__main__":
    run_script(main)
