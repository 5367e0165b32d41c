"""Every promise of docs/reliability.md names tests and a command that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def promises() -> list[list[str]]:
    """The cells of each row of the first table: promise, test, figure, command."""
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    table = text[text.index("| promise |") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_promise_has_tests_a_figure_and_a_command_that_exist() -> None:
    assert len(promises()) >= 10
    for promise, tests, figure, command in promises():
        assert figure, promise
        named = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert named, promise
        called = re.findall(r"(?:tests|benchmarks)/[\w/]+\.py", command)
        assert called, promise
        for path in [*named, *called]:
            assert (ROOT / path).is_file(), path


def test_every_kind_of_fault_names_tests_that_exist_and_how_many_cases_they_are() -> None:
    from variations import PAGE, rows, tests_in

    table = rows(PAGE.read_text(encoding="utf-8"))
    assert len(table) == 17
    for kind, _, cell, number in table:
        assert int(number) > 0, kind
        assert tests_in(cell), kind
        for file, names in tests_in(cell):
            text = (ROOT / file).read_text(encoding="utf-8")
            assert all(f"def {name}(" in text for name in names), (kind, file)


def test_every_method_verb_and_command_has_been_killed() -> None:
    from kill_stress import commands_named, recipes

    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    table = text[text.index("| what | kills |") :].partition("\n\n")[0].splitlines()
    *_, lost, left, tracebacks, hung = (cell.strip() for cell in table[0].strip("|").split("|"))
    assert [lost, left, tracebacks, hung] == ["lost", "left behind", "tracebacks", "hung"]
    rows = {name: numbers for name, *numbers in ([c.strip() for c in line.strip("|").split("|")] for line in table[2:])}
    assert {*recipes(), *commands_named()} | {"all"} == rows.keys()
    for name, numbers in rows.items():
        assert int(numbers[0]) >= 25, name
        assert numbers[-4:] == ["0"] * 4, name
    assert int(rows["all"][0]) == sum(int(numbers[0]) for name, numbers in rows.items() if name != "all") >= 2000
