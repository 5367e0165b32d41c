"""Label maps: one void, one way to resize."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

import acclimate
from acclimate.labels import VOID, resized_label

LABEL = np.array([[0, 7, VOID], [3, 7, 1]], dtype=np.uint8)


def test_enlarged_and_back_again() -> None:
    large = resized_label(LABEL, (9, 4))
    np.testing.assert_array_equal(large, np.repeat(np.repeat(LABEL, 2, axis=0), 3, axis=1))
    np.testing.assert_array_equal(resized_label(large, (3, 2)), LABEL)


def test_ids_are_never_mixed_and_the_result_may_be_written_to() -> None:
    odd = resized_label(np.kron(LABEL, np.ones((5, 5), dtype=np.uint8)), (7, 4))
    assert odd.shape == (4, 7)
    assert set(np.unique(odd)) <= set(np.unique(LABEL))
    assert odd.flags.writeable


def test_a_map_of_that_size_already_is_given_back() -> None:
    assert resized_label(LABEL, (3, 2)) is LABEL


def test_nobody_else_defines_a_void() -> None:
    root = Path(acclimate.__file__).parent
    definitions = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "VOID" for t in node.targets)
    ]
    assert definitions == ["labels.py"]
