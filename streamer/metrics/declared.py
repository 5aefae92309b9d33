"""Every metric there is, declared once: its name with the unit, its labels, and what it counts.

Counters only ever rise; whoever wants a rate takes it from them. Nothing is global: each `Metrics` has a registry.
`streamer.worker.meters` and its neighbours fill them. To add one, declare it here, then write docs/metrics.md anew by
`python -m streamer.metrics`. With the label `stream` it leaves with its stream, with `child` with its process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder

from streamer.counting import FILL_BUCKETS, LATENCY_BUCKETS_S, SIZE_BUCKETS, STAGE_BUCKETS_S
from streamer.messages import SourceState
from streamer.metrics.declaring import Declaring, Kind, Section
from streamer.metrics.processes import ChildProcesses

STATES: tuple[SourceState, ...] = get_args(SourceState)
FRAME_CAUSES = ("queue_full", "sample_rate", "late", "closed")
"""Causes for which a frame is not analysed; whatever else is counted as dropped is of frames that were."""
FACE_CAUSES = ("budget", "engine_error", "not_finite")
STAGES = ("decode", "detect", "refine", "track", "align", "embed", "state", "encode", "snapshot", "publish")
ROLES = ("streams", "jobs")
MOVES = ("assigned", "revoked", "lost")
Phase = Literal["running", "waiting", "paused", "leaving", "over"]
PHASES: tuple[Phase, ...] = get_args(Phase)
JOB_STATES = ("waiting", "running")
JOB_ENDS = ("done", "failed", "cancelled")
ENDS = ("left", "failed", "killed")


class Metrics:
    """The metrics of one process. May be filled by one thread and read by any."""

    def __init__(self) -> None:
        self._declaring = declaring = Declaring()
        self.registry = declaring.registry
        self.described = declaring.described
        self.process = ProcessMetrics(declaring.section("The process"))
        self.streams = StreamMetrics(declaring.section("Streams"))
        self.stages = StageMetrics(declaring.section("Stages"))
        self.bus = BusMetrics(declaring.section("The bus"))
        self.children = ChildMetrics(declaring.section("Child processes"))
        self.fleet = FleetMetrics(declaring.section("The fleet", "worker"))
        self.processes = ChildProcesses()
        declaring.registry.register(self.processes)
        ProcessCollector(registry=declaring.registry)

    def forget(self, stream: str) -> None:
        """Nothing more is told of this stream."""
        self._declaring.forget("stream", stream)

    def forget_child(self, child: str) -> None:
        """Nothing more is told of what only this child has."""
        self._declaring.forget("child", child)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All of them in the text format that a scraper's `Accept` header asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class ProcessMetrics:
    """What the process as a whole is, and how it stands."""

    def __init__(self, of: Section) -> None:
        self.info = of.gauge("info", "1, with what this process is.", ["role", "version"])
        self.ready = of.gauge("ready", "1 while /readyz says that it is ready, else 0.")
        self.streams = of.gauge("streams", "Streams that are known here, by what is done with them.", ["phase"])
        for phase in PHASES:
            self.streams.labels(phase)
        of_supervisor: tuple[tuple[str, Kind, str], ...] = (
            ("process_cpu_seconds_total", "counter", "CPU time of the supervisor alone."),
            ("process_resident_memory_bytes", "gauge", "Memory of the supervisor alone."),
            ("process_virtual_memory_bytes", "gauge", "Address space of the supervisor alone."),
            ("process_open_fds", "gauge", "Open files of the supervisor."),
            ("process_max_fds", "gauge", "How many files it may have open."),
            ("process_start_time_seconds", "gauge", "When the supervisor started, in seconds since 1970."),
        )
        for name, kind, says in of_supervisor:
            of.describe(name, kind, says)

    def look(self, phases: Mapping[str, int], *, ready: bool) -> None:
        """How many streams are at what, and whether the process is ready."""
        self.ready.set(ready)
        for phase in PHASES:
            self.streams.labels(phase).set(phases.get(phase, 0))


class StreamMetrics:
    """What becomes of each stream. All archive jobs of a worker together are the stream `(jobs)`."""

    def __init__(self, of: Section) -> None:
        stream = ["stream"]
        self.decoded = of.counter("frames_decoded", "Frames that the decoder gave.", stream)
        self.analysed = of.counter("frames_analysed", "Frames that went through the models.", stream)
        self.dropped = of.counter(
            "frames_dropped", "Decoded frames that were not analysed, by cause.", ["stream", "cause"]
        )
        self.faces_dropped = of.counter(
            "faces_dropped",
            "Faces of analysed frames that were not, by cause; a search that the engine failed at counts once.",
            ["stream", "cause"],
        )
        self.faces = of.counter("faces", "Faces observed: one for each face in each frame.", stream)
        self.faces_visible = of.gauge("faces_visible", "Faces in the newest analysed frame.", stream)
        self.records = of.counter("records", "Records made of the stream's faces.", stream)
        self.corrupt_packets = of.counter("corrupt_packets", "Packets that could not be decoded.", stream)
        self.state = of.gauge("source_state", "1 for the state that the source is in.", ["stream", "state"])
        self.transitions = of.counter(
            "source_transitions", "How often the source came to a state.", ["stream", "state"]
        )
        self.reconnects = of.counter("source_reconnects", "How often a source that was gone was back.", stream)
        self.frame_age_s = of.gauge("frame_age_seconds", "Time since the newest frame arrived.", stream)
        self.reorder_delay_s = of.gauge(
            "reorder_delay_seconds", "How much later frames come out because of the order of B-frames.", stream
        )
        self.restarts = of.counter("stream_restarts", "How often another process took the stream up.", stream)
        self.latency = of.histogram(
            "latency_seconds",
            "From the arrival of a live frame's packet to the acknowledgement of the records made of it.",
            LATENCY_BUCKETS_S,
            stream,
        )

    def begin(self, stream: str) -> None:
        """A stream is known: its counters begin at 0, so that their first rise shows."""
        for counter in (self.decoded, self.analysed, self.faces, self.records, self.corrupt_packets, self.restarts):
            counter.labels(stream)
        for cause in FRAME_CAUSES:
            self.dropped.labels(stream, cause)
        for cause in FACE_CAUSES:
            self.faces_dropped.labels(stream, cause)

    def drop(self, stream: str, cause: str, n: int) -> None:
        """Count frames, or faces of them, that were not analysed."""
        metric = self.dropped if cause in FRAME_CAUSES else self.faces_dropped
        metric.labels(stream, cause).inc(n)

    def enter(self, stream: str, state: SourceState) -> None:
        """The source is in `state` and in no other."""
        for one in STATES:
            self.state.labels(stream, one).set(1.0 if one == state else 0.0)


class StageMetrics:
    """What the stages take, over all child processes."""

    def __init__(self, of: Section) -> None:
        self.cpu_s = of.counter("stage_cpu_seconds", "CPU time by stage.", ["stage"])
        self.duration = of.histogram(
            "stage_duration_seconds",
            "Wall time of one pass of a stage: a batch of frames, or of records to be published. Decoding, which waits "
            "for its source, is told in CPU time of its thread for one frame.",
            STAGE_BUCKETS_S,
            ["stage"],
        )
        self.batch_frames = of.histogram("batch_frames", "Frames in a batch.", SIZE_BUCKETS)
        self.batch_faces = of.histogram("batch_faces", "Faces in a batch of frames.", SIZE_BUCKETS)
        self.batch_fill = of.histogram(
            "batch_fill_ratio",
            "Frames in a batch, of as many as fit: batch.max_frames, more of archives alone.",
            FILL_BUCKETS,
        )
        for stage in STAGES:
            self.cpu_s.labels(stage)


class BusMetrics:
    """Records on their way to the bus, over all child processes."""

    def __init__(self, of: Section) -> None:
        child = ["child"]
        self.published = of.counter("records_published", "Records of every kind that are on the bus.")
        self.unacknowledged = of.gauge(
            "bus_unacknowledged_records", "Records that were sent and are not acknowledged.", child
        )
        self.lag_s = of.gauge(
            "bus_lag_seconds",
            "For how long the oldest record that is not acknowledged has waited: under way, in the spool, or in a "
            "commit that is tried again.",
            child,
        )
        self.away_s = of.gauge(
            "bus_away_seconds",
            "For how long the bus has been away, 0 while it is there; the supervisor's own connection is the child "
            "`supervisor`.",
            child,
        )
        self.spooled = of.counter("spool_spooled_records", "Records that went to the disk since the bus was away.")
        self.replayed = of.counter("spool_replayed_records", "Records that were brought from the disk to the bus.")
        self.discarded = of.counter(
            "spool_discarded_records", "Records on the disk that were lost for want of space, or refused by the bus."
        )
        self.waiting = of.gauge("spool_waiting_records", "Records that lie on the disk.", child)


class ChildMetrics:
    """The processes that decode and analyse. Their numbers are used again: there are not many."""

    def __init__(self, of: Section) -> None:
        self.children = of.gauge("children", "Child processes, by whether their models are ready.", ["state"])
        self.started = of.counter("children_started", "Child processes that were started.")
        self.ended = of.counter(
            "children_ended",
            "Child processes that ended: `left` as they were asked to, `failed` with an exit code, or `killed`.",
            ["how"],
        )
        self.load_s = of.gauge("models_load_seconds", "How long the models took to open and warm up.", ["child"])
        self.hung = of.gauge("hung_decoders", "Readers that are stuck in a child process for good.", ["child"])
        of.describe("streamer_child_cpu_seconds_total", "counter", "CPU time of a child and its helpers.", ["child"])
        of.describe(
            "streamer_child_resident_memory_bytes",
            "gauge",
            "Memory of a child and its helpers; what several processes share is in each.",
            ["child"],
        )
        for state in ("starting", "ready"):
            self.children.labels(state)
        for how in ENDS:
            self.ended.labels(how)


class FleetMetrics:
    """A worker's place in the fleet."""

    def __init__(self, of: Section) -> None:
        self.partitions = of.gauge("partitions_assigned", "Partitions that are this worker's.", ["role"])
        self.moves = of.counter(
            "partition_moves", "Partitions that came and went: assigned, revoked, or lost without notice.",
            ["role", "move"],
        )  # fmt: skip
        self.rebalances = of.counter("rebalances", "How often any partitions came or went.", ["role"])
        self.jobs = of.gauge("jobs", "Archive jobs of this worker's partitions that are not over.", ["state"])
        self.jobs_ended = of.counter("jobs_ended", "Archive jobs that ended here.", ["state"])
        self.jobs_retried = of.counter("jobs_retried", "Archive jobs that failed here and are tried again.")

    def begin(self) -> None:
        """This process is a worker: everything is told, beginning at 0."""
        for role in ROLES:
            self.partitions.labels(role)
            self.rebalances.labels(role)
            for move in MOVES:
                self.moves.labels(role, move)
        for state in JOB_STATES:
            self.jobs.labels(state)
        for state in JOB_ENDS:
            self.jobs_ended.labels(state)
