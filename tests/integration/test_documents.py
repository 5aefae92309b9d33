"""What the documents tell people to type exists, and the programs in them run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from engines.cli import cli as engines_cli
from streamer.cli import cli as streamer_cli
from tests.product import ONE_FACE as CLIP
from tests.product import ROOT, WARNINGS, needs_clips, streamer

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [content for named, content in fenced if named == language]


def commands() -> list[tuple[str, str]]:
    """Behind two spaces the documents say what a command is for."""
    return [
        (path.name, line.split("  ")[0].strip())
        for path in DOCUMENTS
        for block in blocks(path, "")
        for line in block.splitlines()
        if line.startswith(("streamer ", "engines "))
    ]


@pytest.mark.parametrize(("document", "line"), commands())
def test_each_command_is_one_that_is_taken(
    document: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("datasets/Aff-Wild2").mkdir(parents=True)
    program, *words = shlex.split(line)
    cli = streamer_cli if program == "streamer" else engines_cli
    # As the program makes it: a command keeps the help option of the first context it meets.
    with click.Context(cli, info_name=program, **cli.context_settings) as context:
        name, command, rest = cli.resolve_command(context, words)
        while isinstance(command, click.Group) and rest:
            name, command, rest = command.resolve_command(context, rest)
        assert command is not None, document
        rest = [word.replace("SOURCE...", "SOURCE") for word in rest]
        command.make_context(name, rest, parent=context)


def test_links_between_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


@needs_clips
@pytest.mark.models
@pytest.mark.usefixtures("models")
def test_the_programs_in_the_readme_run(tmp_path: Path) -> None:
    assert streamer("run", CLIP, "--quiet", cwd=tmp_path).returncode == 0
    programs = blocks(ROOT / "README.md", "python")
    assert programs
    for program in programs:
        done = subprocess.run(
            [sys.executable, *(f"-W{one}" for one in WARNINGS.split(",")), "-c", program],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 72


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_example_configurations_are_right(path: Path, tmp_path: Path) -> None:
    done = streamer("check", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
