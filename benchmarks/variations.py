"""Counts the variations that the tests of a fault try: the table of docs/reliability.md with its last column anew.

    python benchmarks/variations.py

Each row of the table names its tests as `FILE` or `FILE`: `test_name`, `test_name`; pytest collects them, and each case
it would run is a variation. With `--check` nothing is printed but the rows whose number is another one.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from acclimate.errors import UserError
from scripts import run_script

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/reliability.md"
HEAD = "| kind | what happens | tests | variations |"


def rows(page: str) -> list[list[str]]:
    """The cells of each row: kind, what happens, tests, variations."""
    table = page[page.index(HEAD) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def tests_in(cell: str) -> list[tuple[str, list[str]]]:
    """Each file with the tests of it that are meant; none for all of them."""
    found: list[tuple[str, list[str]]] = []
    for name in re.findall(r"`([^`]+)`", cell):
        if name.endswith(".py"):
            found.append((name, []))
        elif found and name.startswith("test_"):
            found[-1][1].append(name)
        else:
            raise UserError(f"{PAGE}: {name!r} is no file of tests and no test of one before it")
    return found


def collected(files: list[str]) -> Counter[tuple[str, str]]:
    """(file, test) -> how many cases pytest would run."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-o",
        "addopts=",
        "-p",
        "no:cacheprovider",
        *files,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    counts = Counter(re.findall(r"^(tests/[\w/]+\.py)::(\w+)", done.stdout, re.M))
    if not counts:
        raise UserError(f"pytest collected nothing: {(done.stderr or done.stdout)[-500:]}")
    return counts


def counted(cell: str, counts: Counter[tuple[str, str]]) -> int:
    """The cases of the tests that a row names.

    Raises:
        UserError: there is no such test.
    """
    total = 0
    for file, names in tests_in(cell):
        for name in names or [name for where, name in counts if where == file]:
            if (file, name) not in counts:
                raise UserError(f"{PAGE} names {name} of {file}, which pytest does not collect")
            total += counts[file, name]
    return total


def counted_in(cell: str, file: str, name: str) -> bool:
    """Whether a row names this test."""
    return any(where == file and (not names or name in names) for where, names in tests_in(cell))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="print only rows that are wrong, and end with 1 if any")
    arguments = parser.parse_args()
    table = rows(PAGE.read_text(encoding="utf-8"))
    counts = collected(sorted({file for row in table for file, _ in tests_in(row[2])}))
    found = [(row, counted(row[2], counts)) for row in table]
    wrong = [(row, number) for row, number in found if row[3] != str(number)]
    if arguments.check:
        for row, number in wrong:
            print(f"{row[0]}: {row[3]} in the table, {number} collected")
        sys.exit(bool(wrong))
    print(HEAD, "|---|---|---|---|", sep="\n")
    for row, number in found:
        print(f"| {' | '.join(row[:3])} | {number} |")
    named = {(file, name) for file, name in counts for row in table if counted_in(row[2], file, name)}
    print(f"\n{sum(counts[each] for each in named)} in all, each once")


if __name__ == "__main__":
    run_script(main)
