"""WebVTT: captions that say who shows what, and metadata for programs in a page that plays the video.

The format is the W3C's "WebVTT: The Web Video Text Tracks Format" (Candidate Recommendation, 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby, pairwise
from typing import Any, BinaryIO

import msgspec

from streamer.export.labels import Pace, Stretch, face_name
from streamer.export.order import room_to_sort, temporary_database
from streamer.export.videos import Video
from streamer.messages import Observation

_FIELDS = ("label", "probs", "valence", "arousal", "va_origin", "confidence", "quality", "box_xywh")


def write_captions(video: Video, stretches: Iterable[Stretch], into: BinaryIO) -> int:
    """One cue a stretch, in the order they begin, as `<v Face 1>Happy`; returns how many."""
    into.write(_head(video, "captions"))
    n = 0
    for n, (start_s, end_s, name, label) in enumerate(_by_start(stretches), 1):
        into.write(_cue(n, start_s, end_s, f"<v {_escaped(name)}>{_escaped(label)}</v>"))
    return n


def write_metadata(video: Video, observations: Iterable[Observation], pace: Pace, into: BinaryIO) -> int:
    """One cue a frame with faces, whose text is a JSON object; returns how many.

    The object has `media_time_s`, `frame` and `faces`: of each its `track` and the record's own fields.
    """
    into.write(_head(video, "metadata"))
    n = 0
    frames = ((key, list(faces)) for key, faces in groupby(observations, key=lambda o: (o.media_time_s, o.frame)))
    for n, (((time_s, frame), faces), following) in enumerate(pairwise(_and_none(frames)), 1):
        body = {"media_time_s": time_s, "frame": frame, "faces": [_face(o) for o in faces]}
        # A cue's text must not hold an arrow, and > occurs in JSON only inside of strings.
        text = msgspec.json.encode(body).decode().replace(">", "\\u003e")
        into.write(_cue(n, time_s, pace.end_s(time_s, following and following[0][0]), text))
    return n


def _and_none(items: Iterable[Any]) -> Iterator[Any]:
    yield from items
    yield None


def _face(o: Observation) -> dict[str, Any]:
    return {"track": o.track, **{name: getattr(o, name) for name in _FIELDS}}


def _by_start(stretches: Iterable[Stretch]) -> Iterator[tuple[float, float, str, str]]:
    """A long stretch is known only when it ends, after many that began later: they are sorted, if need be on disk."""
    with closing(temporary_database()) as database, room_to_sort():
        database.execute("CREATE TABLE s (start_s REAL, end_s REAL, name TEXT, label TEXT)")
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO s VALUES (?, ?, ?, ?)", ((s.start_s, s.end_s, face_name(s.track), s.label) for s in stretches)
        )
        database.execute("COMMIT")
        yield from database.execute("SELECT * FROM s ORDER BY start_s, end_s, name")


def _head(video: Video, kind: str) -> bytes:
    told = " ".join(f"{kind} of {video.stream}, run {video.run}".split()).replace("-->", "->")
    return f"WEBVTT\n\nNOTE {told}\n".encode("utf-8", "backslashreplace")


def _cue(number: int, start_s: float, end_s: float, text: str) -> bytes:
    start_ms = round(start_s * 1000)
    end_ms = max(round(end_s * 1000), start_ms + 1)  # an empty cue is never shown
    return f"\n{number}\n{_clock(start_ms)} --> {_clock(end_ms)}\n{text}\n".encode("utf-8", "backslashreplace")


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
