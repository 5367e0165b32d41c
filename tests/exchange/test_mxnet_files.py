"""MXNet's files of arrays: every version as written by hand, and every way in which a file can be wrong."""

from __future__ import annotations

import contextlib
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import mxnet_writer
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from acclimate.errors import UserError
from acclimate.exchange.importing import import_weights
from acclimate.exchange.mxnet_files import is_mxnet, read_mxnet
from acclimate.exchange.tensor_files import read_foreign

BY_HAND = {
    0: "02000000" "0200000001000000",
    1: "c8fa93f9" "02000000" "02000000000000000100000000000000",
    2: "c9fa93f9" "00000000" "02000000" "02000000000000000100000000000000",
    3: "cafa93f9" "00000000" "02000000" "02000000000000000100000000000000",
}  # fmt: skip
"""How an array of shape (2, 1) begins: version, storage, number of dimensions, dimensions."""


def by_hand(version: int) -> bytes:
    """A file with the one array [[1], [-2.5]] in float32, called ``arg:a_beta``."""
    head = "120100000000000000000000000000000100000000000000"
    rest = "0100000000000000000000000000803f000020c001000000000000000a00000000000000"
    return bytes.fromhex(head + BY_HAND[version] + rest) + b"arg:a_beta"


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_file_written_by_hand(tmp_path: Path, version: int) -> None:
    path = tmp_path / "a.params"
    path.write_bytes(by_hand(version))
    tensors = read_foreign(path)
    assert list(tensors) == ["a_beta"]
    assert tensors["a_beta"].dtype == torch.float32
    assert tensors["a_beta"].tolist() == [[1.0], [-2.5]]
    tensors["a_beta"] += 1  # memory of its own
    assert mxnet_writer.file_bytes({"arg:a_beta": np.array([[1], [-2.5]], "float32")}, version) == by_hand(version)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_every_kind_of_value_in_its_order(tmp_path: Path, version: int) -> None:
    arrays: dict[str, mxnet_writer.Array] = {
        f"{prefix}{kind}": (np.arange(24).reshape(2, 3, 4, 1) * 3 - (0 if kind == "uint8" else 30)).astype(kind)
        for prefix, kind in zip(["arg:", "aux:", "", "arg:", "aux:", "", "x:"], mxnet_writer.FLAGS, strict=True)
    }
    if version == 3:
        arrays["arg:scalar"] = np.array(7.5)
    path = tmp_path / "weights"
    path.write_bytes(mxnet_writer.file_bytes(arrays, version))
    tensors = read_foreign(path)
    bare = ["float32", "float64", "float16", "uint8", "int32", "int8", "x:int64", *["scalar"][: version // 3]]
    assert list(tensors) == bare
    for found, expected in zip(tensors.values(), arrays.values(), strict=True):
        assert found.numpy().dtype == expected.dtype
        np.testing.assert_array_equal(found.numpy(), expected)


def spoilt(**changes: Any) -> bytes:
    """A file with one array of version 2, ``arg:a`` of shape (2, 3) in uint8, some of whose pieces are others."""
    pieces = {
        "first": struct.pack("<Q", 0x112),
        "reserved": struct.pack("<Q", 0),
        "count": struct.pack("<Q", 1),
        "version": mxnet_writer.VERSIONS[2],
        "storage": struct.pack("<i", 0),
        "dimensions": struct.pack("<I", 2),
        "shape": struct.pack("<2q", 2, 3),
        "device": struct.pack("<ii", 1, 0),
        "flag": struct.pack("<i", 3),
        "values": bytes(range(6)),
        "names": struct.pack("<Q", 1),
        "length": struct.pack("<Q", 5),
        "name": b"arg:a",
        "rest": b"",
    }
    assert set(changes) <= set(pieces)
    return b"".join((pieces | changes).values())


def numbers(form: str, *values: int) -> bytes:
    return struct.pack(f"<{form}", *values)


V0_HEAD: dict[str, Any] = {"version": b"", "storage": b"", "shape": numbers("2I", 2, 3)}
V3 = mxnet_writer.VERSIONS[3]
TWICE = mxnet_writer.file_bytes({"arg:a": np.zeros(2), "aux:a": np.zeros(3)}, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (spoilt(reserved=numbers("Q", 9)), r"at byte 8, the reserved number is 0x9 instead of 0; download it again"),
        (spoilt(count=numbers("Q", 2**60)), r"at byte 16, 1,152,921,504,606,846,976 arrays are announced"),
        (spoilt(count=numbers("Q", 100_001), rest=bytes(5_000_000)), r"at byte 16, 100,001 arrays are announced"),
        (spoilt(count=numbers("Q", 2), rest=bytes(60)), r"at byte 74, array 2 of 2 has the impossible shape \(0,\)"),
        (numbers("4Q", 0x112, 0, 0, 0), r"holds no weights: a file of MXNet's parameters"),
        (spoilt(storage=numbers("i", 1)), r"array 1 of 1, at byte 24, is sparse \(storage type 1\).*tostype"),
        (spoilt(version=V3, storage=numbers("i", 2)), r"is sparse \(storage type 2\)"),
        (spoilt(version=numbers("I", 0xF993FACB)), r"at byte 24, array 1 of 1 has 4,187,\d+,\d+ dimensions"),
        (spoilt(**V0_HEAD, dimensions=numbers("I", 33)), r"at byte 24, array 1 of 1 has 33 dimensions"),
        (spoilt(dimensions=numbers("I", 2**31)), r"at byte 32, array 1 of 1 has -2,147,483,648 dimensions"),
        (spoilt(dimensions=numbers("i", -1)), r"at byte 32, array 1 of 1 has -1 dimensions"),
        (spoilt(dimensions=numbers("I", 0)), r"at byte 32, array 1 of 1 is empty"),
        (spoilt(**V0_HEAD, dimensions=numbers("I", 0)), r"at byte 24, array 1 of 1 is empty"),
        (spoilt(version=V3, dimensions=numbers("i", -1)), r"at byte 32, array 1 of 1 is empty"),
        (spoilt(shape=numbers("2q", 2, -3)), r"at byte 36, array 1 of 1 has the impossible shape \(2, -3\)"),
        (spoilt(shape=numbers("2q", 0, 3)), r"at byte 36, array 1 of 1 has the impossible shape \(0, 3\)"),
        (spoilt(shape=numbers("2q", 2**62, 2**62)), r"at byte 64, array 1 of 1, of shape \(4\d+, 4\d+\), would take"),
        (spoilt(shape=numbers("2q", 2, 4000)), r"would take 8,000 bytes, but only 27 are left"),
        (spoilt(flag=numbers("i", 7)), r"at byte 60, array 1 of 1 has values of the unknown type 7 \(known: 0 to 6\)"),
        (spoilt(flag=numbers("i", -1)), r"at byte 60, array 1 of 1 has values of the unknown type -1"),
        (spoilt(names=numbers("Q", 0), length=b"", name=b""), r"its 1 arrays have no names"),
        (spoilt(names=numbers("Q", 2)), r"at byte 70, 2 names are announced for 1 arrays"),
        (spoilt(names=numbers("Q", 2**63)), r"at byte 70, 9,223,372,036,854,775,808 names are announced"),
        (spoilt(length=numbers("Q", 2**64 - 1)), r"name 1 would take 18,446,744,073,709,551,615 bytes, but only 5"),
        (spoilt(length=numbers("Q", 6)), r"at byte 86, name 1 would take 6 bytes, but only 5 are left"),
        (spoilt(length=numbers("Q", 4)), r"at byte 90, 1 bytes follow the last name"),
        (spoilt(rest=b"\0\0"), r"at byte 91, 2 bytes follow the last name"),
        (spoilt(name=b"arg:\xff"), r"at byte 90, name 1 is no text in UTF-8"),
        (TWICE, r"a second array is called 'a'"),
    ],
)
def test_every_kind_of_damage_is_named_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "odd.params"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"odd\.params.*({message})"):
        read_foreign(path)


def test_the_file_that_damage_is_made_of_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "good.params"
    for device in (numbers("ii", 1, 0), numbers("ii", 2, 3)):  # a processor, a graphics card
        path.write_bytes(spoilt(device=device))
        assert read_foreign(path)["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_file_cut_anywhere(tmp_path: Path, version: int) -> None:
    content, path = by_hand(version), tmp_path / "cut.params"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        expected = r"cut\.params is a damaged file of MXNet's parameters" if length >= 8 else r"cut\.params"
        with pytest.raises(UserError, match=expected):
            read_foreign(path)


@pytest.mark.parametrize("version", [0, 2])
def test_any_byte_changed(tmp_path: Path, version: int) -> None:
    """What is read then may be other numbers or another name, or nothing, but there is no other exception."""
    content, path = by_hand(version), tmp_path / "changed.params"
    for place in range(8, len(content)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(content)
            changed[place] ^= flip
            path.write_bytes(changed)
            with contextlib.suppress(UserError):
                read_mxnet(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"count": numbers("Q", 2**60)},
        {"shape": numbers("2q", 2**40, 2)},
        {"version": b"", "storage": b"", "dimensions": numbers("I", 0xFFFFFFFF), "shape": b""},
        {"names": numbers("Q", 2**60)},
        {"length": numbers("Q", 2**60)},
    ],
    ids=["arrays", "shape", "dimensions", "names", "length"],
)
def test_no_announced_length_is_believed(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "greedy.params"
    path.write_bytes(spoilt(**changes))
    tracemalloc.start()
    try:
        with pytest.raises(UserError):
            read_mxnet(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "large.params"
    path.write_bytes(mxnet_writer.file_bytes({f"arg:{n}": np.ones(2_000_000, "float32") for n in range(3)}, 2))
    tracemalloc.start()
    try:
        tensors = read_mxnet(path)
        assert tracemalloc.get_traced_memory()[1] < 24_200_000
    finally:
        tracemalloc.stop()
    assert sum(tensor.sum() for tensor in tensors.values()) == 6_000_000


def test_a_safetensors_file_with_a_header_as_long_as_the_magic_number(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(0x112)
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<f", 1.5))
    assert load_file(path)["a"].tolist() == [1.5]
    assert not is_mxnet(path)
    assert read_foreign(path)["a"].tolist() == [1.5]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    assert not is_mxnet(tmp_path / "gone.params")
    with pytest.raises(UserError, match=r"cannot be read \(No such file or directory\)"):
        read_mxnet(tmp_path / "gone.params")
    with pytest.raises(UserError, match=r"no such file: .*gone.params; give .*\.params"):
        read_foreign(tmp_path / "gone.params")


def test_weights_of_whole_numbers_are_refused_where_they_are_used(tmp_path: Path) -> None:
    path = tmp_path / "odd.params"
    path.write_bytes(spoilt())
    with pytest.raises(UserError, match=r"odd\.params does not fit any known layout"):
        import_weights(path, tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()
