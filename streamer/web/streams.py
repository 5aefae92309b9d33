"""One stream, as what came over the bus tells of it."""

from __future__ import annotations

from collections import OrderedDict

from streamer.messages import Observation, Status, StreamDefinition, Track, TrackEvent, Window
from streamer.types import EXPRESSIONS
from streamer.web.buckets import Buckets
from streamer.web.tracks import TrackLife

MAX_TRACKS = 12
"""Tracks that are remembered of a stream: the one not seen for longest makes way."""
PRESENT_S = 2.0
"""A face that was seen within so many seconds of the stream's newest one is there."""
LEFT_SHOWN_S = 60.0
SPARK_SPAN_S = 60.0
SPARK_STEP_S = 2.0
SILENT_S = 10.0
"""Owners repeat the status of a live stream every second: one not repeated for so long is no longer true."""
_LIVELY = frozenset(("live", "connecting", "stalled", "backing_off"))


class StreamLife:
    """What is known of a stream. Times are seconds since 1970: of capture, where it is known, else of the append."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.definition: StreamDefinition | None = None
        self.rejected: str | None = None
        self.status: Status | None = None
        self.status_s = 0.0
        self.heard_s = 0.0
        self.fps: float | None = None
        self.newest_s = 0.0
        self.tracks: OrderedDict[Track, TrackLife] = OrderedDict()
        self.spark = Buckets(int(SPARK_SPAN_S / SPARK_STEP_S), SPARK_STEP_S, 2)

    def observed(self, observation: Observation, time_s: float) -> None:
        """A face in a frame."""
        self._came(time_s)
        self._track(observation.track).observed(observation, time_s)
        self.spark.add(time_s, (observation.valence, observation.arousal))

    def windowed(self, window: Window, time_s: float) -> None:
        """A block of observations of a face."""
        self._track(window.track).windowed(window, time_s)

    def told(self, event: TrackEvent, time_s: float) -> None:
        """A face appeared or left."""
        life = self._track(event.track)
        life.seen_s = max(life.seen_s, time_s)
        life.told(event)

    def stated(self, status: Status, time_s: float) -> None:
        """How the stream is; the frames a second follow from two statuses of one epoch."""
        before, before_s = self.status, self.status_s
        self.status, self.status_s = status, time_s
        if before is None or before.epoch != status.epoch or status.state != "live":
            self.fps = None
        elif time_s - before_s >= 0.2 and status.analysed >= before.analysed:
            rate = (status.analysed - before.analysed) / (time_s - before_s)
            self.fps = rate if self.fps is None else 0.6 * self.fps + 0.4 * rate

    def state(self, now_s: float) -> str:
        """The state that holds now: as it was told, `silent` where that is no news any more, or `paused` as wished."""
        if self.status is None:
            return "paused" if self.definition is not None and self.definition.paused else "silent"
        if self.status.state in _LIVELY and now_s - self.status_s > SILENT_S:
            return "silent"
        return self.status.state

    def frame_age_s(self, now_s: float) -> float | None:
        """Seconds since the newest frame arrived, as far as it was told."""
        if self.status is None or self.status.frame_age_s is None:
            return None
        return max(0.0, self.status.frame_age_s + max(0.0, now_s - self.status_s))

    def present(self, now_s: float) -> list[TrackLife]:
        """The faces that are there now."""
        if self.state(now_s) != "live":
            return []
        since_s = self.newest_s - PRESENT_S
        if now_s - self.heard_s > SILENT_S:
            return []
        return [life for life in self.tracks.values() if life.left is None and life.newest and life.seen_s >= since_s]

    def dominant(self, now_s: float) -> tuple[str, float] | None:
        """The likeliest expression of all faces together over the last steps, and its probability.

        None where no face is there or none is good enough for a label.
        """
        good = [life for life in self.present(now_s) if life.newest is not None and life.newest.quality == "ok"]
        means = [mean for life in good if (mean := life.series.mean(2)) is not None]
        if not means:
            return None
        probs = [sum(column) / len(means) for column in zip(*means, strict=True)][: len(EXPRESSIONS)]
        best = max(range(len(probs)), key=probs.__getitem__)
        return EXPRESSIONS[best], probs[best]

    def shown_tracks(self) -> list[tuple[Track, TrackLife]]:
        """The tracks worth showing: those that were there in the last minute, the ones that are there first."""
        since_s = self.newest_s - LEFT_SHOWN_S
        there = [(track, life) for track, life in self.tracks.items() if life.newest and life.seen_s >= since_s]
        return sorted(there, key=lambda one: (one[1].left is not None, one[0].epoch, one[0].number))

    def _track(self, track: Track) -> TrackLife:
        life = self.tracks.get(track)
        if life is None:
            life = self.tracks[track] = TrackLife()
            if len(self.tracks) > MAX_TRACKS:
                gone = min((one for one in self.tracks if one != track), key=lambda one: self.tracks[one].seen_s)
                del self.tracks[gone]
        return life

    def _came(self, time_s: float) -> None:
        if time_s < self.newest_s - SPARK_SPAN_S:  # the source's clock was set back
            self.newest_s = time_s
        self.newest_s = max(self.newest_s, time_s)
