"""The videos of an export: one stream in one run, what the run record says of it, and the file it is written to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from streamer.errors import StreamerError
from streamer.messages import Mode, RunRecord, SourceResult

Item = TypeVar("Item")
_MAX_NAME_BYTES = 180
_SAFE = "-_.~+=@ "


@dataclass(frozen=True, slots=True)
class Video:
    """One stream in one run. `record` and `result` are None where no run record tells of it (any more)."""

    stream: str
    run: str
    record: RunRecord | None = None
    result: SourceResult | None = None

    @property
    def source(self) -> str:
        """What was read, as the run record names it; empty where it does not."""
        return self.result.source if self.result else ""

    @property
    def models(self) -> str:
        """The networks, as the run record names them."""
        return ", ".join(self.record.models.values()) if self.record else ""

    @property
    def started_s(self) -> float:
        """When its run began, seconds since 1970; 0 where that is not known."""
        return self.record.started_s if self.record else 0.0


def known_videos(
    records: Iterable[RunRecord],
    streams: Collection[str] | None = None,
    runs: Collection[str] | None = None,
    mode: Mode | None = None,
) -> dict[tuple[str, str], Video]:
    """Every video that the run records tell of, by (stream, run): of these streams, runs and this mode."""
    return {
        (result.stream, record.run): Video(result.stream, record.run, record, result)
        for record in records
        for result in record.sources
        if (streams is None or result.stream in streams)
        and (runs is None or record.run in runs)
        and (mode is None or result.mode == mode)
    }


def with_items(
    videos: Sequence[Video], groups: Iterable[tuple[tuple[str, str], Iterator[Item]]]
) -> Iterator[tuple[Video, Iterator[Item]]]:
    """Each of `videos`, in order, with its items: none where `groups`, which are in the same order, lack it."""
    waiting = iter(groups)
    group = next(waiting, None)
    for video in videos:
        if group is not None and group[0] == (video.stream, video.run):
            yield video, group[1]
            group = next(waiting, None)
        else:
            yield video, iter(())
    assert group is None, "every group is of one of the videos"


def n_frames(video: Video) -> int:
    """How many frames the video has: what was decoded of a file that was read to its end.

    Raises `StreamerError` where nothing tells, the file was not read to its end, or not every frame was decoded.
    """
    of = f"run {video.run} of {video.stream}"
    if video.result is None or video.record is None:
        raise StreamerError(f"no run record tells how many frames {of} had: run the file again")
    if video.result.mode == "live":
        raise StreamerError(f"{of} was read live, where frames may be left out: run the file with --mode archive")
    if video.result.state in ("running", "interrupted"):
        raise StreamerError(f"{of} has not come to its end: wait for it, or give the file to `streamer run` again")
    if video.record.settings.get("frames.keyframes_only") == "True":
        raise StreamerError(f"{of} decoded key frames alone: run the file again without frames.keyframes_only")
    if video.result.decoded == 0:
        raise StreamerError(f"{of} gave no frame: {video.result.message or 'nothing was read'}")
    return video.result.decoded


def file_names(videos: Sequence[Video], extension: str) -> list[str]:
    """A file's name for each video: that of its stream, with the run in it where the stream is there more than once."""
    often = Counter(video.stream for video in videos)
    return [
        file_name(video.stream if often[video.stream] == 1 else f"{video.stream}.{video.run}") + extension
        for video in videos
    ]


def file_name(text: str) -> str:
    """`text` as a file's name: letters and digits of any script stay, what no file name should hold is percent-encoded.

    A long one is cut and ends in a hash of the whole.
    """
    name = "".join(c if c.isalnum() or c in _SAFE else quote(c, safe="", errors="backslashreplace") for c in text)
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    encoded = name.encode()
    if len(encoded) > _MAX_NAME_BYTES:
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]
        name = f"{encoded[: _MAX_NAME_BYTES - 9].decode(errors='ignore')}-{digest}"
    return name or "%00"
