"""Observations by hand, for exports that follow a video."""

from __future__ import annotations

import msgspec

from streamer.export.videos import Video
from streamer.messages import Observation, RunRecord, SourceResult, Track, record_id
from tests.synthetic_run import make_run

_ONE = make_run(n_frames=2).observations[0]
STEP_S = 0.04


def seen(
    frame: int | None,
    label: str | None = "Happy",
    *,
    track: int = 1,
    epoch: int = 0,
    valence: float = 0.0,
    arousal: float = 0.0,
    size: float = 0.2,
    time_s: float | None = None,
    stream: str = "film",
    run: str = "job",
) -> Observation:
    """One face in a frame of a video with 25 frames a second."""
    return msgspec.structs.replace(
        _ONE,
        id=record_id(stream, run, frame, repr(time_s), epoch, track),
        stream=stream,
        run=run,
        media_time_s=round((frame or 0) * STEP_S, 6) if time_s is None else time_s,
        frame=frame,
        track=Track(epoch=epoch, number=track),
        label=label,
        quality="low" if label is None else "ok",
        valence=valence,
        arousal=arousal,
        box_xywh=(0.1, 0.1, size, size),
    )


def video(n_frames: int, stream: str = "film", run: str = "job", **changes: object) -> Video:
    """A video whose run record tells of so many frames; `changes` are of its source's result."""
    result = msgspec.structs.replace(
        SourceResult(stream=stream, source=f"/films/{stream}.mp4", state="done", mode="archive", decoded=n_frames),
        **changes,
    )
    record = RunRecord(run=run, state="done", started_s=1_760_000_000.0, sources=(result,))
    return Video(stream, run, record, result)
