"""Videos and cameras as frames, and frames as videos: PyAV reads and writes files, OpenCV reads cameras."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acclimate.errors import UserError
from acclimate.io.files import atomic
from acclimate.io.images import MAX_PIXELS
from acclimate.io.reading import stream_of

_CONTAINERS = {
    ".mp4": "mov", ".m4v": "mov", ".mov": "mov", ".avi": "avi", ".mkv": "matroska", ".webm": "matroska",
}  # fmt: skip
"""Suffix -> the one reader that is tried: others would follow lists of further files and addresses."""
VIDEO_SUFFIXES = tuple(_CONTAINERS)
"""What videos are called, lower case."""
_DAMAGE = (OSError, ValueError, ArithmeticError)
"""What PyAV raises on a damaged file beside its own errors: places outside the file, turns by no number."""
_TICKS = 90_000
"""Units per second in which a written video counts time, as MPEG does."""
_CAMERA_RATE = Fraction(30)


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        seconds: since the first one.
    """

    image: NDArray[np.uint8]
    seconds: float


@dataclass(frozen=True)
class Frames:
    """The frames of a video or of a camera, in time.

    Attributes:
        name: of the file or camera, for messages.
        rate: frames per second, on average.
        count: how many there are, as the file says; None where nobody knows.
        frames: each once.
    """

    name: str
    rate: Fraction
    count: int | None
    frames: Iterator[Frame]

    def __iter__(self) -> Iterator[Frame]:
        return self.frames

    def within(self, seconds: float | None) -> Frames:
        """Those of the first ``seconds``; None: all."""
        if seconds is None:
            return self
        most = round(seconds * self.rate)
        count = most if self.count is None else min(self.count, most)
        return replace(self, count=count, frames=takewhile(lambda frame: frame.seconds < seconds, self.frames))


def opened_footage(place: Path | int) -> AbstractContextManager[Frames]:
    """The video of a path, or the camera of a number."""
    return opened_camera(place) if isinstance(place, int) else opened_video(place)


@contextmanager
def opened_video(path: Path) -> Iterator[Frames]:
    """A video file, decoded frame by frame; sound is left out.

    Raises:
        UserError: PyAV is missing, or the file is no video, damaged or too large; while frames are taken, too.
    """
    av = _required("av", "videos", "video")
    with ExitStack() as opened:
        try:
            file = opened.enter_context(stream_of(path))
            kind = _CONTAINERS[path.suffix.lower()]
            # titles and the like are often in no UTF-8 and are not needed
            container = opened.enter_context(av.open(file, format=kind, metadata_errors="replace"))
            if not container.streams.video:
                raise UserError(f"{path} holds no video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        except UserError:
            raise
        except (av.error.FFmpegError, *_DAMAGE) as error:
            raise _unreadable(path, error) from error
        yield Frames(str(path), rate, stream.frames or None, _decoded(container, stream, path, rate))


def _decoded(container: Any, stream: Any, path: Path, rate: Fraction) -> Iterator[Frame]:
    av = importlib.import_module("av")
    first: float | None = None
    number = 0
    try:
        for number, frame in enumerate(container.decode(stream)):
            if frame.width * frame.height > MAX_PIXELS:
                raise UserError(f"{path} has {frame.width}x{frame.height} pixels; make it smaller")
            seconds = float(number / rate) if frame.pts is None else float(frame.pts * frame.time_base)
            first = seconds if first is None else first
            image = frame.to_ndarray(format="rgb24")
            # the display matrix of a phone's video says by how much it is turned against the clock
            turns = round(frame.rotation / 90) % 4
            yield Frame(np.ascontiguousarray(np.rot90(image, turns)) if turns else image, seconds - first)
    except UserError:
        raise
    except (av.error.FFmpegError, *_DAMAGE) as error:
        raise _unreadable(path, error, number=number) from error


def _unreadable(path: Path, error: Exception, *, number: int = 0) -> UserError:
    where = f" after frame {number}" if number else ""
    why = getattr(error, "strerror", None) or error
    return UserError(
        f"{path} cannot be read as a video{where} ({why}): it is damaged, or no {', '.join(VIDEO_SUFFIXES)}; convert "
        f"it with ffmpeg -i {path.name} -c:v libx264 other.mp4, or replace it"
    )


@contextmanager
def opened_camera(index: int) -> Iterator[Frames]:
    """The frames of a camera, as they come, without an end.

    Raises:
        UserError: OpenCV is missing, there is no such camera, or it stops.
    """
    cv2 = _required("cv2", "cameras", "camera")
    capture = cv2.VideoCapture(index)

    def frames() -> Iterator[Frame]:
        begin: float | None = None
        while True:
            whole, image = capture.read()
            if not whole:
                raise UserError(f"camera {index} gives no more pictures; is it plugged in, and free?")
            now = time.monotonic()
            begin = now if begin is None else begin
            yield Frame(np.ascontiguousarray(image[..., ::-1]), now - begin)

    try:
        if not capture.isOpened():
            raise UserError(
                f"there is no file {index}, and no camera of that number can be opened; 0 is the first one, which no "
                "other program may be using"
            )
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        yield Frames(
            f"camera {index}", Fraction(rate).limit_denominator(1001) if rate > 0 else _CAMERA_RATE, None, frames()
        )
    finally:
        capture.release()


class VideoWriter:
    """Frames into an MP4 (H.264 where PyAV has it), each shown at its own time. Made by :func:`written_video`."""

    def __init__(self, container: Any, rate: Fraction) -> None:
        self._av = importlib.import_module("av")
        self._container, self._rate = container, rate
        self._stream: Any = None
        self._last = -1

    def add(self, image: NDArray[np.uint8], *, seconds: float) -> None:
        """One more frame, (H, W, 3) uint8 RGB; the first one says the size, others are resized to it."""
        # the codecs halve the colour's resolution, so sides must be even: the last row or column counts twice
        odd = (image.shape[0] % 2, image.shape[1] % 2)
        if any(odd):
            image = np.pad(image, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
        if self._stream is None:
            self._stream = self._begun(image.shape[1], image.shape[0])
        frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
        frame = frame.reformat(width=self._stream.width, height=self._stream.height, format="yuv420p")
        self._last = max(self._last + 1, round(seconds * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def _begun(self, width: int, height: int) -> Any:
        av = self._av
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = self._container.add_stream(codec, rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "libx264":
            stream.codec_context.time_base = Fraction(1, _TICKS)
            stream.options = {"crf": "18", "preset": "veryfast"}
        else:
            stream.codec_context.time_base = 1 / self._rate
            stream.codec_context.bit_rate = 4 * width * height
        return stream

    def finish(self) -> None:
        """Writes what the codec still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))


@contextmanager
def written_video(path: Path, *, rate: Fraction) -> Iterator[VideoWriter]:
    """An MP4 that is whole or absent: it appears at ``path`` when the block ends well.

    Args:
        path: the file.
        rate: frames per second, on average, which the codec reckons with.

    Raises:
        UserError: PyAV is missing, or the file cannot be written.
    """
    av = _required("av", "videos", "video")
    try:
        with atomic(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
            writer = VideoWriter(container, rate)
            yield writer
            writer.finish()
    except av.error.FFmpegError as error:
        raise UserError(f"{path} cannot be written as a video: {error}") from error


def _required(module: str, what: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        package = {"av": "PyAV", "cv2": "OpenCV"}[module]
        raise UserError(f"{what} need {package}: pip install 'acclimate[{extra}]'") from None
