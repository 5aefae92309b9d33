"""A plausible run made of nothing: two sources, three tracks, 500 frames. Same seed, same records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.spec import EXPRESSIONS
from streamer.messages import (
    Bare,
    Observation,
    ProbsSpan,
    RunRecord,
    SourceResult,
    Span,
    Track,
    TrackEvent,
    TrackSummary,
    Window,
    r6,
    r6s,
    record_id,
)

RUN = "r-5f0c2a9d41b7e83c6a10"
MODEL = "face-api@1.7.15#0a1b2c3d"
FPS = 25.0
COORDINATES = np.array(
    [(0, 0), (-0.51, 0.59), (-0.60, 0.35), (-0.64, 0.60), (0.81, 0.51), (-0.63, -0.27), (0.40, 0.67)]
)


@dataclass(frozen=True)
class SyntheticRun:
    """All records of one run."""

    run: RunRecord
    observations: list[Observation]
    windows: list[Window]
    tracks: list[TrackEvent]


def make_run(
    streams: tuple[str, str] = ("lobby camera.mp4", "interview-02.mp4"), run: str = RUN, n_frames: int = 500
) -> SyntheticRun:
    """Two sources: the first shows two faces, the second one that turns away (low quality) and leaves for a while."""
    first, second = streams
    n = n_frames
    everyone = [
        _track(first, run, 1, range(n), moods=(0, 4, 4, 6, 0), seed=1),
        _track(first, run, 2, range(n // 4, n - n // 10), moods=(0, 5, 1, 0), seed=2),
        _track(
            second,
            run,
            1,
            [k for k in range(n) if not n * 0.55 <= k < n * 0.68],
            moods=(6, 4, 0, 3, 2, 0),
            seed=3,
            low=range(int(n * 0.25), int(n * 0.36)),
        ),
    ]
    sources = tuple(
        _source(name, n, [track for track in everyone if track[0].stream == name]) for name in (first, second)
    )
    record = RunRecord(
        run=run,
        state="done",
        started_s=1_760_000_000.0,
        finished_s=1_760_000_004.9,
        software={"affect-streamer": "0.1.0", "python": "3.11.2", "openvino": "2026.4.0", "av": "18.0.0"},
        machine={"cpu": "two cores with AMX", "cores": "2", "memory": "24 GiB", "system": "Linux"},
        models={"detector": "centerface@1.5.0#9f8e7d6c", "expression": MODEL, "head": "mean@1#00000000"},
        licences={"centerface": "MIT", "face-api": "MIT"},
        precision="bf16",
        va_origin="derived",
        calibration="temperature 2.4, fitted on 269 labelled photographs",
        settings={"detect.interval_s": "0.2", "state.window": "16", "mode": "auto"},
        stage_s={"decode": 0.35, "detect": 1.9, "align": 0.18, "embed": 0.42, "state": 0.06, "publish": 0.11},
        sources=sources,
    )
    observations = sorted((o for track in everyone for o in track), key=lambda o: (o.stream, o.media_time_s))
    windows = [w for track in everyone for w in _windows(track, 16)]
    events = [e for track in everyone for e in _events(track)]
    return SyntheticRun(record, observations, windows, events)


def _track(
    stream: str,
    run: str,
    number: int,
    frames: range | list[int],
    moods: tuple[int, ...],
    seed: int,
    low: range = range(0),
) -> list[Observation]:
    random = np.random.default_rng(seed)
    n = len(frames)
    walk = random.normal(0, 1, (n, 7))
    for k in range(1, n):
        walk[k] += 0.97 * walk[k - 1]
    logits = 0.28 * walk
    for k in range(n):
        logits[k, moods[min(len(moods) - 1, k * len(moods) // n)]] += 2.6
    logits = np.stack([np.convolve(logits[:, c], np.ones(15) / 15, mode="same") for c in range(7)], axis=1)
    probs = np.exp(logits)
    probs /= probs.sum(axis=1, keepdims=True)
    va = probs @ COORDINATES
    observations = []
    for k, frame in enumerate(frames):
        poor = frame in low
        label = EXPRESSIONS[int(probs[k].argmax())]
        observations.append(
            Observation(
                id=record_id("observation", stream, run, "s", frame, number),
                stream=stream,
                run=run,
                session="sha256-of-the-file",
                model=MODEL,
                precision="bf16",
                seq=k,
                pts=frame * 512,
                media_time_s=r6(frame / FPS),
                track=Track(epoch=0, number=number),
                label=None if poor else label,
                probs=r6s(probs[k]),
                valence=r6(va[k, 0]),
                arousal=r6(va[k, 1]),
                va_origin="derived",
                confidence=r6(probs[k].max()),
                entropy=r6(-(probs[k] * np.log(probs[k])).sum()),
                quality="low" if poor else "ok",
                quality_causes=("yaw", "face_px") if poor else (),
                box_xywh=r6s((0.2 + 0.2 * number, 0.3, 0.11, 0.2)),
                face_px=r6(40 + 5 * np.sin(k / 30)),
                detector_score=0.93,
                roll_deg=r6(4 * np.sin(k / 40)),
                yaw_deg=r6(70.0 if poor else 12 * np.sin(k / 50)),
                state="cold" if k < 16 else "warm",
                state_age_s=r6(k / FPS),
                bare=Bare(label=label, probs=r6s(probs[k])),
                frame=frame,
            )
        )
    return observations


def _span(values: list[float]) -> Span:
    return Span(min=r6(min(values)), max=r6(max(values)), mean=r6(float(np.mean(values))))


def _probs_span(block: list[Observation]) -> ProbsSpan:
    probs = np.array([o.probs for o in block])
    return ProbsSpan(min=r6s(probs.min(axis=0)), max=r6s(probs.max(axis=0)), mean=r6s(probs.mean(axis=0)))


def _windows(track: list[Observation], size: int) -> list[Window]:
    windows = []
    for start in range(0, len(track), size):
        block = track[start : start + size]
        last = block[-1]
        windows.append(
            Window(
                id=record_id("window", last.id),
                stream=last.stream,
                run=last.run,
                session=last.session,
                model=last.model,
                precision=last.precision,
                seq=start // size,
                pts=last.pts,
                media_time_s=last.media_time_s,
                track=last.track,
                from_media_time_s=block[0].media_time_s,
                to_media_time_s=last.media_time_s,
                n_observations=len(block),
                complete=len(block) == size,
                label=last.label,
                probs=_probs_span(block),
                valence=_span([o.valence for o in block]),
                arousal=_span([o.arousal for o in block]),
                va_origin="derived",
            )
        )
    return windows


def _events(track: list[Observation]) -> list[TrackEvent]:
    first, last = track[0], track[-1]
    labels = [o.label for o in track if o.label is not None]
    summary = TrackSummary(
        from_media_time_s=first.media_time_s,
        to_media_time_s=last.media_time_s,
        n_observations=len(track),
        n_low_quality=len(track) - len(labels),
        label=max(EXPRESSIONS, key=labels.count),
        shares=r6s(labels.count(name) / len(labels) for name in EXPRESSIONS),
        probs_mean=r6s(np.mean([o.probs for o in track], axis=0)),
        valence=_span([o.valence for o in track]),
        arousal=_span([o.arousal for o in track]),
        confidence_mean=r6(float(np.mean([o.confidence for o in track]))),
    )
    return [
        TrackEvent(
            id=record_id("track", o.id, event),
            stream=o.stream,
            run=o.run,
            session=o.session,
            model=o.model,
            precision=o.precision,
            seq=seq,
            pts=o.pts,
            media_time_s=o.media_time_s,
            track=o.track,
            event="appeared" if seq == 0 else "left",
            cause=None if seq == 0 else "end_of_source",
            summary=None if seq == 0 else summary,
        )
        for seq, (o, event) in enumerate(((first, "appeared"), (last, "left")))
    ]


def _source(stream: str, n_frames: int, tracks: list[list[Observation]]) -> SourceResult:
    faces = sum(len(track) for track in tracks)
    return SourceResult(
        stream=stream,
        source=f"/clips/{stream}",
        state="done",
        mode="archive",
        session=f"sha256-of-{stream}",
        width=640,
        height=360,
        duration_s=n_frames / FPS,
        decoded=n_frames,
        analysed=n_frames,
        faces=faces,
        records=faces,
        tracks=len(tracks),
        corrupt_packets=2 if len(tracks) == 1 else 0,
        dropped={"decode_error": 2} if len(tracks) == 1 else {},
        started_s=1_760_000_000.0,
        finished_s=1_760_000_003.2,
    )
