"""What `streamer run` makes of its command line, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamer.cli import running
from streamer.config import Config, ConnectSettings, FrameSettings
from streamer.errors import SourceMissing
from streamer.source import Source
from streamer.worker.supervisor import RunOutcome
from tests.unit.cli.verbs import streamer

NOTHING = RunOutcome((), (), False, 0.0, None, None, {})


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """What would have been run."""
    found: list[Config] = []

    def run_config(config: Config, *_: Any, **__: Any) -> RunOutcome:
        found.append(config)
        return NOTHING

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "run_config", run_config)
    monkeypatch.setattr("streamer.worker.children.Children.begin", lambda _: None)
    return found


def test_how_much_is_looked_at_is_a_matter_of_flags(configs: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--sample-fps", "2.5", "--keyframes-only", "--max-faces", "3", "--control", "9180")
    assert streamer(capsys, "run", "door=rtsp://cam/1", *options)[0] == 0
    assert streamer(capsys, "run", "door=rtsp://cam/1")[0] == 0
    first, second = configs
    assert first.frames == FrameSettings(sample_fps=2.5, keyframes_only=True, max_faces=3)
    assert (first.control.address, second.control.address) == ("9180", "")
    assert second.frames == FrameSettings()


def test_flags_that_are_not_given_leave_the_file_alone(
    configs: list[Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text("frames: {keyframes_only: true, sample_fps: 2, max_faces: 1}\n")
    assert streamer(capsys, "run", "door=rtsp://cam/1", "--config", "c.yaml", "--max-faces", "0")[0] == 0
    assert configs[0].frames == FrameSettings(keyframes_only=True, sample_fps=2.0, max_faces=0)


@pytest.mark.parametrize("wrong", [("--sample-fps", "0"), ("--max-faces", "-1"), ("--control", "nowhere")])
def test_wrong_use_is_told(wrong: tuple[str, str], configs: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = streamer(capsys, "run", "door=rtsp://cam/1", *wrong)
    assert (code, configs) == (2, [])
    assert wrong[0].strip("-").partition("-")[0] in said


def test_a_page_that_cannot_be_read_stops_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def videos_of(source: Source, _: ConnectSettings) -> list[Source]:
        if "gone" in source.url:
            raise SourceMissing("there is no such page")
        return [source]

    monkeypatch.setattr("streamer.sources.playlists._listed", videos_of)
    pages = ("a=https://site.example/list", "b=https://site.example/gone")
    config = Config(sources=tuple(page.replace("=", "=page+") for page in pages))
    monkeypatch.setattr(
        running,
        "parse_all",
        lambda texts, mode: [Source(t[0], t.partition("+")[2], "page", "archive") for t in texts],
    )
    chosen, unusable = running._sources(config)
    assert [source.stream for source in chosen] == ["a"]
    assert [(one.stream, one.state, one.cause) for one in unusable] == [("b", "failed", "missing")]
