"""A small fleet on this machine: a bus, workers as real processes, and what an operator does with them.

Nothing here sleeps for a guess: `until` reads the topics until something has come about, or a deadline has passed.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from streamer.bench.fleet.view import USUAL, Heard, View
from streamer.bench.fleet.workers import WorkerProcess
from streamer.bus.open import open_bus
from streamer.bus.protocol import Outgoing
from streamer.bus.topics import partition_of, topics
from streamer.config import Config, load
from streamer.errors import StreamerError
from streamer.fleet.retry import first_status
from streamer.fleet.submission import JobOptions, jobs_of
from streamer.messages import JOB_OVER, Job, JobCancel, StreamDefinition
from streamer.wishes import records

ACKNOWLEDGED_S = 30.0
WAIT_S = 240.0
Settings = Mapping[str, Any]
_NONE: Settings = {}
_USUAL: Settings = {"topics.partitions": 8, "worker.children": 1, "worker.streams_per_child": 32}


class Site:
    """A fleet under one prefix of topics. Everything it starts is gone when it is left.

    `settings` go over the usual ones (8 partitions, one child a worker), by dotted names.
    """

    def __init__(
        self, bus_url: str, prefix: str, folder: Path, videos: Iterable[Path], settings: Settings = _NONE
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        roots = sorted({str(video.parent.resolve()) for video in videos})
        usual = {**_USUAL, "bus": bus_url, "topics.prefix": prefix, "fleet.roots": roots}
        usual["spool.folder"] = str(folder / "spool")
        self._settings = {**usual, **settings}
        self.config = self.config_with()
        self.prefix = prefix
        self.bus = open_bus(bus_url, settings=self.config.topics)
        self.workers: dict[str, WorkerProcess] = {}
        self._views: list[View] = []

    def config_with(self, settings: Settings = _NONE) -> Config:
        """The configuration of a worker with some other settings."""
        return load(None, {}, {**self._settings, **settings})

    def names(self, stem: str, n: int) -> list[str]:
        """Names of streams that lie in all partitions in turn, so that every worker has some."""
        wanted, n_partitions = list[str](), self.config.topics.partitions
        candidates = (f"{stem}-{k}" for k in itertools.count())
        while len(wanted) < n:
            place = len(wanted) % n_partitions
            wanted.append(next(name for name in candidates if partition_of(name, n_partitions) == place))
        return wanted

    def make_topics(self) -> None:
        """Have the topics made before any worker comes."""
        self.bus.ensure_topics(topics(self.config.topics).all())

    def view(self, *names: str, heard: Heard | None = None) -> View:
        """What the topics say from their beginnings on; they must exist."""
        view = View(self.bus, self.prefix, names or USUAL, heard)
        self._views.append(view)
        return view

    # -- workers --------------------------------------------------------------------------------------------------

    def start(
        self, name: str, settings: Settings = _NONE, *, fault: str | None = None, once: bool = False
    ) -> WorkerProcess:
        """Start a worker. Its children die at `fault`; with `once` only the first of them does."""
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(msgspec.to_builtins(self.config_with(settings))))
        environment = {} if fault is None else {"STREAMER_FAULT": fault}
        if once:
            mark = self.folder / f"{name}.armed"
            mark.unlink(missing_ok=True)
            environment["STREAMER_FAULT_ONCE"] = str(mark)
        worker = WorkerProcess(name, path, self.folder / f"{name}.log", environment)
        self.workers[name] = worker
        return worker

    def running(self) -> list[WorkerProcess]:
        """The workers that live."""
        return [worker for worker in self.workers.values() if worker.running]

    # -- what operators do ----------------------------------------------------------------------------------------

    def define(self, streams: Mapping[str, Path | str], **fields: Any) -> None:
        """Wish for streams, each with its source: a file is shown again and again, at 2 frames a second."""
        usual: dict[str, Any] = {"sample_fps": 2.0, "repeat": True, "updated_s": round(time.time(), 6)}
        made = [
            StreamDefinition(**{**usual, "stream": stream, "source": str(source), **fields})
            for stream, source in streams.items()
        ]
        self.write([records.stream_definition(one, self.config.topics) for one in made])

    def remove(self, streams: Iterable[str]) -> None:
        """Take the wishes back."""
        self.write([records.stream_removal(stream, self.config.topics) for stream in streams])

    def submit(self, files: Mapping[str, Path], batch: str = "batch") -> list[Job]:
        """Ask for one job a file."""
        wanted = jobs_of([f"{name}={path}" for name, path in files.items()], batch, JobOptions(), time.time())
        outgoing: list[Outgoing] = []
        for job, partition in zip(wanted, records.job_partitions(batch, len(wanted)), strict=True):
            outgoing.append(records.job_status(first_status(job), partition, self.config.topics))
            outgoing.append(records.job(job, partition, self.config.topics))
        self.write(outgoing)
        return wanted

    def cancel(self, jobs: Sequence[Job], batch: str = "batch", n_jobs: int | None = None) -> None:
        """Ask that the first of a batch's jobs be not done."""
        places = records.job_partitions(batch, n_jobs or len(jobs))
        wishes = [JobCancel(job=job.job, requested_s=time.time()) for job in jobs]
        self.write([records.job_cancel(one, at, self.config.topics) for one, at in zip(wishes, places, strict=False)])

    def write(self, outgoing: Sequence[Outgoing]) -> None:
        """Have records written, acknowledged."""
        producer = self.bus.producer()
        try:
            producer.append(outgoing, ACKNOWLEDGED_S)
        finally:
            producer.close()

    # -- waiting --------------------------------------------------------------------------------------------------

    def until(self, view: View, holds: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> float:
        """Read until it holds; returns how long that took, in seconds. Raises `StreamerError` with what is known."""
        began_s = time.monotonic()
        while not holds():
            view.look()
            if time.monotonic() > began_s + timeout_s:
                raise StreamerError(f"{what} did not come about in {timeout_s:g} s\n{self._told(view)}")
        return time.monotonic() - began_s

    def until_live(self, view: View, streams: Iterable[str], timeout_s: float = WAIT_S) -> float:
        """Until all these streams have said, from now on, that they give frames."""
        wanted, since_s = list(streams), time.time()
        return self.until(view, lambda: len(view.live(wanted, since_s)) == len(wanted), "all streams live", timeout_s)

    def until_over(self, view: View, jobs: Sequence[Job], timeout_s: float = WAIT_S) -> float:
        """Until all these jobs are over, well or badly."""
        return self.until(
            view,
            lambda: all(job.job in view.jobs and view.jobs[job.job].state in JOB_OVER for job in jobs),
            "all jobs over",
            timeout_s,
        )

    def _told(self, view: View) -> str:
        streams = {stream: (status.state, status.epoch, status.seq) for stream, status in view.statuses.items()}
        jobs = {status.stream: (status.state, status.worker, status.records) for status in view.jobs.values()}
        logs = "\n".join(f"--- {worker.name}\n{worker.said(1500)}" for worker in self.workers.values())
        return f"streams {streams}\njobs {jobs}\n{logs}"

    # -- the end --------------------------------------------------------------------------------------------------

    def stop_all(self) -> dict[str, int]:
        """Have every worker leave; their exit codes."""
        for worker in self.running():
            worker.children()
            worker.process.terminate()
        return {worker.name: worker.wait() for worker in self.workers.values()}

    def close(self) -> None:
        """End what still runs, and free the connections."""
        for worker in self.workers.values():
            worker.end()
        for view in self._views:
            view.close()
        self.bus.close()

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
