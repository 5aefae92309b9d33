from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from streamer.config import ConnectSettings
from streamer.errors import SourceMissing
from streamer.source import Source
from streamer.sources import expand_pages, parse_all
from tests.unit.sources.here import said_to

PLAYLIST = "https://www.youtube.com/playlist?list=PLtalks"
CHANNEL = "https://www.youtube.com/@somebody"
A, B, C = "aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"


def watch(video: str) -> str:
    return f"https://www.youtube.com/watch?v={video}"


def entry(video: str) -> dict[str, Any]:
    return {"_type": "url", "ie_key": "Youtube", "id": video, "url": watch(video)}


def tab(name: str) -> dict[str, Any]:
    return {"_type": "url", "ie_key": "YoutubeTab", "id": None, "url": f"{CHANNEL}/{name}"}


def listed(*entries: dict[str, Any] | None) -> dict[str, Any]:
    return {"_type": "playlist", "extractor_key": "YoutubeTab", "entries": iter(entries)}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """yt-dlp as it answers about these pages; the addresses it was asked about."""
    asked: list[str] = []
    answers: dict[str, Callable[[], dict[str, Any]]] = {
        PLAYLIST: lambda: listed(entry(A), None, entry(B), entry(A)),
        CHANNEL: lambda: listed(tab("videos"), tab("shorts")),
        f"{CHANNEL}/videos": lambda: listed(entry(B), entry(C)),
        f"{CHANNEL}/shorts": lambda: listed(),
        "https://www.youtube.com/playlist?list=PLempty": lambda: listed(),
        "https://vimeo.com/1": lambda: {"id": "1", "extractor_key": "Vimeo"},
    }

    class Site:
        def extract(self, url: str) -> dict[str, Any]:
            asked.append(url)
            return answers[url]()

    @contextmanager
    def session(*args: object, flat: bool) -> Iterator[Site]:
        assert flat
        yield Site()

    monkeypatch.setattr("streamer.sources.playlists.session", session)
    monkeypatch.setattr("streamer.sources.page_asking.said_to", said_to)
    return asked


def expanded(*texts: str, mode: str = "archive") -> list[Source]:
    return expand_pages(parse_all(texts, mode), ConnectSettings())  # type: ignore[arg-type]


def test_a_playlist_is_its_videos_each_once_and_in_order(asked: list[str]) -> None:
    sources = expanded(PLAYLIST)
    assert [(one.stream, one.url, one.kind, one.mode) for one in sources] == [
        (f"youtube-{video}", watch(video), "page", "archive") for video in (A, B)
    ]
    assert asked == [PLAYLIST]


def test_a_channel_is_what_its_tabs_list(asked: list[str]) -> None:
    assert [one.stream for one in expanded(CHANNEL)] == [f"youtube-{B}", f"youtube-{C}"]
    assert asked == [CHANNEL, f"{CHANNEL}/videos", f"{CHANNEL}/shorts"]


def test_a_name_for_a_list_is_before_the_names_of_its_videos(asked: list[str]) -> None:
    assert [one.stream for one in expanded(f"talks={PLAYLIST}")] == [f"talks-{A}", f"talks-{B}"]


def test_a_video_in_two_lists_and_given_by_itself_is_read_once(asked: list[str]) -> None:
    sources = expanded(f"mine={watch(B)}", PLAYLIST, CHANNEL)
    assert [one.stream for one in sources] == ["mine", f"youtube-{A}", f"youtube-{C}"]


def test_names_that_were_given_are_nobody_else_s(asked: list[str]) -> None:
    first, *others = expanded(f"youtube-{A}=testsrc://64x64?duration=1", PLAYLIST)
    assert first.stream == f"youtube-{A}"
    assert len({one.stream for one in (first, *others)}) == 3


def test_nobody_is_asked_about_what_lists_nothing(asked: list[str]) -> None:
    texts = [watch(A), "testsrc://64x64?duration=1", "https://h/a.mp4", "https://h/a.m3u8"]
    assert expanded(*texts) == parse_all(texts, "archive")
    assert [one.url for one in expanded(CHANNEL, mode="live")] == [CHANNEL]
    assert asked == []


def test_the_page_of_one_video_stays_itself(asked: list[str]) -> None:
    assert expanded("https://vimeo.com/1") == parse_all(["https://vimeo.com/1"], "archive")
    assert asked == ["https://vimeo.com/1"]


def test_an_empty_list_is_said_to_be_one(asked: list[str]) -> None:
    with pytest.raises(SourceMissing, match="lists no videos"):
        expanded("https://www.youtube.com/playlist?list=PLempty")
