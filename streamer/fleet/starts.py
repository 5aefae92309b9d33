"""When which stream is opened: pure policy.

After a switch came back, 200 cameras are there at once: they are opened a few at a time, none is forgotten, and what
does not answer is tried again after growing, jittered pauses, for ever.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 6.0
"""With an opening of three seconds, a camera that has come back is seen within ten."""
PROMPT_PAUSE_S = 0.1
"""For what ended as it should, or fell silent after a long run: most often it is there at once."""
PERMANENT_PAUSE_S = 300.0
"""Between tries of what waits for somebody to put it right."""
PERMANENT = frozenset(
    (
        "absurd_dimensions",
        "empty",
        "missing",
        "model",
        "no_video_stream",
        "not_a_video",
        "refused",
        "unauthorized",
        "unreadable",
        "unsupported",
    )
)
PROMPT = frozenset(("ended", "expired", "resolution_changed"))
PROMPT_AFTER_S = 3.0
"""What ran for so long is prompt to come again; what ends sooner could be opened and end for ever."""
RAN_WELL_S = 5.0
"""A stream that ran for so long begins with the shortest pause again."""
RAN_LONG_S = 30.0
"""A stream that ran for so long has no habit of falling silent."""
SLOW_OPENING_S = 30.0
"""A stream that is being opened for longer holds no place at its host any more."""
_MOST_DOUBLINGS = 16


@dataclass(slots=True)
class _Start:
    """Where a stream stands. `since_s` is when its opening, or its running, began; `ran` whether it ever was open.

    `failures` are counted since it last ran well, `refusals` (failures for what is permanent) since it last ran.
    """

    host: str | None
    due_s: float
    turn: int
    phase: str = "waiting"
    since_s: float = 0.0
    failures: int = 0
    refusals: int = 0
    ran: bool = False

    def ready(self, now_s: float) -> bool:
        """Whether its pause is over."""
        return self.phase == "waiting" and self.due_s <= now_s


@dataclass(slots=True)
class StartGate:
    """Lets streams start: at most `host_starts` are being opened at once to one host, and `starts_per_s` in all.

    A second's worth of starts may come at once. Those that wait longest go first, but what failed again and again only
    after everything else: where hundreds are down, the few that can run do not queue behind them. One whose host is
    busy holds up nobody else. Every stream is in one phase: waiting, opening (from `due` on), running (from `opened`
    on).
    """

    host_starts: int
    starts_per_s: float
    rng: random.Random = field(default_factory=random.Random)
    _starts: dict[str, _Start] = field(default_factory=dict)
    _tokens: float = 0.0
    _counted_s: float | None = None
    _turns: int = 0

    def want(self, stream: str, host: str | None, now_s: float) -> None:
        """This stream is to be opened; its earlier failures are forgotten."""
        self._starts[stream] = _Start(host, now_s, self._turn())

    def forget(self, stream: str) -> None:
        """This stream is wanted no more."""
        self._starts.pop(stream, None)

    def due(self, now_s: float) -> list[str]:
        """The streams to open now; they count as being opened from here on."""
        self._fill(now_s)
        opening = Counter(
            start.host
            for start in self._starts.values()
            if start.phase == "opening" and now_s - start.since_s < SLOW_OPENING_S
        )
        chosen: list[str] = []
        ready = [(stream, start) for stream, start in self._starts.items() if start.ready(now_s)]
        for stream, start in sorted(ready, key=lambda item: (item[1].failures > 1, item[1].due_s, item[1].turn)):
            if self._tokens < 1.0:
                break
            if start.host is not None and opening[start.host] >= self.host_starts:
                continue
            start.phase, start.since_s = "opening", now_s
            opening[start.host] += 1
            self._tokens -= 1.0
            chosen.append(stream)
        return chosen

    def opened(self, stream: str, now_s: float) -> None:
        """The stream gives frames."""
        if (start := self._starts.get(stream)) is not None:
            start.phase, start.since_s, start.ran, start.refusals = "running", now_s, True, 0

    def failed(self, stream: str, cause: str, now_s: float) -> float:
        """The stream could not be opened, or went away after it had been: returns the seconds until its next try."""
        start = self._starts.get(stream)
        if start is None:
            return 0.0
        ran_s = now_s - start.since_s if start.phase == "running" else 0.0
        if ran_s >= RAN_WELL_S:
            start.failures = 0
        prompt = (cause in PROMPT and ran_s >= PROMPT_AFTER_S) or (cause == "stalled" and ran_s >= RAN_LONG_S)
        if not prompt:
            start.failures += 1
            start.refusals += cause in PERMANENT
        pause_s = PROMPT_PAUSE_S if prompt else _pause_s(cause, start)
        pause_s *= self.rng.uniform(0.5, 1.0)
        start.phase, start.due_s, start.turn = "waiting", now_s + pause_s, self._turn()
        return pause_s

    def interrupted(self, stream: str, now_s: float) -> None:
        """The stream lost its place for no fault of its own (its process died): it may start at once."""
        if (start := self._starts.get(stream)) is not None:
            start.phase, start.due_s, start.turn = "waiting", now_s, self._turn()

    def opening(self) -> frozenset[str]:
        """The streams that are being opened."""
        return frozenset(stream for stream, start in self._starts.items() if start.phase == "opening")

    def wanted(self) -> frozenset[str]:
        """Every stream known here."""
        return frozenset(self._starts)

    def _fill(self, now_s: float) -> None:
        burst = max(1.0, self.starts_per_s)
        if self._counted_s is None:
            self._tokens = burst
        else:
            self._tokens = min(burst, self._tokens + (now_s - self._counted_s) * self.starts_per_s)
        self._counted_s = now_s

    def _turn(self) -> int:
        self._turns += 1
        return self._turns


def _pause_s(cause: str, start: _Start) -> float:
    """The pause before jitter. What has run before may be starting up, whatever it answers: it is given up slowly."""
    if cause not in PERMANENT:
        return min(LONGEST_PAUSE_S, _doubled(start.failures))
    return min(PERMANENT_PAUSE_S, _doubled(start.refusals)) if start.ran else PERMANENT_PAUSE_S


def _doubled(n: int) -> float:
    return FIRST_PAUSE_S * 2.0 ** min(max(0, n - 1), _MOST_DOUBLINGS)
