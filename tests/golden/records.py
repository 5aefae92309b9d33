"""One fixed record of each kind, whose bytes are kept in `data/`. Run this file to write them anew."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streamer.messages import (
    Bare,
    Claim,
    DeadLetter,
    Format,
    Job,
    JobCancel,
    JobStatus,
    Observation,
    ProbsSpan,
    RunRecord,
    SourceResult,
    Span,
    Status,
    StreamDefinition,
    Track,
    TrackEvent,
    TrackSummary,
    Window,
    encode,
)

DATA = Path(__file__).with_name("data")
FORMATS: tuple[Format, ...] = ("msgpack", "json")
_PROBS = (0.05, 0.025, 0.0125, 0.0125, 0.75, 0.1, 0.05)
_STREAM = "camera-1/entrance"
_RUN = "r-5d41402abc4b2a76b971"
_MODEL = "centerface+face-api"

OBSERVATION = Observation(
    id="0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    stream=_STREAM,
    run=_RUN,
    session="12-3",
    model=_MODEL,
    precision="bf16",
    epoch=12,
    epoch_time_s=1700000000.125,
    seq=41,
    prev_epoch=9,
    prev_seq=4000,
    pts=8589934592,
    media_time_s=1.36,
    capture_time_s=1700000001.5,
    time_origin="arrival",
    track=Track(epoch=12, number=7),
    label="Happy",
    probs=_PROBS,
    valence=0.61234,
    arousal=-0.25,
    va_origin="derived",
    confidence=0.75,
    entropy=0.901234,
    quality="ok",
    quality_causes=(),
    box_xywh=(0.1, 0.2, 0.25, 0.5),
    face_px=64.5,
    detector_score=0.987654,
    roll_deg=-12.5,
    yaw_deg=3.25,
    state="warm",
    state_age_s=1.32,
    bare=Bare(label="Surprise", probs=_PROBS[::-1]),
)
LOW_QUALITY = msgspec.structs.replace(
    OBSERVATION,
    label=None,
    quality="low",
    quality_causes=("face_px", "yaw"),
    capture_time_s=None,
    time_origin="none",
    reused=("search", "inference"),
    frame=33,
)
WINDOW = Window(
    id="11111111111111111111111111111111",
    stream=_STREAM,
    run=_RUN,
    session="12-3",
    model=_MODEL,
    precision="bf16",
    epoch=12,
    epoch_time_s=1700000000.125,
    seq=2,
    pts=9000,
    media_time_s=0.64,
    capture_time_s=None,
    track=Track(epoch=12, number=7),
    from_media_time_s=0.0,
    to_media_time_s=0.64,
    n_observations=16,
    complete=True,
    label="Happy",
    probs=ProbsSpan(min=(0.0,) * 7, max=(1.0,) * 7, mean=_PROBS),
    valence=Span(min=-0.1, max=0.8, mean=0.5),
    arousal=Span(min=0.0, max=0.25, mean=0.125),
    va_origin="predicted",
)
TRACK_LEFT = TrackEvent(
    id="22222222222222222222222222222222",
    stream=_STREAM,
    run=_RUN,
    session="9f86d081884c7d65",
    model=_MODEL,
    precision="fp32",
    seq=1,
    pts=None,
    media_time_s=12.0,
    capture_time_s=None,
    track=Track(epoch=0, number=3),
    event="left",
    cause="lost",
    summary=TrackSummary(
        from_media_time_s=1.0,
        to_media_time_s=12.0,
        n_observations=275,
        n_low_quality=4,
        label=None,
        shares=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        probs_mean=_PROBS,
        valence=Span(min=-1.0, max=1.0, mean=0.0),
        arousal=Span(min=-1.0, max=1.0, mean=0.0),
        confidence_mean=0.5,
    ),
)
STATUS = Status(
    id="33333333333333333333333333333333",
    stream=_STREAM,
    run=_RUN,
    session="12-3",
    model=_MODEL,
    precision="bf16",
    epoch=12,
    epoch_time_s=1700000000.125,
    seq=300,
    pts=None,
    media_time_s=300.0,
    capture_time_s=None,
    state="stalled",
    cause="silent",
    message="no packet for 5 s: trying again",
    frame_age_s=5.5,
    reorder_delay_s=0.08,
    decoded=7500,
    analysed=7400,
    faces=9000,
    records=9600,
    corrupt_packets=1,
    dropped={"queue_full": 99, "late": 1},
)
RUN = RunRecord(
    run=_RUN,
    state="done",
    started_s=1700000000.0,
    finished_s=1700000060.5,
    software={"affect-streamer": "0.1.0"},
    machine={"cpu": "a CPU"},
    models={"centerface": "sha256:00"},
    licences={"centerface": "MIT"},
    precision="bf16",
    va_origin="derived",
    calibration="temperature 2.5",
    settings={"track.lost_after_s": "1.0"},
    stage_s={"decode": 1.0, "detect": 4.5},
    sources=(
        SourceResult(
            stream=_STREAM,
            source="entrance.mp4",
            state="done",
            mode="archive",
            session="9f86d081884c7d65",
            width=640,
            height=360,
            duration_s=60.0,
            decoded=1500,
            analysed=1500,
            faces=1499,
            records=1600,
            tracks=2,
            dropped={"sample_rate": 3},
            started_s=1700000000.0,
            finished_s=1700000060.0,
        ),
    ),
)
DEAD_LETTER = DeadLetter(
    topic="affect.jobs",
    partition=3,
    offset=17,
    cause="undecodable",
    message="not a Job record: Input data was truncated",
    value=b"\x82\xa1\xff",
)
DEFINITION = StreamDefinition(
    stream=_STREAM,
    source="http://127.0.0.1:8080/entrance.m3u8",
    sample_fps=12.5,
    priority=2,
    repeat=True,
    updated_s=1700000000.5,
)
CLAIM = Claim(stream=_STREAM, worker="worker-1")
JOB = Job(
    job="j-5d41402abc4b2a76",
    batch="b-1",
    stream="entrance",
    source="entrance.mp4",
    run=_RUN,
    head="gru",
    attempt=2,
    not_before_s=1700000030.0,
    submitted_s=1700000000.0,
)
JOB_STATUS = JobStatus(
    job="j-5d41402abc4b2a76",
    batch="b-1",
    stream="entrance",
    source="entrance.mp4",
    run=_RUN,
    state="retrying",
    attempt=2,
    starts=3,
    state_from=4711,
    media_time_s=12.48,
    duration_s=60.0,
    decoded=312,
    analysed=312,
    faces=300,
    records=340,
    cause="source_missing",
    message="no such file",
    submitted_s=1700000000.0,
    started_s=1700000001.0,
    updated_s=1700000002.0,
)
JOB_CANCEL = JobCancel(job="j-5d41402abc4b2a76", requested_s=1700000003.0)
RECORDS: dict[str, msgspec.Struct] = {
    "observation": OBSERVATION,
    "observation_low_quality": LOW_QUALITY,
    "window": WINDOW,
    "track_left": TRACK_LEFT,
    "status": STATUS,
    "run": RUN,
    "dead_letter": DEAD_LETTER,
    "stream_definition": DEFINITION,
    "claim": CLAIM,
    "job": JOB,
    "job_status": JOB_STATUS,
    "job_cancel": JOB_CANCEL,
}


def main() -> None:
    """Write every record's bytes: `.json` as they are, `.msgpack.hex` in lines of 32 bytes."""
    DATA.mkdir(exist_ok=True)
    for name, record in RECORDS.items():
        (DATA / f"{name}.json").write_bytes(encode(record, "json") + b"\n")
        (DATA / f"{name}.msgpack.hex").write_text(encode(record).hex("\n", -32) + "\n")


if __name__ == "__main__":
    main()
