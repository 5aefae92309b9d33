"""Every event that is logged: a stable name, its levels, and what it means. The tables of docs/logs.md.

A name is never used for something else. `python -m streamer.log_events [PAGE]` writes the page anew.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from streamer.log import Level

PAGE = Path("docs/logs.md")
_MARK = re.compile(r"(<!-- generated: events -->\n).*?(<!-- end -->)", re.DOTALL)
_D: tuple[Level, ...] = ("debug",)
_I: tuple[Level, ...] = ("info",)
_W: tuple[Level, ...] = ("warning",)
_E: tuple[Level, ...] = ("error",)

EVENTS: Mapping[str, tuple[tuple[Level, ...], str]] = {
    "books.not_kept": (_E, "the run record could not be written"),
    "bus.away": (("debug", "warning"), "the bus does not answer; `debug` for each try after the first"),
    "bus.back": (_W, "the bus answers again, after `away_s`"),
    "bus.behind": (_I, "a child's records wait for the bus, or some were discarded"),
    "bus.refused": (_E, "the bus will not take a record of the supervisor's, whatever is tried"),
    "bus.silent": (_D, "a new connection was not answered in time; the next one is given longer"),
    "checkpoint.bus_away": (_W, "a stream begins without its state, which the bus did not give in time"),
    "checkpoint.late": (_W, "snapshots are `late_s` behind: more state than `checkpoint.live_bytes_per_s` allows"),
    "checkpoint.refused": (_I, "a stored state does not fit what is asked for now; the stream begins anew"),
    "checkpoint.too_old": (_I, "a stored state is older than `checkpoint.grace_s`; the stream begins anew"),
    "checkpoint.tracks_refused": (_I, "some tracks of a stored state cannot be used"),
    "child.broke": (_E, "a child process ends for an error of ours; another takes its streams up"),
    "child.died": (_W, "a child process ended, and its streams go to another, or were given up"),
    "child.dismissed": (_I, "a child that had nothing to do any more was let go"),
    "child.ended": (_I, "a child process is gone"),
    "child.failed": (_E, "a child cannot go on: models or bus"),
    "child.hung": (_E, "a child said nothing for too long and was killed"),
    "child.immortal": (_E, "a child could not be killed: it is stuck in the kernel"),
    "child.not_started": (_E, "the machine has no room for another process"),
    "child.spent": (_E, "too many readers are stuck in a child; it hands its streams over and ends"),
    "child.started": (_I, "a child process was started"),
    "child.started_already": (_W, "a child was told twice how to begin"),
    "claim.delayed": (_W, "live streams could not be claimed on the bus yet"),
    "claim.refused": (_E, "the bus refused the claims of streams; they are tried again"),
    "commit.fenced": (_I, "a commit came with an older membership and is tried with the newer"),
    "commit.waits": (_W, "an archive's commit waits for the bus; decoding waits with it"),
    "control.broke": (_E, "a request over HTTP failed for an error of ours"),
    "control.listens": (_I, "what is served over HTTP (`what`: control or metrics) and where"),
    "dashboard.broke": (_E, "the dashboard could not read the bus, or write to it, for an error of ours"),
    "dashboard.bus_away": (_I, "the dashboard tries the bus again; its pages say that what they show is old"),
    "definition.rejected": (_W, "a record of the control topic cannot be followed; it is a dead letter"),
    "desk.broke": (_E, "something the supervisor asked of the bus failed for an error of ours"),
    "drain.timeout": (_W, "what was to be committed at the end was not in time"),
    "follower.away": (_I, "the statuses of jobs cannot be read just now"),
    "follower.broke": (_E, "reading the statuses of jobs failed for an error of ours; it is begun again"),
    "group.away": (_W, "the group of workers cannot be reached"),
    "group.back": (_W, "the group of workers is reached again"),
    "hand.broke": (_E, "a helper process ends for an error of ours; its child goes on alone"),
    "hand.lost": (_W, "a helper process is gone or too slow; its child does its part"),
    "hand.no_models": (_W, "a helper process could not open the models"),
    "hand.not_started": (_W, "the machine has no room for a helper process"),
    "hand_over.late": (_W, "state was not written in time before partitions moved"),
    "job.end_lost": (_E, "the bus will not take the end of a job"),
    "job.end_unsaid": (_W, "the ends of jobs could not be written; they are tried again"),
    "job.ends": (_I, "a job ended, or is to be tried again"),
    "job.not_begun": (_W, "a job could not be begun; it is tried again"),
    "job.rejected": (_W, "a record that asks for a job cannot be followed; it is a dead letter"),
    "job.rejection_lost": (_E, "the bus will not take the rejection of a job"),
    "jobs.unread": (_E, "the statuses of a partition's jobs cannot be read; its jobs wait"),
    "library.said": (("debug", "info", "warning", "error"), "a library's own message, with its `logger`"),
    "membership.broke": (_E, "the membership in a group failed for an error of ours; it is begun again"),
    "models.refused": (_E, "the models that some streams or jobs ask for cannot be had"),
    "notice.refused": (_E, "the bus will not take a status record of the supervisor's"),
    "partitions.assigned": (_I, "partitions are this worker's from now on"),
    "partitions.lost": (_W, "partitions may be another worker's already: the broker was out of reach"),
    "partitions.revoked": (_I, "partitions go to another worker"),
    "position.fenced": (_I, "a position was not remembered, since the group has moved on"),
    "process.broke": (_E, "the process, or one of its threads, ends for an error of ours"),
    "publisher.broke": (_E, "publishing ends for an error of ours"),
    "run.unreadable": (_W, "an earlier record of the run cannot be read"),
    "source.broke": (_E, "reading a source failed for an error of ours"),
    "source.given_up": (_W, "the watchdog leaves a reader behind; `cause` says why"),
    "source.gone": (_I, "a live source ended or could not be opened; it is tried again"),
    "source.hung": (_W, "readers are stuck inside of FFmpeg"),
    "spool.began": (_I, "records go to the disk: the bus is slow or away"),
    "spool.broke": (_E, "the spool is not delivered for an error of ours"),
    "spool.left": (_W, "records are left on the disk for the next worker of this name"),
    "spool.moved_aside": (_W, "a spool that cannot be read was moved aside"),
    "status.rejected": (_W, "a job's status cannot be read; it is a dead letter"),
    "stream.not_forgotten": (_E, "what is stored of a removed stream could not be taken back"),
    "stream.open_already": (_W, "a child was asked for a stream that it has"),
    "stream.removed": (_I, "nobody wants the stream any more"),
    "stream.resumed": (_I, "a stream goes on at a checkpoint"),
    "worker.begins": (_I, "a worker starts"),
    "worker.joined": (_I, "a worker is asking for its share"),
}


def table() -> str:
    """The events as a Markdown table."""
    rows = ["| event | level | what it means |", "| --- | --- | --- |"]
    rows += [f"| `{name}` | {', '.join(levels)} | {says} |" for name, (levels, says) in sorted(EVENTS.items())]
    return "\n".join(rows) + "\n"


def write_table(page: str) -> str:
    """The page with the generated part written anew."""
    return _MARK.sub(lambda match: f"{match[1]}{table()}{match[2]}", page)


def main(arguments: list[str]) -> int:
    """Write the page."""
    page = Path(arguments[0]) if arguments else PAGE
    page.write_text(write_table(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
