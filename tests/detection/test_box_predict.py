"""Detections on disk: pictures, videos in and out, frames, lists and cameras."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.cli.predict import predict_command
from acclimate.detection.checkpoint import load_detector
from acclimate.detection.drawing import drawn
from acclimate.detection.evaluate import detected
from acclimate.errors import UserError
from acclimate.io.video import Frame, Frames, opened_video, written_video

pytest.importorskip("av", reason="the extra 'video' is not installed")
SIZE = (64, 64)


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder with ``drive.mp4``: four frames of 96x64, 5 per second."""
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(0, 256, (8, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    with written_video(tmp_path / "drive.mp4", rate=Fraction(5)) as writer:
        for number in range(4):
            writer.add(np.roll(base, 8 * number, axis=1), seconds=number / 5)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frames_of(path: Path) -> list[np.ndarray]:
    with opened_video(path) as frames:
        return [frame.image for frame in frames]


def test_a_video_becomes_a_video_and_a_line_of_boxes_for_every_frame(
    detector: Path, footage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_command(detector, ["drive.mp4"], score=0.27)
    assert capsys.readouterr().out.splitlines() == ["predictions/drive-boxes.mp4"]
    lines = [json.loads(line) for line in (footage / "predictions/drive.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["seconds"]) for line in lines] == [(1, 0.0), (2, 0.2), (3, 0.4), (4, 0.6)]
    network, card = load_detector(detector)
    given, shown = frames_of(footage / "drive.mp4"), frames_of(footage / "predictions/drive-boxes.mp4")
    assert len(shown) == 4
    for line, frame, picture in zip(lines, given, shown, strict=True):
        found = detected(network, frame, size=SIZE)
        assert len(line["detections"]) == len(found.scores)
        first = line["detections"][0]
        assert first["class"] == card.classes[int(found.classes[0])]
        assert first["box"] == pytest.approx(found.boxes[0].tolist(), abs=0.051)
        above = found.scores > 0.27
        assert above.any()
        boxes, classes = found.boxes[above].tolist(), found.classes[above].tolist()
        expected = np.asarray(drawn(frame, boxes, classes, card.space(), scores=found.scores[above].tolist()))
        # lines of a pixel lose their colour in H.264, but nothing like what frames without boxes differ by
        difference, without = (np.abs(picture.astype(float) - each).mean() for each in (expected, frame))
        assert difference < 0.4 * without


def test_frames_lists_and_the_beginning_of_a_video(
    detector: Path, footage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (footage / "some.txt").write_text("drive.mp4\nstreet.png\n")
    Image.new("RGB", (30, 20)).save(footage / "street.png")
    predict_command(detector, ["some.txt"], frames=True, seconds=0.3)
    assert capsys.readouterr().out.splitlines() == [
        "predictions/street-boxes.jpg",
        "predictions/drive/000001-boxes.jpg",
        "predictions/drive/000002-boxes.jpg",
    ]
    second = json.loads((footage / "predictions/drive/000002.json").read_text())
    assert (second["frame"], second["seconds"]) == (2, 0.2)
    assert not list((footage / "predictions").glob("*.mp4"))


def test_a_camera_is_followed_until_the_user_has_seen_enough(
    detector: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    @contextmanager
    def camera(place: int):
        def frames():
            for number in range(3):
                yield Frame(np.zeros((20, 30, 3), dtype=np.uint8), number / 30)
            raise AssertionError("it goes on although enough was seen")

        yield Frames(f"camera {place}", Fraction(30), None, frames())

    monkeypatch.setattr("acclimate.io.video.opened_camera", camera)
    predict_command(detector, ["0"], seconds=0.05)
    assert len((footage / "predictions/camera-0.jsonl").read_text().splitlines()) == 2
    assert len(frames_of(footage / "predictions/camera-0-boxes.mp4")) == 2


def test_a_broken_video_leaves_nothing_and_options_of_label_maps_are_refused(detector: Path, footage: Path) -> None:
    (footage / "broken.mp4").write_bytes((footage / "drive.mp4").read_bytes()[:400])
    with pytest.raises(UserError, match=r"broken\.mp4 cannot be read as a video"):
        predict_command(detector, ["broken.mp4"])
    assert not [path for path in (footage / "predictions").iterdir() if "broken" in path.name]
    with pytest.raises(UserError, match="leave out --overlay and --batch and --set"):
        predict_command(detector, ["drive.mp4"], overlay=True, batch=2, inference=["flip=true"])
