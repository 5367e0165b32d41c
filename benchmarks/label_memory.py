"""Peak memory of `acclimate label` on few and on many images of 1024x512.

    python benchmarks/label_memory.py [--images 100 2000]

Each run is the command itself, in a process of its own, with a tiny network of five classes. Its peak is printed beside
that of the same command on one image, which is what the framework takes, and beside the two float64 arrays of the whole
set (predicted class and confidence of every pixel) that the plain procedure holds. Exit status 1 if the peaks differ by
5 % or more, or if one is a gigabyte or more above the framework's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts import at_least_one, run_script

WIDTH, HEIGHT = 1024, 512
CLASSES = ("a", "b", "c", "d", "e")
DISTINCT = 20
"""Images that are written; larger sets name them again and again, which changes nothing for the memory."""

_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=at_least_one, nargs="+", default=(100, 2000))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        checkpoint = write_checkpoint(folder / "model.safetensors")
        write_photos(folder / "photos")
        framework, _ = measured(folder, checkpoint, images=1)
        print(f"{'images':>8}{'seconds':>10}{'peak MB':>10}{'above one image':>18}{'two float64 arrays':>20}")
        peaks = []
        for images in arguments.images:
            peak, seconds = measured(folder, checkpoint, images=images)
            peaks.append(peak)
            plain = images * WIDTH * HEIGHT * 2 * 8 / 1e6
            print(f"{images:8}{seconds:10.1f}{peak:10.0f}{peak - framework:15.0f} MB{plain:17,.0f} MB", flush=True)
    change = max(peaks) / min(peaks) - 1
    print(f"one image: {framework:.0f} MB; the peaks differ by {100 * change:.1f} %")
    sys.exit(change >= 0.05 or max(peaks) - framework >= 1000)


def write_checkpoint(path: Path) -> Path:
    """A tiny network with random weights."""
    import torch

    from acclimate.models.checkpoint import ModelCard, save_network
    from acclimate.models.config import NetworkConfig
    from acclimate.models.registry import build_network

    torch.manual_seed(0)
    network = build_network(NetworkConfig.parse({"name": "small", "width": 8}), len(CLASSES))
    card = ModelCard(
        network=network.config,
        class_space="letters",
        classes=CLASSES,
        colours=tuple((50 * place, 0, 0) for place in range(len(CLASSES))),
        input_size=None,
    )
    save_network(path, network, card=card)
    return path


def write_photos(folder: Path) -> None:
    """Pictures with something in them: noise at several scales."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(DISTINCT):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT))
        fine = rng.integers(-20, 21, (HEIGHT, WIDTH, 1))
        pixels = np.clip(np.asarray(coarse).astype(int) + fine, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)


def measured(folder: Path, checkpoint: Path, *, images: int) -> tuple[float, float]:
    """Peak memory in MB and seconds of labelling a set of that many images."""
    data = folder / f"set-{images}"
    (data / "images").mkdir(parents=True)
    for number in range(images):
        os.link(folder / "photos" / f"{number % DISTINCT}.jpg", data / "images" / f"{number:06}.jpg")
    (data / "dataset.yaml").write_text(f"name: letters\nimages: images\nclasses: [{', '.join(CLASSES)}]\n")
    command = [sys.executable, "-m", "acclimate", "label", str(checkpoint), "--data", f"folder:{data / 'dataset.yaml'}"]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *command, "-o", str(folder / f"labels-{images}")],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.splitlines()[-1]), time.monotonic() - begin


if __name__ == "__main__":
    run_script(main)
