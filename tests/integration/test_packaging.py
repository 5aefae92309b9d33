"""The package as it is built and installed, with pip alone, in environments of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.product import ROOT
from tests.setting_up import give_up

pytestmark = pytest.mark.timeout(900)
DATA = (
    "streamer/py.typed",
    "streamer/report/templates/report.html.j2",
    "streamer/report/templates/report.css",
    "streamer/report/templates/report.html.j2",
    "streamer/report/templates/draw.js",
    "streamer/web/static/dashboard.css",
    "engines/py.typed",
    "engines/runtime/cuda/crops.cu",
    "engines/zoo/shipped/temporal.json",
    "engines/zoo/shipped/temporal.onnx",
)


def environment(folder: Path, *wanted: str | Path) -> Path:
    """A new environment with what pip installs; skipped where no index answers, except in CI."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
    return installed(folder / "bin", *wanted)


def installed(programs: Path, *wanted: str | Path) -> Path:
    command = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, env=_bare())
    if done.returncode:
        give_up(f"pip cannot install {wanted[0]}: {done.stderr.strip()[-300:]}")
    return programs


def _bare() -> dict[str, str]:
    """The environment without the house's own packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def said(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=_bare())
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that can build."""
    return environment(tmp_path_factory.mktemp("builder") / "venv", "build")


@pytest.fixture(scope="module")
def built(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that was made from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    said(builder / "python", "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def version_in(name: str) -> str:
    return name.removesuffix(".tar.gz").split("-")[1]


def test_the_wheel_holds_the_program_and_its_data_and_nothing_else(built: tuple[Path, Path]) -> None:
    sdist, wheel = built
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(DATA) <= names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"streamer", "engines", f"affect_streamer-{version_in(wheel.name)}.dist-info"}
    assert [name for name in names if "/tests/" in name or name.endswith((".db", ".pyc", ".mp4"))] == []
    tracked = said("git", "ls-files", "streamer", "engines", cwd=ROOT).split()
    assert {name for name in names if ".dist-info/" not in name} == set(tracked)
    with tarfile.open(sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers()}
    assert {"pyproject.toml", "LICENSE", "README.md", "requirements/base.lock", "tests/product.py"} <= held
    assert version_in(sdist.name) == version_in(wheel.name)


def test_a_copy_without_git_builds_too_and_says_a_version(builder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    copy.mkdir()
    subprocess.run(["tar", "-x"], cwd=copy, input=archive, check=True)
    said(builder / "python", "-m", "build", "--wheel", "--outdir", tmp_path, copy, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    assert version_in(wheel.name) == "0.1.0"


def test_a_tag_is_the_version(builder: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    said("git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", clone, cwd=tmp_path)
    said("git", "tag", "v3.2.1", cwd=clone)
    said(builder / "python", "-m", "build", "--wheel", "--outdir", tmp_path, clone, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    assert version_in(wheel.name) == "3.2.1"


def test_it_is_installed_by_pip_alone_and_runs(built: tuple[Path, Path], tmp_path: Path) -> None:
    _, wheel = built
    programs = environment(tmp_path / "venv", wheel)
    assert said(programs / "streamer", "--version", cwd=tmp_path) == f"streamer, version {version_in(wheel.name)}\n"
    assert "Example" in said(programs / "streamer", "demo", "--help", cwd=tmp_path)
    assert "train" in said(programs / "engines", "--help", cwd=tmp_path)
    assert "centerface" in said(programs / "streamer", "models", "list", cwd=tmp_path)
    said(programs / "streamer", "licences", "--all", "--check", cwd=tmp_path)
    said(programs / "streamer", "topics", "create", cwd=tmp_path)
    made = "from streamer.report.page import *; from engines.zoo import load_head, shipped_heads; shipped_heads()"
    said(programs / "python", "-c", made, cwd=tmp_path)
    said(programs / "python", "-m", "pip", "check", cwd=tmp_path)
