"""Predictions on disk: every way to name pictures, the folders by kind, the legend, videos in and out, cameras."""

from __future__ import annotations

import json
import sys
import types
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from acclimate.cli.app import app, main
from acclimate.data.class_spaces import class_space
from acclimate.data.registry import open_dataset
from acclimate.errors import UserError
from acclimate.evaluation.model import load
from acclimate.models.checkpoint import ModelCard, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.report.colour import entropy_colours

av = pytest.importorskip("av", reason="the extra 'video' is not installed")
SPACE = class_space("scenes")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a run in ``run`` and pictures in ``frames``."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig.model_validate({"name": "small", "width": 8}), len(SPACE))
    card = ModelCard(
        network=network.config,
        classes=SPACE.classes,
        colours=SPACE.colours,
        class_space=SPACE.name,
        input_size=(64, 32),
    )
    (tmp_path / "run/1-advent").mkdir(parents=True)
    save_network(tmp_path / "run/1-advent/model.safetensors", network, card=card)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "deep/c.png"):
        path = tmp_path / "frames" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 9, 3), dtype=np.uint8)).resize((90, 40)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_clip(path: Path, *, frames: int = 6) -> None:
    """A video whose frames differ, written with PyAV alone: 64x48, 5 frames per second."""
    width, height = 64, 48
    codec = "mpeg4" if path.suffix == ".avi" else "libx264"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            image = np.full((height, width, 3), 20, dtype=np.uint8)
            image[: height // 2, : width // 4] = (200, 12 * number, 40)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        container.mux(stream.encode(None))


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def predicted(*words: str) -> list[str]:
    done = CliRunner().invoke(app, ["predict", "run", *words, "--device", "cpu"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """The one message of a command that fails for the user's mistake."""
    monkeypatch.setattr(sys, "argv", ["acclimate", "predict", "run", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_every_kind_has_its_folder_and_holds_what_the_model_says(run: Path) -> None:
    kinds = ("--colours", "--overlay", "--confidence", "--entropy")
    assert predicted("frames", *kinds) == [f"predictions/ids/{name}.png" for name in ("a", "b", "deep/c")]
    found = load(run / "run", device="cpu").predict(run / "frames/deep/c.png")
    at = run / "predictions"
    ids = Image.open(at / "ids/deep/c.png")
    np.testing.assert_array_equal(np.array(ids), found.labels)
    np.testing.assert_array_equal(np.array(ids.convert("RGB")), found.coloured())
    np.testing.assert_array_equal(np.array(Image.open(at / "colours/deep/c.png")), found.coloured())
    confidence = np.array(Image.open(at / "confidence/deep/c.png"))
    np.testing.assert_allclose(confidence / 255, found.confidence, atol=0.5 / 255 + 1e-6)
    assert found.confidence.min() >= 1 / len(SPACE)
    levels = (found.entropy * 255).round().astype(np.uint8)
    np.testing.assert_array_equal(np.array(Image.open(at / "entropy/deep/c.png")), entropy_colours()[levels])
    overlay = np.array(Image.open(at / "overlay/deep/c.jpg")).astype(float)
    np.testing.assert_allclose(found.overlay(), 0.45 * found.image + 0.55 * found.coloured(), atol=2)
    assert np.abs(overlay - found.overlay()).mean() < 4  # what JPEG leaves of it


def test_the_legend_names_ids_and_colours(run: Path) -> None:
    predicted("frames/a.png")
    legend = json.loads((run / "predictions/legend.json").read_text())
    assert [(entry["id"], entry["name"], tuple(entry["colour"])) for entry in legend["classes"]] == list(
        zip(range(len(SPACE)), SPACE.classes, SPACE.colours, strict=True)
    )
    assert legend["void"] == 255
    picture = Image.open(run / "predictions/legend.png").convert("RGB")
    drawn = {colour for _, colour in picture.getcolors(1 << 20) or []}
    assert set(SPACE.colours) <= drawn


def test_patterns_lists_and_batches(run: Path) -> None:
    assert predicted("frames/*.png") == ["predictions/ids/a.png", "predictions/ids/b.png"]
    assert predicted("frames/**/*.png", "-o", "all")[-1] == "all/ids/deep/c.png"
    (run / "some.txt").write_text("# two of them\nframes/deep/c.png\n\nframes/a.png\n")
    assert predicted("some.txt", "-o", "listed") == ["listed/ids/frames/deep/c.png", "listed/ids/frames/a.png"]
    Image.new("RGB", (30, 20)).save(run / "frames/aa.png")  # another size between those of a batch
    predicted("frames", "-o", "one")
    predicted("frames", "-o", "batch", "--batch", "3")
    for path in sorted((run / "one/ids").rglob("*.png")):
        same = np.array(Image.open(path)) == np.array(Image.open(run / "batch/ids" / path.relative_to(run / "one/ids")))
        assert same.mean() > 0.99  # larger batches may round differently


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_a_video_becomes_a_video(run: Path, suffix: str) -> None:
    write_clip(run / f"drive{suffix}")
    assert predicted(f"drive{suffix}", "--overlay", "--colours") == [
        "predictions/colours/drive.mp4",
        "predictions/overlay/drive.mp4",
    ]
    model = load(run / "run", device="cpu")
    frames = decoded(run / f"drive{suffix}")
    overlays, colours = (decoded(run / f"predictions/{kind}/drive.mp4") for kind in ("overlay", "colours"))
    assert len(frames) == len(overlays) == len(colours) == 6
    for frame, overlay, colour in zip(frames, overlays, colours, strict=True):
        found = model.predict(frame)
        assert overlay.shape == frame.shape
        assert np.abs(overlay.astype(float) - found.overlay()).mean() < 6  # what H.264 leaves of it
        assert np.abs(colour.astype(float) - found.coloured()).mean() < 10
    with av.open(str(run / "predictions/overlay/drive.mp4")) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(6) / 5, atol=1e-3)


def test_frames_of_a_video_and_its_beginning(run: Path) -> None:
    write_clip(run / "drive.mp4")
    written = predicted("drive.mp4", "--frames", "--confidence", "--seconds", "0.7")
    assert written == [f"predictions/ids/drive/{number:06d}.png" for number in range(1, 5)]
    ids = np.array(Image.open(run / written[1]))
    np.testing.assert_array_equal(ids, load(run / "run", device="cpu").predict(decoded(run / "drive.mp4")[1]).labels)
    assert len(list((run / "predictions/confidence/drive").iterdir())) == 4


def test_videos_and_pictures_of_a_folder(run: Path) -> None:
    write_clip(run / "frames/clip.mp4", frames=2)
    written = predicted("frames")
    assert written[-1] == "predictions/overlay/clip.mp4"
    assert len(written) == 4


def turned(content: bytes) -> bytes:
    """An MP4 whose track header says a quarter turn with the clock: x' = -y, y' = x (ISO 14496-12, 8.3.2)."""
    at = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 4 + 4
    one, minus = (1 << 16).to_bytes(4, "big"), (-1 << 16).to_bytes(4, "big", signed=True)
    none = bytes(4)
    matrix = none + one + none + minus + none + none + none + none + (1 << 30).to_bytes(4, "big")
    return content[:at] + matrix + content[at + 36 :]


def test_a_phones_video_is_upright(run: Path) -> None:
    write_clip(run / "plain.mp4", frames=1)
    (run / "phone.mp4").write_bytes(turned((run / "plain.mp4").read_bytes()))
    predicted("phone.mp4", "--frames", "--overlay")
    with Image.open(run / "predictions/overlay/phone/000001.jpg") as picture:
        assert picture.size == (48, 64)
    # a quarter turn with the clock brings the upper left corner, which is red, to the upper right
    upright = np.rot90(decoded(run / "plain.mp4")[0], -1)
    assert upright[5, 40, 0] > 150 > upright[5, 5, 0]
    expected = load(run / "run", device="cpu").predict(np.ascontiguousarray(upright)).labels
    np.testing.assert_array_equal(np.array(Image.open(run / "predictions/ids/phone/000001.png")), expected)


class Camera:
    """A camera of OpenCV's kind: a few pictures, blue, green, red."""

    def __init__(self, index: int) -> None:
        self.there, self.left = index == 0, 4

    def isOpened(self) -> bool:
        return self.there

    def get(self, _: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        image = np.zeros((32, 48, 3), dtype=np.uint8)
        image[..., 0] = 255
        return self.left >= 0, image

    def release(self) -> None:
        self.there = False


def test_a_camera_until_the_user_ends_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", types.SimpleNamespace(VideoCapture=Camera, CAP_PROP_FPS=5))
    from acclimate.io import progress

    asked = iter([None, None, KeyboardInterrupt])

    def end_with_the_third() -> None:
        if (stop := next(asked, None)) is not None:
            raise stop

    monkeypatch.setattr(progress, "act_on_request", end_with_the_third)
    assert predicted("0") == ["predictions/overlay/camera-0.mp4"]
    frames = decoded(run / "predictions/overlay/camera-0.mp4")
    assert len(frames) == 3
    blue = load(run / "run", device="cpu").predict(np.full((32, 48, 3), (0, 0, 255), dtype=np.uint8))
    assert np.abs(frames[0].astype(float) - blue.overlay()).mean() < 8
    assert "no camera of that number" in told(capsys, monkeypatch, "7")
    assert "gives no more pictures" in told(capsys, monkeypatch, "0", "-o", "again")
    assert not (run / "again/overlay/camera-0.mp4").exists()


def test_what_cannot_be_predicted_is_told(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(run / "drive.mp4", frames=20)
    content = (run / "drive.mp4").read_bytes()
    (run / "cut.mp4").write_bytes(content[: len(content) // 2])
    (run / "text.mp4").write_text("#EXTM3U\nhttp://nowhere/else.ts\n")
    (run / "empty.txt").write_text("\n")
    (run / "wrong.txt").write_text("frames/none.png\n")
    for words, expected in (
        (("gone.png",), "there is no image, video or folder gone.png"),
        (("frames/*.gif",), "nothing in frames fits *.gif"),
        (("nowhere/*.png",), "there is no folder nowhere"),
        (("cut.mp4",), "cut.mp4 cannot be read as a video"),
        (("text.mp4",), "text.mp4 cannot be read as a video"),
        (("empty.txt",), "empty.txt names no image"),
        (("wrong.txt",), "names 'frames/none.png', which is neither"),
        (("frames/a.png", "frames/a.png"), "two of the images are called a"),
        (("frames", "--device", "cuda:9"), "there is no device 'cuda:9' here; there is cpu"),
        (("frames", "--device", "gpu"), "there is no device 'gpu' here"),
    ):
        assert expected in told(capsys, monkeypatch, *words)
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'acclimate[video]'" in told(capsys, monkeypatch, "drive.mp4")
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert "pip install 'acclimate[camera]'" in told(capsys, monkeypatch, "0")


def test_a_damaged_video_says_where_and_leaves_no_half(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from acclimate.io import video

    def failing(*_: Any) -> Any:
        yield video.Frame(np.zeros((32, 48, 3), dtype=np.uint8), 0.0)
        raise video._unreadable(Path("drive.mp4"), ValueError("damaged"), number=1)

    write_clip(run / "drive.mp4")
    monkeypatch.setattr(video, "_decoded", failing)
    assert "after frame 1 (damaged)" in told(capsys, monkeypatch, "drive.mp4")
    assert not (run / "predictions/overlay/drive.mp4").exists()
    assert [each.name for each in (run / "predictions/overlay").iterdir()] == []


def test_videos_of_odd_sizes_and_uneven_times_are_kept(tmp_path: Path) -> None:
    from acclimate.io.video import opened_video, written_video

    times = (0.0, 0.2, 0.9)
    with written_video(tmp_path / "odd.mp4", rate=Fraction(5)) as writer:
        for number, seconds in enumerate(times):
            writer.add(np.full((33, 47, 3), 60 * number, dtype=np.uint8), seconds=seconds)
    with opened_video(tmp_path / "odd.mp4") as frames:
        again = list(frames)
    assert [each.image.shape for each in again] == [(34, 48, 3)] * 3
    np.testing.assert_allclose([each.seconds for each in again], times, atol=1e-3)
    np.testing.assert_allclose([each.image.mean() for each in again], (0, 60, 120), atol=4)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_titles_that_are_no_utf8_are_no_reason_to_refuse(suffix: str, tmp_path: Path) -> None:
    from acclimate.io.video import opened_video

    path = tmp_path / f"titled{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Stra+e"
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), dtype=np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    assert b"Stra+e" in content
    path.write_bytes(content.replace(b"Stra+e", b"Stra\xdfe"))
    with opened_video(path) as frames:
        assert len(list(frames)) == 1


def test_a_video_that_leads_outside_itself_is_damaged(tmp_path: Path) -> None:
    from acclimate.io.video import opened_video

    write_clip(tmp_path / "drive.mp4")
    content = bytearray((tmp_path / "drive.mp4").read_bytes())
    box = content.index(b"mdat")
    content[box - 4 : box] = (1).to_bytes(4, "big")  # the size follows in 64 bits
    content[box + 4 : box + 12] = (2**63 - 9).to_bytes(8, "big")
    (tmp_path / "drive.mp4").write_bytes(content)
    with (
        pytest.raises(UserError, match=r"drive\.mp4 cannot be read as a video"),
        opened_video(tmp_path / "drive.mp4") as frames,
    ):
        list(frames)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.stdout == "acclimate 0.1.0\n"


def test_pictures_cut_from_a_video_are_a_target(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(run / "drive.mp4", frames=11)  # 5 frames per second: 2.2 seconds
    cut = CliRunner().invoke(app, ["frames", "drive.mp4", "-o", "footage"], catch_exceptions=False)
    assert cut.stdout == "3 pictures: folder:footage\n"
    dataset = open_dataset("folder:footage")
    assert dataset.names == ["drive/000001", "drive/000006", "drive/000011"]
    assert not dataset.has_labels
    wanted = decoded(run / "drive.mp4")[5].astype(float)
    assert np.abs(dataset.image(1) - wanted).mean() < 2
    # what a user adds to the description stays
    (run / "footage/dataset.yaml").write_text("images: images\nname: mine\n")
    more = ["frames", "drive.mp4", "-o", "footage", "--every", "0", "--most", "7"]
    assert "7 pictures" in CliRunner().invoke(app, more, catch_exceptions=False).stdout
    assert "mine" in (run / "footage/dataset.yaml").read_text()
    assert open_dataset("folder:footage").names == [f"drive/{number:06d}" for number in range(1, 8)]
    for words, expected in (
        (("gone.mp4",), "there is no video gone.mp4"),
        (("frames/a.png",), "frames/a.png is no video that is read"),
        (("drive.mp4", "./drive.mp4"), "two of the videos are called drive"),
        (("drive.mp4", "-o", "frames"), "frames already holds files that acclimate did not write"),
    ):
        monkeypatch.setattr(sys, "argv", ["acclimate", "frames", *words])
        with pytest.raises(SystemExit):
            main()
        assert expected in capsys.readouterr().err.splitlines()[-1]
