"""Peak memory and time of `acclimate label` on few and on many images of 1024x512, in one pass and in two.

    python benchmarks/label_memory.py [--images 100 2000] [--network small] [--width 8]

Each run is the command itself, in a process of its own, with a network of five classes. In one pass, what the network
says is kept on disk until the labels are written (`--scores-on-disk`); in two, it sees every image again. The peak is
printed beside that of the same command on one image, which is what the framework takes, and beside the two float64
arrays of the whole set (predicted class and confidence of every pixel) that the plain procedure holds. Exit status 1 if
the peaks differ by 5 % or more, if one is a gigabyte or more above the framework's, or if a label differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from scripts import at_least_one, random_model, run_script

WIDTH, HEIGHT = 1024, 512
CLASSES = ("a", "b", "c", "d", "e")
DISTINCT = 20
"""Images that are written; larger sets name them again and again, which changes nothing for the memory."""

_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime)
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=at_least_one, nargs="+", default=(100, 2000))
    parser.add_argument("--network", default="small")
    parser.add_argument("--width", type=at_least_one, default=8, help="of the network small")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        options = {"width": arguments.width} if arguments.network == "small" else {}
        checkpoint = random_model(folder / "model.safetensors", {"name": arguments.network, **options}, classes=CLASSES)
        write_photos(folder / "photos")
        one = measured(folder, checkpoint, images=1, gigabytes=16)
        titles = f"{'images':>8}{'passes':>8}{'seconds':>10}{'CPU ms per image':>18}{'peak MB':>10}"
        print(f"{titles}{'above one image':>18}{'two float64 arrays':>20}")
        peaks, same = [], True
        for images in arguments.images:
            digests = set()
            for passes, gigabytes in ((2, 0), (1, 16)):
                found = measured(folder, checkpoint, images=images, gigabytes=gigabytes)
                peaks.append(found.peak)
                digests.add(found.digest)
                plain = images * WIDTH * HEIGHT * 2 * 8 / 1e6
                each = 1000 * (found.cpu - one.cpu) / max(1, images - 1)
                print(
                    f"{images:8}{passes:8}{found.seconds:10.1f}{each:18.1f}{found.peak:10.0f}"
                    f"{found.peak - one.peak:15.0f} MB{plain:17,.0f} MB",
                    flush=True,
                )
            same = same and len(digests) == 1
    change = max(peaks) / min(peaks) - 1
    verdict = "equal" if same else "DIFFER"
    print(f"one image: {one.peak:.0f} MB; the peaks differ by {100 * change:.1f} %; labels {verdict}")
    sys.exit(change >= 0.05 or max(peaks) - one.peak >= 1000 or not same)


@dataclass(frozen=True)
class Measured:
    """Of one command: peak memory in MB, seconds, seconds of processor time, and a digest of all labels."""

    peak: float
    seconds: float
    cpu: float
    digest: str


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


def measured(folder: Path, checkpoint: Path, *, images: int, gigabytes: int) -> Measured:
    """What labelling a set of that many images takes."""
    data = folder / f"set-{images}"
    if not data.exists():
        (data / "images").mkdir(parents=True)
        for number in range(images):
            os.link(folder / "photos" / f"{number % DISTINCT}.jpg", data / "images" / f"{number:06}.jpg")
        (data / "dataset.yaml").write_text(f"name: letters\nimages: images\nclasses: [{', '.join(CLASSES)}]\n")
    labels = folder / f"labels-{images}-{gigabytes}"
    command = [sys.executable, "-m", "acclimate", "label", str(checkpoint), "--data", f"folder:{data / 'dataset.yaml'}"]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *command, "--scores-on-disk", str(gigabytes), "-o", str(labels)],
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - begin
    if done.returncode:
        sys.exit(done.stderr)
    digest = hashlib.sha256()
    for path in sorted((labels / "labels").iterdir()):
        digest.update(path.read_bytes())
    shutil.rmtree(labels)
    peak, cpu = map(float, done.stdout.splitlines()[-1].split())
    return Measured(peak, seconds, cpu, digest.hexdigest())


if __name__ == "__main__":
    run_script(main)
