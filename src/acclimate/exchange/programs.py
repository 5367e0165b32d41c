"""Modules as programs that other software runs, ONNX and PyTorch's own, written only if they say what ours say."""

from __future__ import annotations

import importlib.util
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.io.files import write_bytes, write_text
from acclimate.io.outputs import claim_file

Run = Callable[[Tensor], tuple[Tensor, ...]]
"""A program: images -> its outputs."""
_EXTRA = ("onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class Program:
    """What is written.

    Attributes:
        module: in evaluation mode; its one argument is called ``images``.
        card: what is known of the model; it goes into the file's metadata, under ``acclimate``.
        images: what the exporter sees.
        free: the dimensions of ``images`` that may be others later.
        outputs: what the module's outputs are called in ONNX.
        runner: the Python program that is written beside an ``.onnx``.
    """

    module: nn.Module
    card: BaseModel
    images: Tensor
    outputs: Sequence[str]
    runner: Path
    free: dict[int, Any] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, dict[int, Any]] | None:
        """``free`` as exporters want it."""
        return {"images": self.free} if self.free else None


@dataclass(frozen=True)
class Comparison:
    """How far the exported model is from ours.

    Attributes:
        shape: (batch, height, width) of the images compared.
        difference: largest absolute difference of two values.
        largest: largest absolute value.
        what: the values.
    """

    shape: tuple[int, int, int]
    difference: float
    largest: float
    what: str = "logit"

    def __str__(self) -> str:
        batch, height, width = self.shape
        return (
            f"{batch} image{'s' * (batch > 1)} of {width}x{height}: largest difference {self.difference:.1e} "
            f"(largest {self.what} {self.largest:.3g})"
        )


def claim_program(output: Path, *, checkpoint: Path) -> None:
    """Makes sure that the file, and the program beside it, may be written.

    Raises:
        UserError: another suffix, packages of the extra ``export`` are missing, or a file that is not ours is there.
    """
    if output.suffix not in _FORMATS:
        raise UserError(f"-o {output}: the name must end in .onnx (ONNX) or .pt2 (torch.export)")
    if output.suffix == ".onnx":
        _require_extra()
    claim_file(output, "program", reads=[checkpoint])
    if output.suffix == ".onnx":
        claim_file(output.with_suffix(".py"), "runner")


def write_program(
    program: Program,
    output: Path,
    *,
    checkpoint: Path,
    compared: Callable[[Run], list[Comparison]],
    tolerance: float,
) -> list[Comparison]:
    """Writes a program as ``.onnx`` or ``.pt2``, if it is near enough to ours.

    Args:
        program: what is written.
        output: see :func:`claim_program`.
        checkpoint: for messages.
        compared: compares the exported program with ours.
        tolerance: largest difference allowed, relative to the largest value (but no less than 1).

    Returns:
        The comparisons.

    Raises:
        UserError: it cannot be exported, or the difference is too large; no file is written then.
    """
    try:
        content, run = _FORMATS[output.suffix](program)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        summary = " ".join(str(error).split())[:300]
        raise UserError(
            f"{checkpoint} cannot be exported to {output.suffix}: {summary}; try the other format"
        ) from error
    comparisons = compared(run)
    for comparison in comparisons:
        # not ">": a difference that is no number is refused too
        if not comparison.difference <= tolerance * max(1.0, comparison.largest):
            raise UserError(
                f"the exported model differs from {checkpoint} by {comparison.difference:.2g} on images of "
                f"{comparison.shape[2]}x{comparison.shape[1]}, more than {tolerance:g} of the largest "
                f"{comparison.what} ({comparison.largest:.3g}); nothing was written: try the other format, or allow "
                "more with --tolerance"
            )
    write_bytes(output, content)
    if output.suffix == ".onnx":
        write_text(output.with_suffix(".py"), program.runner.read_text(encoding="utf-8"))
    return comparisons


def exported(program: Program) -> torch.export.ExportedProgram:
    """As PyTorch's own."""
    export: Any = torch.export.export
    later = "prefer_deferred_runtime_asserts_over_guards"
    # that no map of UPerNet over ConvNeXt has a single column cannot be proved; older releases insist on a proof
    asked = {later: True} if later in inspect.signature(export).parameters else {}
    made: torch.export.ExportedProgram = export(
        program.module, (program.images,), dynamic_shapes=program.shapes, strict=False, **asked
    )
    return made


def _pt2(program: Program) -> tuple[bytes, Run]:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries on each other's coming releases
        made = exported(program)
    torch.export.save(made, stream, extra_files={"acclimate": program.card.model_dump_json()})
    stream.seek(0)
    again: Any = torch.export.load(stream).module()

    def run(images: Tensor) -> tuple[Tensor, ...]:
        found: Any = again(images)
        return (found,) if isinstance(found, Tensor) else tuple(found)

    return stream.getvalue(), run


def _onnx(program: Program) -> tuple[bytes, Run]:
    import onnxruntime

    # the exporter announces every step
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Any = torch.onnx.export(
            program.module,
            (program.images,),
            input_names=["images"],
            output_names=list(program.outputs),
            dynamic_shapes=program.shapes,
            dynamo=True,
            verbose=False,
        )
    model = made.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = "acclimate", program.card.model_dump_json()
    content: bytes = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> tuple[Tensor, ...]:
        found = session.run(list(program.outputs), {"images": images.numpy()})
        return tuple(torch.from_numpy(values) for values in found)

    return content, run


_FORMATS: dict[str, Callable[[Program], tuple[bytes, Run]]] = {".onnx": _onnx, ".pt2": _pt2}


def _require_extra() -> None:
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"export to ONNX needs {', '.join(missing)}; install them with pip install 'acclimate[export]', or export "
            "to .pt2, which needs nothing more"
        )
