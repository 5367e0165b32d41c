"""Too little memory and killed helpers are one message; other errors stay what they are."""

from __future__ import annotations

import errno

import pytest
import torch
from torch.utils.data import DataLoader

from acclimate.io.faults import machine_fault


def raised(make: object) -> BaseException:
    assert callable(make)
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        make()
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_too_little_memory_says_what_to_lower(error: BaseException) -> None:
    assert "not enough memory" in str(machine_fault(error))
    assert "smaller batch_size" in str(machine_fault(error))


def test_what_torch_and_numpy_raise_is_known() -> None:
    import numpy as np

    assert "not enough memory" in str(machine_fault(raised(lambda: torch.empty(1 << 56))))
    assert "not enough memory" in str(machine_fault(raised(lambda: np.empty(1 << 56, dtype=np.uint8))))


class KilledItems(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_a_killed_loader_process_is_known() -> None:
    error = raised(lambda: list(DataLoader(KilledItems(), num_workers=1)))
    assert "loads images was killed" in str(machine_fault(error))


def test_a_cause_is_found_and_other_errors_are_nobodys_fault_but_ours() -> None:
    error = ValueError("no batch")
    error.__cause__ = MemoryError()
    assert machine_fault(error) is not None
    assert machine_fault(ValueError("x")) is None
    assert machine_fault(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert machine_fault(OSError(errno.ENOENT, "x")) is None
