"""A video through `acclimate predict`: frames per second, and whether what is written plays.

    python benchmarks/video_speed.py [--seconds 10] [--size 640x480] [--network mobilenet-v3plus] [--batch 1]

A drive through the built-in scenes at 25 frames per second, predicted by a network with random weights whose input has
the video's size. The command runs in a process of its own: *in all* is its time from start to end, *predicting* without
what the same command takes for the first frame alone. The video written is decoded from its first frame to its last;
exit status 1 if it has other frames or another size than the one read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

from scripts import at_least_one, random_model, run_script

RATE = 25
CLASSES = "abcdefghij"
LOOKS = 50
"""Pictures that are drawn; longer videos show them again."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=at_least_one, default=10)
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT")
    parser.add_argument("--network", default="mobilenet-v3plus")
    parser.add_argument("--batch", type=at_least_one, default=1)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        frames = RATE * arguments.seconds
        write_drive(folder / "drive.mp4", frames=frames, width=width, height=height)
        checkpoint = random_model(
            folder / "model.safetensors", {"name": arguments.network}, classes=CLASSES, size=(width, height)
        )
        start = predicted(checkpoint, folder / "drive.mp4", folder / "first", batch=arguments.batch, seconds=1 / RATE)
        whole = predicted(checkpoint, folder / "drive.mp4", folder / "all", batch=arguments.batch)
        found, sizes = decoded(folder / "all" / "overlay" / "drive.mp4")
    print(f"{frames} frames of {width}x{height}, {arguments.network}, batches of {arguments.batch}")
    print(f"in all {whole:.1f} s: {frames / whole:.1f} frames per second")
    print(f"predicting {whole - start:.1f} s: {(frames - 1) / max(whole - start, 1e-9):.1f} frames per second")
    plays = found == frames and sizes == {(width, height)}
    shapes = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
    print(f"written and decoded again: {found} frames of {shapes}, {'as' if plays else 'NOT as'} the one that was read")
    sys.exit(0 if plays else 1)


def write_drive(path: Path, *, frames: int, width: int, height: int) -> None:
    """A video of built-in scenes."""
    from acclimate.data.registry import open_dataset
    from acclimate.io.video import written_video

    count = min(LOOKS, frames)
    scenes = open_dataset(f"scenes:camera,images={count},size={width}x{height}", split="val")
    pictures = [scenes.image(index) for index in range(count)]
    with written_video(path, rate=Fraction(RATE)) as writer:
        for number in range(frames):
            writer.add(pictures[number % count], seconds=number / RATE)


def predicted(checkpoint: Path, video: Path, output: Path, *, batch: int, seconds: float | None = None) -> float:
    """Seconds that the command takes."""
    command = [sys.executable, "-m", "acclimate", "predict", str(checkpoint), str(video), "-o", str(output)]
    command += ["--batch", str(batch)]
    command += [] if seconds is None else ["--seconds", str(seconds)]
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.monotonic() - begin


def decoded(path: Path) -> tuple[int, set[tuple[int, int]]]:
    """How many frames a video has, and their (width, height)."""
    from acclimate.io.video import opened_video

    with opened_video(path) as frames:
        sizes = [(frame.image.shape[1], frame.image.shape[0]) for frame in frames]
    return len(sizes), set(sizes)


if __name__ == "__main__":
    run_script(main)
