"""Exports: records in, files (or standard output) out, each whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from streamer.bus.protocol import Bus
from streamer.errors import UsageError
from streamer.export.columns import RECORD_TYPES, Kind, Row, columns, frame_rows, rows
from streamer.export.formats import FORMATS, Format, TableFormat, VideoFormat
from streamer.export.frames import answers
from streamer.export.order import Ordered
from streamer.export.tables import arrow_table, require_pyarrow
from streamer.export.videos import Video, file_names, n_frames, with_items
from streamer.export.wanted import Wanted
from streamer.files import replacing
from streamer.messages import Envelope, Mode, Observation

Out = Path | Literal["-"]


@dataclass(frozen=True, slots=True)
class Exported:
    """How many rows (cues, annotations, lines: `unit`) were written where.

    `files` are those written, none for standard output; `skipped` counts records left out, by cause (`duplicate`
    among them); `notes` are sentences on videos that were left out, broke off or show nobody.
    """

    out: str
    rows: int
    skipped: dict[str, int] = field(default_factory=dict)
    unit: str = "row"
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def export(records: Iterable[Envelope], format: Format, out: Out, kind: Kind = "observations") -> Exported:
    """Write records of one kind as a table, by stream, then in the order given, each id once; `-` is standard output.

    Memory stays bounded whatever the number of records. Raises `UsageError` for a place that cannot be written, for
    Parquet without pyarrow and for Parquet to standard output.
    """
    with closing(Ordered(RECORD_TYPES[kind])) as ordered:
        return _write_table(ordered, records, format, out, kind, lambda: rows(ordered, columns(kind)))


def export_filled(
    records: Iterable[Observation], format: Format, out: Out, videos: Callable[[], Iterable[Video]]
) -> Exported:
    """Write a table with one row for each frame of each of `videos`, by stream and run; see `frames`.

    `videos` is asked once the records are read. Raises as `export` does, and `StreamerError` where a video's frames
    are not known.
    """
    with closing(Ordered(Observation)) as ordered:
        return _write_table(
            ordered, records, format, out, "observations", lambda: _filled(ordered, _in_order(videos(), ordered))
        )


def export_videos(
    records: Iterable[Observation],
    format: Format,
    out: Out,
    videos: Callable[[], Iterable[Video]] = tuple,
    *,
    hold_s: float | None = None,
) -> Exported:
    """Write observations video by video in a format that follows one from its beginning to its end.

    `out` is a folder, in which each video has a file; or, where it ends as such files do or is `-`, one file, for one
    video. `videos`, asked once the records are read, are told of also where they have no record. `hold_s`: see
    `Stretches`; None for the format's own. Memory stays bounded. Raises `UsageError` for a place that cannot be written
    and for several videos where there is room for one, `StreamerError` where a video's frames are not known.
    """
    to = FORMATS[format]
    assert isinstance(to, VideoFormat), f"{format} is a table"
    with closing(Ordered(Observation)) as ordered:
        ordered.add(records)
        wanted = _in_order(videos(), ordered)
        found = with_items(wanted, ordered.by_video())
        return replace(_write_videos(found, wanted, to, out, hold_s), skipped=_duplicates(ordered))


def export_from_bus(
    bus: Bus,
    format: Format,
    out: Out,
    *,
    kind: Kind = "observations",
    prefix: str = "affect",
    homes: Sequence[Mode] = ("live", "archive"),
    streams: Collection[str] | None = None,
    runs: Collection[str] | None = None,
    track: int | None = None,
    fill: bool = False,
    hold_s: float | None = None,
) -> Exported:
    """Export what the bus holds now of `kind`, from the live topic, the archive one or both (live first).

    None of `streams` or `runs` means all; `track` keeps faces of that number alone. With `fill` a table has one row for
    each frame of a file. Raises `UsageError` for what does not go together and for a stream, run or track that the bus
    does not know, else as `export`, `export_filled` and `export_videos` do.
    """
    to = FORMATS[format]
    _check_together(to, kind, fill=fill, hold_s=hold_s)
    if isinstance(to, TableFormat):
        _check_table(to, out)
    whole = fill or (isinstance(to, VideoFormat) and to.whole)
    wanted = Wanted(bus, kind, prefix, homes, streams, runs, track, whole)
    records = wanted.records()
    if isinstance(to, VideoFormat):
        done = export_videos(_seen(records), format, out, wanted.videos.values, hold_s=hold_s)
    elif fill:
        done = export_filled(_seen(records), format, out, wanted.videos.values)
    else:
        done = export(records, format, out, kind)
    return replace(done, skipped={**wanted.counts.skipped, **done.skipped}, notes=tuple(wanted.notes()))


def arrow_from_bus(
    bus: Bus,
    kind: Kind,
    *,
    prefix: str = "affect",
    streams: Collection[str] | None = None,
    runs: Collection[str] | None = None,
    track: int | None = None,
    fill: bool = False,
) -> Any:
    """A `pyarrow.Table` with the rows and columns that an export as Parquet has. Raises as `export_from_bus` does."""
    _check_together(FORMATS["parquet"], kind, fill=fill, hold_s=None)
    require_pyarrow()
    wanted = Wanted(bus, kind, prefix, streams=streams, runs=runs, track=track, whole=fill)
    with closing(Ordered(RECORD_TYPES[kind])) as ordered:
        ordered.add(wanted.records())
        made: Iterable[Row] = rows(ordered, columns(kind))
        if fill:
            seen = cast(Ordered[Observation], ordered)
            made = _filled(seen, _in_order(wanted.videos.values(), seen))
        return arrow_table(made, columns(kind))


def _filled(ordered: Ordered[Observation], videos: Sequence[Video]) -> Iterator[Row]:
    for video, observations in with_items(videos, ordered.by_video()):
        yield from frame_rows(video.stream, video.run, answers(observations, n_frames(video)))


def _check_together(to: TableFormat | VideoFormat, kind: Kind, *, fill: bool, hold_s: float | None) -> None:
    if fill and not isinstance(to, TableFormat):
        raise UsageError(f"filling is for csv, jsonl and parquet: {to.name} has rules of its own for missing faces")
    if kind != "observations" and (fill or isinstance(to, VideoFormat)):
        raise UsageError(f"{'filling' if fill else to.name} is of observations: leave {kind} out")
    if hold_s is not None and not (isinstance(to, VideoFormat) and to.holds):
        raise UsageError(f"--hold is for webvtt and elan: {to.name} has every label as it is")


def _check_table(to: TableFormat, out: Out) -> None:
    if not to.is_text:
        if out == "-":
            raise UsageError("Parquet cannot be written to standard output; give a file with --out")
        require_pyarrow()


def _seen(records: Iterable[Envelope]) -> Iterable[Observation]:
    return cast(Iterable[Observation], records)


def _in_order(videos: Iterable[Video], ordered: Ordered[Observation]) -> list[Video]:
    """These and those only records tell of, by stream and run."""
    known = {(video.stream, video.run): video for video in videos}
    return [known.get(key) or Video(*key) for key in sorted({*known, *ordered.videos()})]


def _write_table(
    ordered: Ordered[Any],
    records: Iterable[Envelope],
    format: Format,
    out: Out,
    kind: Kind,
    make: Callable[[], Iterable[Row]],
) -> Exported:
    to = FORMATS[format]
    assert isinstance(to, TableFormat), f"{format} is no table"
    _check_table(to, out)
    with _opened(out) as into:
        ordered.add(records)
        n = to.write(make(), columns(kind), into)
    return Exported(str(out), n, _duplicates(ordered), files=_named(out))


def _write_videos(
    found: Iterator[tuple[Video, Iterator[Observation]]],
    videos: Sequence[Video],
    to: VideoFormat,
    out: Out,
    hold_s: float | None,
) -> Exported:
    n = 0
    if out == "-" or out.suffix.lower() == to.extension or to.together:
        _check_one_file(videos, to)
        place = out / to.together if out != "-" and out.suffix.lower() != to.extension and to.together else out
        with _opened(place) as into:
            if to.head is not None:
                to.head(into)
            for video, observations in found:
                n += to.write(video, observations, hold_s, into)
        return Exported(str(out), n, unit=to.unit, files=_named(place))
    paths = [out / name for name in file_names(videos, to.extension)]
    for path, (video, observations) in zip(paths, found, strict=True):
        with _opened(path) as into:
            n += to.write(video, observations, hold_s, into)
    return Exported(str(out), n, unit=to.unit, files=tuple(map(str, paths)))


def _check_one_file(videos: Sequence[Video], to: VideoFormat) -> None:
    if to.together is None and len(videos) > 1:
        raise UsageError(
            f"there are {len(videos)} videos, and {to.name} has a file for each: give a folder with --out, or choose"
            " one with --stream and --run"
        )
    streams = [video.stream for video in videos]
    twice = [stream for stream in streams if streams.count(stream) > 1]
    if twice:
        raise UsageError(f"{twice[0]} is there in several runs, and {to.name} takes one: choose it with --run")


@contextmanager
def _opened(out: Out) -> Iterator[BinaryIO]:
    """Where to write: standard output, or a file that appears when the block ends well."""
    if out == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with replacing(out) as part, part.open("wb") as into:
        yield into


def _named(out: Out) -> tuple[str, ...]:
    return () if out == "-" else (str(out),)


def _duplicates(ordered: Ordered[Any]) -> dict[str, int]:
    return {"duplicate": ordered.n_duplicates} if ordered.n_duplicates else {}
