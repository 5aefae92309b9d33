"""What of a bus an export is of: its records, its videos, and a sentence where something asked for is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from streamer.bus.protocol import Bus
from streamer.bus.read import ReadCounts, drain, run_records, typed
from streamer.errors import StreamerError, UsageError
from streamer.export.columns import RECORD_TYPES, Kind
from streamer.export.videos import Video, known_videos, n_frames
from streamer.messages import Envelope, Mode, Observation, RunRecord, TrackEvent, Window


@dataclass(slots=True)
class Wanted:
    """The records of one kind that the bus holds now, of these homes, streams, runs and face number; None means all.

    `whole`: every frame is told of, so only files count that were read to their end in archive mode. Others are
    refused where a stream or run is named, and else left out with the reason in `left_out`. `faces`: the videos that
    gave a record.
    """

    bus: Bus
    kind: Kind = "observations"
    prefix: str = "affect"
    homes: Sequence[Mode] = ("live", "archive")
    streams: Collection[str] | None = None
    runs: Collection[str] | None = None
    track: int | None = None
    whole: bool = False
    videos: dict[tuple[str, str], Video] = field(default_factory=dict)
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)
    faces: set[tuple[str, str]] = field(default_factory=set)
    counts: ReadCounts = field(default_factory=ReadCounts)
    _told: list[RunRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.whole:
            self.homes = ("archive",)
        self._told = run_records(self.bus, self.prefix)
        mode: Mode | None = "archive" if self.whole else None
        for key, video in known_videos(self._told, self.streams, self.runs, mode).items():
            self._is_taken(key, video)

    def records(self) -> Iterator[Envelope]:
        """The records, to be read once. Raises, before the first or behind the last: `UsageError` for a stream, run or
        track that is not there, or where nothing is at all; `StreamerError` for a named video whose frames are not
        known."""
        self._refuse_left_out()
        seen: set[tuple[str, str]] = set()
        for record in self._typed():
            key = (record.stream, record.run)
            if key not in seen:
                seen.add(key)
                if key not in self.videos and key not in self.left_out:
                    self._is_taken(key, Video(*key))
                    self._refuse_left_out()
            if key in self.left_out:
                self.counts.skipped["not_whole"] += 1
            elif self.track is None or _track_of(record) == self.track:
                self.faces.add(key)
                yield record
        self._refuse_unknown(seen)

    def notes(self) -> list[str]:
        """Where every frame is told of, what is to be said of that once the records are read."""
        if not self.whole:
            return []
        found = list(self.left_out.values())
        who = "face" if self.track is None else f"face of the number {self.track}"
        for key, video in self.videos.items():
            if video.result is not None and video.result.state == "failed":
                found.append(f"{video.stream} broke off after {video.result.decoded:,} frames: {video.result.message}")
            if key not in self.faces:
                found.append(f"{video.stream} has no {who}: each of its frames is filled in as Neutral")
        return found

    def _typed(self) -> Iterator[Envelope]:
        names: dict[Mode, str] = {"live": f"{self.prefix}.{self.kind}", "archive": f"{self.prefix}.archive.{self.kind}"}
        # One topic after the other: a consumer of two may mix them differently each time.
        incoming = (message for home in self.homes for message in drain(self.bus, [names[home]]))
        return typed(incoming, RECORD_TYPES[self.kind], runs=self.runs, streams=self.streams, counts=self.counts)

    def _is_taken(self, key: tuple[str, str], video: Video) -> None:
        if self.whole:
            try:
                n_frames(video)
            except StreamerError as error:
                self.left_out[key] = str(error)
                return
        self.videos[key] = video

    def _refuse_left_out(self) -> None:
        if self.left_out and (self.streams is not None or self.runs is not None):
            raise StreamerError(next(iter(self.left_out.values())))

    def _refuse_unknown(self, seen: set[tuple[str, str]]) -> None:
        known = seen | known_videos(self._told).keys()
        if not known:
            raise UsageError("no run is recorded on this bus; start one with `streamer run SOURCE` first")
        for what, asked, have, where in (
            ("stream", self.streams, {stream for stream, _ in known}, "streamer tail status"),
            ("run", self.runs, {run for _, run in known}, "streamer tail runs"),
        ):
            missing = sorted(set(asked or ()) - have)
            if missing:
                raise UsageError(f"{what} {', '.join(missing)} is not on this bus; `{where}` shows those that are")
        if self.whole and not self.videos:
            raise StreamerError(
                next(iter(self.left_out.values()), "")
                or "no file among these was read in archive mode, where every frame is: run one with --mode archive"
            )
        if self.track is not None and not self.faces:
            raise UsageError(f"no face has the number {self.track} there; `streamer export tracks` lists them")


def _track_of(record: Envelope) -> int | None:
    return record.track.number if isinstance(record, Observation | Window | TrackEvent) else None
