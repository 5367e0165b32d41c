"""What the doctor says: a finding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from acclimate.io.checksums import read_verified_json

Severity = Literal["alarm", "warning", "note"]
"""``alarm``: the result is of no use as it is; ``warning``: it is likely worse than it could be; ``note``: look."""
SEVERITIES: tuple[Severity, ...] = ("alarm", "warning", "note")


class Finding(BaseModel):
    """Something wrong, or likely to be.

    Attributes:
        kind: one of :data:`KINDS`.
        severity: see :data:`Severity`.
        words: what was seen, with its numbers.
        advice: what to do about it.
        about: the loss or class in question; one kind of finding about one thing is told once.
        step: of the training at which it was seen; None: in the finished model, or in the data.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    severity: Severity
    words: str
    advice: str
    about: str = ""
    step: int | None = None

    def sentence(self) -> str:
        """All of it in one line."""
        return f"{self.words}: {self.advice}"


BASELINE = "source_only"
"""The method that adapted models are compared with."""
FINDINGS = "findings.json"
"""What a training was warned of, in its stage's folder."""


def read_findings(path: Path) -> list[Finding]:
    """The findings of such a file; none where there is no file."""
    content = read_verified_json(path, unsigned=True)["findings"] if path.exists() else []
    return [Finding.model_validate(each) for each in content]


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its title on the page, and when it is looked for."""

    title: str
    when: Literal["data", "training", "model", "comparison"]


KINDS = {
    "colours differ": Kind("The domains' colours are far apart", "data"),
    "aspect ratios differ": Kind("The domains are stretched differently", "data"),
    "target frames alike": Kind("The target's frames are nearly all the same", "data"),
    "source rim without labels": Kind("A margin of the source has no labels", "data"),
    "discriminator won": Kind("The discriminator has won", "training"),
    "discriminator gave up": Kind("The discriminator has given up", "training"),
    "nothing kept": Kind("Pseudo-labels cover next to nothing", "training"),
    "everything kept": Kind("Pseudo-labels cover everything", "training"),
    "loss rose": Kind("The loss rises", "training"),
    "class vanished": Kind("A class vanished while training", "training"),
    "one class in training": Kind("One class swallows the others", "training"),
    "weak source model": Kind("The model is weak on the source itself", "model"),
    "class never predicted": Kind("Classes are never predicted", "model"),
    "one class swallows": Kind("One class swallows the others", "model"),
    "picture ignored": Kind("Predictions ignore the picture", "model"),
    "likely worse": Kind("Likely worse than source-only", "comparison"),
}
"""Every kind of finding, by name."""


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Alarms, then warnings, then notes; equal ones in their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def listed(names: list[str], *, most: int = 6) -> str:
    """``a, b and c``, or ``a, b and 4 more``."""
    shown = names if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
