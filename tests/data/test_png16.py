from __future__ import annotations

import time
from pathlib import Path

import formats
import numpy as np
import pytest
from PIL import Image

from acclimate.data.readers.png16 import is_png_of_16_bits, read_first_channel
from acclimate.errors import UserError


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("filters", [(0,), (1,), (2,), (3,), (4,), (4, 0, 3, 1, 2)])
def test_every_filter_and_colour_type_is_undone(tmp_path: Path, channels: int, filters: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (9, 7, channels))
    (tmp_path / "a.png").write_bytes(formats.png16(values, filters=filters))
    assert is_png_of_16_bits(tmp_path / "a.png")
    np.testing.assert_array_equal(read_first_channel(tmp_path / "a.png"), values[..., 0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (8, 1), (3, 40), (40, 3)])
def test_narrow_and_flat_pictures(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).integers(0, 1 << 16, (*shape, 3))
    (tmp_path / "a.png").write_bytes(formats.png16(values, filters=(4, 3)))
    np.testing.assert_array_equal(read_first_channel(tmp_path / "a.png"), values[..., 0])


def test_agrees_with_pillow_on_16_bit_grey(tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(0, 1 << 16, (50, 60), dtype=np.uint16)
    Image.fromarray(np.cumsum(values, axis=1, dtype=np.uint16)).save(tmp_path / "a.png")  # smooth: real filters
    np.testing.assert_array_equal(read_first_channel(tmp_path / "a.png"), np.array(Image.open(tmp_path / "a.png")))


def test_pillow_alone_would_lose_the_ids(tmp_path: Path) -> None:
    values = np.full((4, 4, 3), 7)
    (tmp_path / "a.png").write_bytes(formats.png16(values))
    assert np.array(Image.open(tmp_path / "a.png")).max() == 0  # why this reader exists


def test_damage_is_told_with_the_files_name(tmp_path: Path) -> None:
    content = formats.png16(np.random.default_rng(0).integers(0, 1 << 16, (30, 30, 3)))
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 3])
    with pytest.raises(UserError, match=r"cut\.png cannot be read as a 16-bit PNG"):
        read_first_channel(tmp_path / "cut.png")
    (tmp_path / "tiny.png").write_bytes(content[:20])
    with pytest.raises(UserError, match=r"tiny\.png cannot be read"):
        read_first_channel(tmp_path / "tiny.png")


def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    content = bytearray(formats.png16(np.zeros((2, 2, 3), dtype=np.int64)))
    content[16:24] = (60000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"bomb\.png has 60000x60000 pixels"):
        read_first_channel(tmp_path / "bomb.png")


def test_ordinary_files_are_told_apart(tmp_path: Path) -> None:
    formats.save_image(tmp_path / "rgb.png")
    (tmp_path / "text.png").write_text("no")
    assert not is_png_of_16_bits(tmp_path / "rgb.png")
    assert not is_png_of_16_bits(tmp_path / "text.png")
    assert not is_png_of_16_bits(tmp_path / "none.png")


def test_a_full_size_label_is_decoded_in_time(tmp_path: Path) -> None:
    # written with the filter of Pillow's own encoder for wide rows; grey, so that writing it is quick
    ids = np.kron(np.random.default_rng(0).integers(0, 23, (38, 64)), np.ones((20, 20), dtype=np.int64))
    Image.fromarray(ids.astype(np.uint16)).save(tmp_path / "a.png")
    begin = time.perf_counter()
    decoded = read_first_channel(tmp_path / "a.png")
    assert time.perf_counter() - begin < 1.5  # 0.1 s on a free core
    np.testing.assert_array_equal(decoded, ids)
