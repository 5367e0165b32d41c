"""What goes wrong with the machine rather than with the input or the program, in words a person can act on."""

from __future__ import annotations

import errno

from acclimate.errors import UserError

_NO_MEMORY = ("not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "out of memory")
_ON = "then run the same command again: nothing finished so far is lost"
_LESS = (
    "ask for less: a smaller batch_size, smaller images (size, crop), fewer workers, or for prediction "
    "windows of a fixed size"
)


def machine_fault(error: BaseException) -> UserError | None:
    """The message for an error that tells of too little memory or of a process that was killed; None for any other."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if (found := _told(cause)) is not None:
            return found
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return None


def _told(error: BaseException) -> UserError | None:
    text = str(error)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return UserError(f"there is not enough memory; {_LESS}, {_ON}")
    if not isinstance(error, RuntimeError):
        return None
    if "DataLoader worker" in text and "Caught" not in text:
        return UserError(
            "a process that loads images was killed, by somebody or by the system because memory ran out; free memory "
            f"or use fewer workers (training.workers), {_ON}"
        )
    if any(part in text.lower() for part in _NO_MEMORY):
        where = "on the GPU" if "cuda" in text.lower() or "hip" in text.lower() else ""
        return UserError(f"there is not enough memory {where}".strip() + f"; {_LESS}, {_ON}")
    if "can't start new thread" in text or "unable to open shared memory" in text.lower():
        return UserError(f"the system gives no more threads or shared memory ({text[:200]}); {_LESS}, {_ON}")
    return None
