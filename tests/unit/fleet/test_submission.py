from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.config import ConnectSettings
from streamer.errors import UsageError
from streamer.fleet.submission import JobOptions, address_of, jobs_of
from streamer.source import Source
from streamer.sources import parse


@pytest.mark.parametrize(
    "text",
    [
        "https://h.example/a.m3u8",
        "page+https://h.example/a",
        "hls+https://h.example/play?id=5",
        "http+https://h.example/a.mjpeg",
        "https://youtu.be/jNQXAC9IVRw",
        "testsrc://64x48@5?duration=1",
    ],
)
def test_a_worker_finds_the_same_source_by_the_address_in_a_job(text: str) -> None:
    (source,) = parse(text, "archive")
    assert parse(address_of(source), "archive") == [source]


def test_a_folder_of_images_keeps_its_rate(tmp_path: Path) -> None:
    (tmp_path / "1.png").touch()
    (source,) = parse(f"{tmp_path}?fps=10")
    assert parse(address_of(source)) == [source]


@pytest.mark.parametrize("text", ["rtsp://u:geheim@cam/1", "srt://cam:9000", "0", "testsrc://64x48"])
def test_what_never_ends_is_no_job(text: str) -> None:
    with pytest.raises(UsageError, match="never ends") as refusal:
        jobs_of([text], "b", JobOptions(), 0.0)
    assert "geheim" not in str(refusal.value)


def test_a_playlist_is_one_job_a_video_with_the_same_id_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ConnectSettings(page_height=720)

    def expand(sources: Sequence[Source], connect: ConnectSettings) -> list[Source]:
        assert connect == wanted
        (source,) = sources
        return [replace(source, stream=f"youtube-{n}", url=f"https://youtu.be/{n}") for n in (1, 2)]

    monkeypatch.setattr("streamer.fleet.submission.expand_pages", expand)
    first, again = (
        jobs_of(["https://www.youtube.com/playlist?list=PL1"], "day", JobOptions(run="r"), now_s, wanted)
        for now_s in (1.0, 2.0)
    )
    assert [(job.stream, job.source, job.run) for job in first] == [
        ("youtube-1", "https://youtu.be/1", "r.youtube-1"),
        ("youtube-2", "https://youtu.be/2", "r.youtube-2"),
    ]
    assert [job.job for job in first] == [job.job for job in again]


def test_lists_in_files_may_name_addresses(tmp_path: Path) -> None:
    (tmp_path / "day.txt").write_text("a=https://h.example/1.mp4\nhttps://h.example/2.m3u8\nb.mp4\n")
    (tmp_path / "b.mp4").touch()
    jobs = jobs_of([str(tmp_path / "day.txt")], "day", JobOptions(), 0.0)
    assert [job.stream for job in jobs] == ["a", "h.example-2", "b"]
