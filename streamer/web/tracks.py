"""One face followed through one stream, as far as it is remembered here."""

from __future__ import annotations

from collections import deque

from streamer.messages import Observation, TrackEvent, Window
from streamer.types import EXPRESSIONS
from streamer.web.buckets import Buckets

SPAN_S = 120.0
"""How far back a track is shown."""
STEP_S = 0.5
MAX_WINDOWS = 128
N_PROBS = len(EXPRESSIONS)
COLUMNS = N_PROBS + 3
"""The probabilities, valence, arousal, and the part of low quality."""


class TrackLife:
    """What is known of a track: its newest observation, means over time, its windows, and why it left."""

    def __init__(self) -> None:
        self.newest: Observation | None = None
        self.seen_s = 0.0
        self.series = Buckets(int(SPAN_S / STEP_S), STEP_S, COLUMNS)
        self.windows: deque[tuple[int, float, float, Window]] = deque(maxlen=MAX_WINDOWS)
        self.n_windows = 0
        self.left: str | None = None

    def observed(self, observation: Observation, time_s: float) -> None:
        """An observation of the face at `time_s`, on the stream's time line."""
        self.newest, self.seen_s, self.left = observation, max(self.seen_s, time_s), None
        low = 1.0 if observation.quality == "low" else 0.0
        values = (*observation.probs[:N_PROBS], observation.valence, observation.arousal, low)
        if len(values) == COLUMNS:
            self.series.add(time_s, values)

    def windowed(self, window: Window, time_s: float) -> None:
        """A block of observations that ended at `time_s`. Each has a number, from 0."""
        began_s = time_s - (window.to_media_time_s - window.from_media_time_s)
        self.windows.append((self.n_windows, began_s, time_s, window))
        self.n_windows += 1

    def told(self, event: TrackEvent) -> None:
        """The face appeared, or left."""
        self.left = (event.cause or "left") if event.event == "left" else None
