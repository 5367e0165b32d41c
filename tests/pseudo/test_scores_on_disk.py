"""What is kept between the passes of labelling: read back whole or not at all, and never beyond its bound."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from acclimate.pseudo.scores_on_disk import ScoresOnDisk

PARTS = {"prediction": torch.arange(6, dtype=torch.uint8).view(2, 3), "entropy": torch.linspace(0, 1, 6).view(2, 3)}
BYTES = 6 + 24


def test_what_is_written_is_read_bit_by_bit(tmp_path: Path) -> None:
    kept = ScoresOnDisk(tmp_path / "scores", limit=1 << 20)
    assert kept.read(3) is None
    strange = {"answers": torch.tensor([float("nan"), -0.0, 1e-45]), "half": torch.ones(2, dtype=torch.bfloat16)}
    kept.write(3, strange)
    kept.write(4, PARTS)
    assert (kept.has(3), kept.has(5)) == (True, False)
    again = ScoresOnDisk(tmp_path / "scores", limit=1 << 20)
    for number, parts in ((3, strange), (4, PARTS)):
        found = again.read(number)
        assert found is not None
        assert {name: part.dtype for name, part in found.items()} == {name: part.dtype for name, part in parts.items()}
        for name, part in parts.items():
            assert torch.equal(found[name].view(torch.uint8), part.view(torch.uint8))
    again.remove()
    assert not (tmp_path / "scores").exists()


def test_the_bound_counts_what_an_earlier_command_left(tmp_path: Path) -> None:
    size = ScoresOnDisk(tmp_path / "probe", limit=1 << 20)
    size.write(0, PARTS)
    each = next((tmp_path / "probe").iterdir()).stat().st_size
    limit = 2 * each + BYTES - 1
    kept = ScoresOnDisk(tmp_path / "scores", limit=limit)
    assert kept.fits(PARTS, images=limit // BYTES)
    assert not kept.fits(PARTS, images=limit // BYTES + 1)
    kept.write(0, PARTS)
    kept.write(0, PARTS)  # in the place of the first
    kept = ScoresOnDisk(tmp_path / "scores", limit=limit)
    for number in range(1, 5):
        kept.write(number, PARTS)
    assert [kept.has(number) for number in range(5)] == [True, True, False, False, False]


@pytest.mark.parametrize("change", ["cut", "flipped", "empty"])
def test_damage_is_seen(tmp_path: Path, change: str) -> None:
    kept = ScoresOnDisk(tmp_path, limit=1 << 20)
    kept.write(0, PARTS)
    path = next(tmp_path.glob("*.scores"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes({"cut": content[:-7], "flipped": content, "empty": b""}[change])
    assert kept.read(0) is None


def test_a_disk_that_refuses_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = ScoresOnDisk(tmp_path / "scores", limit=1 << 20)
    kept.write(0, PARTS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("acclimate.pseudo.scores_on_disk.os.replace", full)
    kept.write(1, PARTS)
    kept.write(2, PARTS)
    assert not (tmp_path / "scores").exists(), "what was kept makes room for the labels"
    assert caplog.text.count("images are predicted twice") == 1
