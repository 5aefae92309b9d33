"""What the documents show is run where that is cheap: on the results of one real run, in the order of the pages."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamer.cli import cli
from tests.browser import open_browser
from tests.documents import Block, blocks
from tests.pictures import picture_of_report
from tests.product import CLIPS, ONE_FACE, ROOT, needs_clips, streamer

pytestmark = [needs_clips, pytest.mark.models]

ON_WHAT_IS_THERE = (
    *(("check",), ("export",), ("models", "list"), ("report",), ("tail",), ("topics", "create")),
    *(("jobs", what) for what in ("cancel", "status", "submit")),
    *(("streams", what) for what in ("add", "list", "pause", "remove", "resume", "set")),
)
"""Commands that are done at once. The others are tried in tests of their own: they analyse, measure, train or serve."""
NOT_HERE = ("kafka://", "--follow", "https://", "worker.yaml")
"""In these a broker, an end, or a network is missing here; `worker.yaml` names a broker."""


@pytest.fixture(scope="module")
def results(models: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages have it: a video, a folder of them, and what a run found in both."""
    folder = tmp_path_factory.mktemp("documents")
    shutil.copy(ONE_FACE, folder / "talk.mp4")
    (folder / "recordings").mkdir()
    shutil.copy(CLIPS / "pyfeat_no_face.mp4", folder / "recordings" / "empty.mp4")
    shutil.copy(ROOT / "configs" / "single-machine.yaml", folder / "site.yaml")
    done = streamer("run", "talk.mp4", "recordings/", "--run", "day1", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    for name in ("faces.parquet", "observations.parquet"):
        assert run("export", "--bus", f"sqlite:///{folder / 'affect.db'}", "--out", str(folder / name)) == 0
    return folder


def run(*words: str) -> int:
    """The exit code of `streamer WORDS`, in this process; raises what the program would tell on standard error."""
    left: object = cli.main(args=list(words), prog_name="streamer", standalone_mode=False)
    return left if isinstance(left, int) else 0


def runs_here(words: list[str]) -> bool:
    if words[0] != "streamer" or any(part in word for word in words for part in NOT_HERE):
        return False
    return any(tuple(words[1 : 1 + len(command)]) == command for command in ON_WHAT_IS_THERE)


def cheap() -> dict[str, list[list[str]]]:
    """By page, the commands that are run."""
    pages: dict[str, list[list[str]]] = {}
    for block in blocks():
        pages.setdefault(block.page, []).extend(words for words in block.commands() if runs_here(words))
    return {page: commands for page, commands in pages.items() if commands}


@pytest.mark.parametrize(
    ("page", "commands"), cheap().items(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_commands_of_a_page_run(
    page: str,
    commands: list[list[str]],
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(results)
    for words in commands:
        code = run(*words[1:])
        told = capfd.readouterr()
        assert code == 0, f"{page}: {' '.join(words)}"
        if "--out" in words and "-" not in words:
            made = Path(words[words.index("--out") + 1])
            assert made.stat().st_size > 0
        else:
            assert told.out or told.err, f"{page}: {' '.join(words)} said nothing"


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_each_program_runs_and_prints_something(
    block: Block, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results)
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def test_the_program_in_the_readme_prints_every_observation(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results)
    (program,) = [block for block in blocks("python") if block.page == "README.md"]
    exec(compile(program.text, str(program), "exec"), {"__name__": "__main__"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 72
    assert all(line.startswith("talk ") for line in lines)


@pytest.mark.browser
def test_the_picture_of_the_report_can_be_made_anew(results: Path, tmp_path: Path) -> None:
    """As `make pictures` does it, of another run; it is as wide and high as the one in docs/images, and not empty."""
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    assert run("report", "--bus", f"sqlite:///{results / 'affect.db'}", "--out", str(page)) == 0
    with open_browser(tmp_path / "profile") as chrome:
        picture_of_report(chrome, page, picture)
    made, shown = (cv2.imread(str(path)) for path in (picture, ROOT / "docs" / "images" / "report.png"))
    assert made is not None
    assert shown is not None
    assert made.shape == shown.shape
    assert len(np.unique(made.reshape(-1, 3), axis=0)) > 100
