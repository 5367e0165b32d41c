"""A video or camera while its frames are predicted: how many they are, how fast, and when a camera is enough."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from acclimate.errors import UserError
from acclimate.evaluation.inputs import Input
from acclimate.io.progress import Tracker, progress
from acclimate.io.stopping import Interrupted
from acclimate.io.video import Frames, opened_footage


@dataclass
class Footage:
    """What is predicted of.

    Attributes:
        frames: in order.
        camera: whether it ends when the user interrupts.
        bar: told of every frame.
        predicted: frames so far.
    """

    frames: Frames
    camera: bool
    bar: Tracker
    predicted: int = 0

    def goes_on(self) -> bool:
        """Counts a frame as predicted; False where the user has ended a camera, which is how cameras end.

        Raises:
            Interrupted, KeyboardInterrupt: the user has interrupted a video.
        """
        self.predicted += 1
        try:
            self.bar.advance()
        except (Interrupted, KeyboardInterrupt):
            if not self.camera:
                raise
            return False
        return True

    def expect_frames(self) -> None:
        """Ends in an error, before anything is kept, where there was no frame.

        Raises:
            UserError: there was none.
        """
        if not self.predicted:
            raise UserError(f"{self.frames.name} holds no picture")


@contextmanager
def footage_of(one: Input, *, seconds: float | None) -> Iterator[Footage]:
    """The frames of a video or camera, and at the end how fast they were predicted.

    Args:
        one: no picture.
        seconds: how much of it; None: all, until interrupted.
    """
    begin = time.monotonic()
    with opened_footage(one.place) as opened:
        frames = opened.within(seconds)
        with progress(f"predict {one.name}", frames.count) as bar:
            footage = Footage(frames, isinstance(one.place, int), bar)
            yield footage
    number, spent = footage.predicted, time.monotonic() - begin
    print(f"{one.name}: {number} frames in {spent:.1f} s, {number / spent:.1f} per second", file=sys.stderr)
