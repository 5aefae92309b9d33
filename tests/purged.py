"""A bus on which two streams have left something in every topic, for what is to forget one of them."""

from __future__ import annotations

from msgspec.structs import replace

from streamer.bus.open import open_bus
from streamer.bus.protocol import Outgoing
from streamer.bus.topics import JOB_PARTITIONS, dead_letter, key_of, outgoing, partition_of, state_record, topics
from streamer.config import TopicSettings
from streamer.messages import DeadLetter, Job, JobCancel, JobStatus, encode, record_id
from streamer.state.codec import stream_key
from streamer.wishes import records
from tests.golden.records import DEFINITION, JOB, JOB_STATUS, OBSERVATION, RUN, STATUS, TRACK_LEFT, WINDOW

GONE = "vestibule/7f3c-north"
STAYS = "vestibule/7f3c-northwest"
"""Its name begins with the other's: keys and texts must match as a whole."""
RUN_ID = RUN.run
OTHER_RUN = "r-other"
BOTH_RUNS = "r-both"
TRACK_STATE = b"numbers-of-a-track:"
GARBLED = b"\xc1 garbled "


def job_of(stream: str) -> Job:
    """The one job of a stream."""
    return replace(JOB, job="j-" + record_id("job", stream)[:20], stream=stream)


def everything_of(stream: str, settings: TopicSettings) -> list[Outgoing]:
    """A record of each kind, in two runs; the stream is watched no more and its job is done."""
    job, place = job_of(stream), partition_of(stream, JOB_PARTITIONS)
    done: JobStatus = replace(JOB_STATUS, job=job.job, stream=stream, state="done")
    over = replace(STATUS, stream=stream, state="ended", cause=None, message=None)
    source = replace(RUN.sources[0], stream=stream)
    results = [
        replace(record, stream=stream, run=run, id=record_id(kind, stream, run))
        for run in (RUN_ID, OTHER_RUN)
        for kind, record in (("observation", OBSERVATION), ("window", WINDOW), ("track", TRACK_LEFT))
    ]
    own = stream_key(stream)
    in_archive = own + b"/" + stream_key(RUN_ID)
    names = topics(settings)
    letters = [
        (names.streams.name, key_of(stream), encode(replace(DEFINITION, stream=stream))[:-3]),
        (names.jobs.name, b"j-unheard-of", GARBLED + encode(job)),
    ]
    return [
        *(outgoing(one, settings, mode) for one in results for mode in ("live", "archive")),
        outgoing(replace(over, state="live"), settings),
        outgoing(over, settings),
        records.stream_definition(replace(DEFINITION, stream=stream), settings),
        records.stream_removal(stream, settings),
        records.claim(stream, "worker-1", settings),
        state_record(settings, "live", stream, b"a stream's", key=own),
        state_record(settings, "live", stream, TRACK_STATE + own, key=own + b"/12.7"),
        state_record(settings, "archive", stream, b"a stream's", key=in_archive),
        state_record(settings, "archive", stream, TRACK_STATE + own, key=in_archive + b"/0.3"),
        records.job(job, place, settings),
        records.job_status(replace(done, state="running"), place, settings),
        records.job_status(done, place, settings),
        records.job_cancel(JobCancel(job=job.job), place, settings),
        outgoing(replace(RUN, run=f"r-of-{record_id(stream)}", sources=(source,)), settings),
        *(
            dead_letter(
                DeadLetter(topic=topic, partition=0, offset=5, cause="undecodable", message="no", value=value),
                key,
                settings,
            )
            for topic, key, value in letters
        ),
    ]


def left_behind(url: str, settings: TopicSettings) -> None:
    """Write what both streams left, and the record of a run that had both; returns once it is on the bus."""
    both = replace(RUN, run=BOTH_RUNS, sources=tuple(replace(RUN.sources[0], stream=name) for name in (GONE, STAYS)))
    bus = open_bus(url, settings=settings)
    try:
        bus.ensure_topics(topics(settings).all())
        producer = bus.producer()
        producer.send([*everything_of(STAYS, settings), *everything_of(GONE, settings), outgoing(both, settings)])
        producer.flush(120.0)
    finally:
        bus.close()
