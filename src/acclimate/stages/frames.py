"""Pictures cut from videos, as a data set without labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image as PILImage

from acclimate.data.readers.description import DESCRIPTION
from acclimate.errors import UserError
from acclimate.io.files import atomic, write_text
from acclimate.io.outputs import claim_folder
from acclimate.io.progress import progress
from acclimate.io.video import VIDEO_SUFFIXES, opened_video

IMAGES = "images"
_QUALITY = 95
_NUMBERED = re.compile(r"\d{6}\.jpg")


def cut_frames(videos: Sequence[Path], *, output: Path, every: float, most: int | None = None) -> int:
    """Writes ``images/VIDEO/NUMBER.jpg``, numbered as the video's frames from 1, and a ``dataset.yaml``.

    A description that is there stays as it is; pictures of an earlier cut of the same video go.

    Args:
        videos: files of different names.
        output: the folder to write to.
        every: seconds from picture to picture; 0: every frame.
        most: pictures of each video at most; None: all.

    Returns:
        How many pictures that are.

    Raises:
        UserError: a video is missing or cannot be read, two have the same name, or ``output`` holds something else.
    """
    names = [video.stem for video in videos]
    for video in videos:
        if not video.is_file():
            raise UserError(f"there is no video {video}")
        if video.suffix.lower() not in VIDEO_SUFFIXES:
            raise UserError(f"{video} is no video that is read ({', '.join(VIDEO_SUFFIXES)})")
        if names.count(video.stem) > 1:
            raise UserError(f"two of the videos are called {video.stem}; cut them into different folders with -o")
    claim_folder(output, "frames", reads=videos)
    written = sum(_cut(video, output / IMAGES / video.stem, every, most) for video in videos)
    if not (output / DESCRIPTION).exists():
        write_text(output / DESCRIPTION, f"images: {IMAGES}\n")
    return written


def _cut(video: Path, folder: Path, every: float, most: int | None) -> int:
    written: list[Path] = []
    with opened_video(video) as frames, progress(f"frames of {video.name}", frames.count) as bar:
        for number, frame in enumerate(frames, start=1):
            # half a frame's time earlier counts too, or rounding would skip to the next one
            if frame.seconds + 0.5 / float(frames.rate) >= len(written) * every:
                written.append(folder / f"{number:06d}.jpg")
                with atomic(written[-1]) as temporary:
                    PILImage.fromarray(frame.image).save(temporary, format="JPEG", quality=_QUALITY, subsampling=0)
                if most is not None and len(written) >= most:
                    break
            bar.advance()
    if not written:
        raise UserError(f"{video} holds no picture")
    for earlier in folder.glob("*.jpg"):
        if _NUMBERED.fullmatch(earlier.name) and earlier not in written:
            earlier.unlink()
    return len(written)
