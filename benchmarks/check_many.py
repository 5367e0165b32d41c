"""Time and memory of ``acclimate check`` over growing numbers of tiny pictures: both should grow in proportion.

    python benchmarks/check_many.py 2500 5000 10000 20000

Each number of pictures is checked by a process of its own; memory is that of the largest so far.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from scripts import at_least_one, run_script

SIZE = 32
ROW = "| {:>8} | {:>8} | {:>14} | {:>10} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", type=at_least_one, default=[2500, 5000, 10000, 20000], help="how many")
    counts: list[int] = parser.parse_args().pictures
    print(ROW.format("pictures", "seconds", "ms per picture", "peak MiB"))
    print("|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write(folder, count)
            before = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "acclimate", "check", f"folder:{folder}"],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            seconds = time.perf_counter() - before
            # of the largest child so far, hence the growing order
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(ROW.format(count, f"{seconds:.1f}", f"{1000 * seconds / count:.2f}", f"{peak:.0f}"), flush=True)


def write(folder: Path, count: int) -> None:
    """Pictures of noise with labels of four classes, in folders of a hundred."""
    rng = np.random.default_rng(0)
    for number in range(count):
        for what, values in (
            ("images", rng.integers(0, 256, (SIZE, SIZE, 3))),
            ("labels", rng.integers(0, 4, (SIZE, SIZE))),
        ):
            path = folder / what / f"{number // 100:03d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(path, compress_level=1)
    (folder / "dataset.yaml").write_text("images: images\nlabels: labels\nclasses: [road, building, sky, car]\n")


if __name__ == "__main__":
    run_script(main)
