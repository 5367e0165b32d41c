"""What lies beside the package: the notebook runs from its first cell to its last, the Dockerfile builds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples/first-steps.ipynb"
DOCKERFILE = ROOT / "Dockerfile"


def test_the_notebook_runs_headless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat: Any = pytest.importorskip("nbformat", reason="the extra 'notebook' is not installed")
    nbclient: Any = pytest.importorskip("nbclient", reason="the extra 'notebook' is not installed")
    pytest.importorskip("ipykernel", reason="the extra 'notebook' is not installed")
    pytest.importorskip("av", reason="the extra 'video' is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") for cell in notebook.cells), "a notebook is kept without its outputs"
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source += "\nsteps, images = 2, 6\nwidth, height = 64, 32"
    # the kernel must find this acclimate
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert len(re.findall(r"mIoU", printed)) >= 2
    assert (tmp_path / "runs/notebook/report.html").is_file()
    assert "6 frames in seen.mp4" in printed
    assert (tmp_path / "seen.mp4").is_file()


def test_the_dockerfile_names_what_is_there() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.findall(r"^(\w+) = \[", project.partition("[project.optional-dependencies]")[2], re.MULTILINE)
    (asked,) = re.findall(r"'\.\[([\w,]+)\]'", text)
    assert set(asked.split(",")) <= set(extras)
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
            assert f"!{name}" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_dockerfile_builds_where_docker_is() -> None:
    if os.environ.get("ACCLIMATE_DOCKER") != "1":
        pytest.skip("building downloads gigabytes: ACCLIMATE_DOCKER=1 asks for it")
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("there is no docker, or it does not answer")
    subprocess.run(["docker", "build", "--tag", "acclimate-test", str(ROOT)], check=True)
    shown = subprocess.run(["docker", "run", "--rm", "acclimate-test", "--version"], capture_output=True, text=True)
    assert shown.stdout.startswith("acclimate ")
