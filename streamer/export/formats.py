"""The formats by name: tables of rows, and texts that follow a video from its beginning to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import BinaryIO, Literal

from streamer.export.abaw import Challenge, write_header, write_lines
from streamer.export.columns import Column, Row
from streamer.export.elan import write_elan
from streamer.export.frames import answers
from streamer.export.labels import Pace, Stretches, pace_of
from streamer.export.tables import write_csv, write_jsonl, write_parquet
from streamer.export.videos import Video, file_name, n_frames
from streamer.export.webvtt import write_captions, write_metadata
from streamer.messages import Observation

TableName = Literal["csv", "jsonl", "parquet"]
VideoName = Literal[
    "webvtt",
    "webvtt-metadata",
    "elan",
    "abaw-expression",
    "abaw-va",
    "abaw-expression-2022",
    "abaw-va-2022",
]
Format = TableName | VideoName
CAPTION_HOLD_S = 0.5
_PACE_RECORDS = 500


@dataclass(frozen=True, slots=True)
class TableFormat:
    """Rows of flat columns. `write` takes rows, their columns and a file, and returns how many rows it wrote."""

    name: TableName
    extension: str
    write: Callable[[Iterable[Row], Sequence[Column], BinaryIO], int]
    is_text: bool = True


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What is written of one video: `write` takes it, its observations by media time, how long a label must hold, and
    a file, and returns how many `unit`s it wrote.

    `holds`: the least time of a label can be chosen. `whole`: every frame of the video is told of, so archive runs
    alone will do. `head`, where given, is written once before the first of all videos, which then share a file of the
    name `together`.
    """

    name: VideoName
    extension: str
    unit: str
    write: Callable[[Video, Iterator[Observation], float | None, BinaryIO], int]
    holds: bool = False
    whole: bool = False
    head: Callable[[BinaryIO], None] | None = None
    together: str | None = None


def _captions(video: Video, observations: Iterator[Observation], hold_s: float | None, into: BinaryIO) -> int:
    pace, observations = _paced(observations)
    stretches = Stretches(pace, CAPTION_HOLD_S if hold_s is None else hold_s)
    return write_captions(video, stretches.of(observations), into)


def _metadata(video: Video, observations: Iterator[Observation], hold_s: float | None, into: BinaryIO) -> int:
    pace, observations = _paced(observations)
    return write_metadata(video, observations, pace, into)


def _elan(video: Video, observations: Iterator[Observation], hold_s: float | None, into: BinaryIO) -> int:
    pace, observations = _paced(observations)
    return write_elan(video, Stretches(pace, hold_s or 0.0).of(observations), into)


def _abaw(
    challenge: Challenge, video: Video, observations: Iterator[Observation], hold_s: float | None, into: BinaryIO
) -> int:
    found = answers(observations, n_frames(video))
    write_header(challenge, into)
    return write_lines(found, challenge, into)


def _abaw_together(
    challenge: Challenge, video: Video, observations: Iterator[Observation], hold_s: float | None, into: BinaryIO
) -> int:
    return write_lines(answers(observations, n_frames(video)), challenge, into, video=file_name(video.stream))


def _paced(observations: Iterator[Observation]) -> tuple[Pace, Iterator[Observation]]:
    first = list(islice(observations, _PACE_RECORDS))
    return pace_of(first), chain(first, observations)


def _challenge(challenge: Challenge) -> tuple[VideoFormat, VideoFormat]:
    names: dict[Challenge, tuple[VideoName, VideoName]] = {
        "expression": ("abaw-expression", "abaw-expression-2022"),
        "va": ("abaw-va", "abaw-va-2022"),
    }
    apart, together = names[challenge]
    head = partial(write_header, challenge, with_pictures=True)
    return (
        VideoFormat(apart, ".txt", "line", partial(_abaw, challenge), whole=True),
        VideoFormat(together, ".txt", "line", partial(_abaw_together, challenge), False, True, head, "predictions.txt"),
    )


FORMATS: dict[str, TableFormat | VideoFormat] = {
    one.name: one
    for one in (
        TableFormat("csv", ".csv", write_csv),
        TableFormat("jsonl", ".jsonl", write_jsonl),
        TableFormat("parquet", ".parquet", write_parquet, is_text=False),
        VideoFormat("webvtt", ".vtt", "cue", _captions, holds=True),
        VideoFormat("webvtt-metadata", ".vtt", "cue", _metadata),
        VideoFormat("elan", ".eaf", "annotation", _elan, holds=True),
        *_challenge("expression"),
        *_challenge("va"),
    )
}
EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".vtt": "webvtt",
    ".eaf": "elan",
}
"""What a file's name says of its format."""
