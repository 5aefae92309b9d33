"""What the messages are, for machines (JSON Schema) and for people (the tables in docs/messages.md).

`python -m streamer.schema docs/messages.md` writes the tables anew.
"""

from __future__ import annotations

import re
import sys
import typing
from pathlib import Path
from types import NoneType
from typing import Any

import msgspec

from streamer.bus.topics import Topics, topics
from streamer.config import TopicSettings
from streamer.messages import (
    Bare,
    DeadLetter,
    Envelope,
    Observation,
    ProbsSpan,
    RunRecord,
    SourceResult,
    Span,
    Status,
    Track,
    TrackEvent,
    TrackSummary,
    Window,
)

RECORDS: tuple[type[msgspec.Struct], ...] = (Observation, Window, TrackEvent, Status, RunRecord, DeadLetter)
PARTS: tuple[type[msgspec.Struct], ...] = (Track, Bare, Span, ProbsSpan, TrackSummary, SourceResult)

_MEANINGS = {
    "v": "schema version",
    "id": "32 hex digits, unique within the topic; the same record sent again has the same id",
    "stream": "stream id; also the record's key",
    "run": "the run that made the record",
    "session": "one opening of the source: an archive file's sha256; live, the epoch and the number of the connection",
    "model": "everything that shaped the answer: backbone and temporal head",
    "precision": "numeric precision the models ran at",
    "epoch": "which ownership of the stream wrote this; rises with each new owner; 0 in archive topics",
    "epoch_time_s": "when that ownership began, by the bus's clock, seconds since 1970 UTC",
    "seq": "number of this record among the stream's in this topic and epoch, from 0: a hole is a loss",
    "prev_epoch": "in the first record of an epoch: the epoch before",
    "prev_seq": "in the first record of an epoch: the last seq of the epoch before that the snapshot knew",
    "pts": "presentation time stamp of the frame, in the source's time base",
    "media_time_s": "seconds since the source began; never goes back",
    "capture_time_s": "when the frame was captured, seconds since 1970 UTC",
    "time_origin": "who knew the capture time",
    "track": "the face's track",
    "label": "expression: Neutral, Angry, Disgust, Fear, Happy, Sad or Surprise; null where there is none to trust",
    "probs": "probability of Neutral, Angry, Disgust, Fear, Happy, Sad, Surprise, in this order",
    "valence": "-1 (unpleasant) to 1 (pleasant)",
    "arousal": "-1 (calm) to 1 (excited)",
    "va_origin": "predicted: by a head trained on human valence/arousal annotations; derived: from anything else",
    "confidence": "calibrated probability of the likeliest expression",
    "entropy": "of probs, in nats: 0 certain, 1.946 (ln 7) undecided",
    "quality": "low below the set limits of face size, pose and detector score: label is null then, probs stay",
    "quality_causes": "which limits: small_face, extreme_yaw, extreme_roll, weak_detection, unusable_points",
    "box_xywh": "the face: left, top, width, height as fractions of the frame",
    "face_px": "shorter side of the box in pixels at the detector's input scale",
    "detector_score": "0 to 1",
    "roll_deg": "the head's tilt in the picture, from the five points, degrees",
    "yaw_deg": "the head's turn to a side, roughly, from the five points, degrees",
    "state": "cold: began with nothing; restored: from a snapshot; warm: has seen one full window since",
    "state_age_s": "seconds of media time since the track's state began",
    "bare": "what the backbone alone said of this frame, before time was taken into account",
    "from_media_time_s": "media time of the first observation",
    "to_media_time_s": "media time of the last observation",
    "n_observations": "how many observations",
    "n_low_quality": "how many of them were of low quality",
    "complete": "false when the track ended inside the block",
    "event": "appeared or left",
    "cause": "a short, stable word for why",
    "message": "a sentence for people",
    "summary": "the face's whole life, when it left",
    "frame_age_s": "seconds since the last frame came",
    "decoded": "frames decoded so far",
    "analysed": "frames searched for faces so far",
    "faces": "faces seen so far",
    "records": "records written so far",
    "tracks": "tracks begun so far",
    "corrupt_packets": "packets that could not be decoded so far",
    "dropped": "frames not analysed so far, by cause",
    "restarts": "how often work on the source was begun again after a process died",
    "done_before": "an earlier run had finished it; nothing was analysed now",
    "number": "number of the track within the epoch; says nothing of identity",
    "min": "smallest",
    "max": "largest",
    "mean": "mean",
    "shares": "fraction of the labelled observations per expression, in the order of probs",
    "probs_mean": "mean of probs",
    "confidence_mean": "mean of confidence",
    "source": "the source's address without secrets",
    "mode": "live or archive",
    "width": "pixels, as displayed",
    "height": "pixels, as displayed",
    "duration_s": "seconds of media analysed",
    "stage_s": "CPU-thread seconds per stage",
    "started_s": "seconds since 1970 UTC",
    "finished_s": "seconds since 1970 UTC",
    "software": "name and version of what ran",
    "machine": "what it ran on",
    "models": "name and sha256 of each model",
    "licences": "licence of each model",
    "calibration": "how confidence was calibrated",
    "settings": "settings that shaped the results",
    "sources": "how each source went",
    "topic": "where the unreadable record lies",
    "partition": "where the unreadable record lies",
    "offset": "where the unreadable record lies",
    "value": "its bytes (base 64 in JSON)",
}
_MEANINGS_BY_KIND = {
    (Window, "probs"): "minimum, maximum and mean of each expression's probability over the block",
    (Window, "valence"): "minimum, maximum and mean over the block",
    (Window, "arousal"): "minimum, maximum and mean over the block",
    (Window, "label"): "dominant expression of the block; null where there is none to trust",
    (TrackSummary, "valence"): "minimum, maximum and mean over its life",
    (TrackSummary, "arousal"): "minimum, maximum and mean over its life",
    (TrackSummary, "label"): "dominant expression of its life; null where there is none to trust",
    (Status, "state"): "connecting, live, stalled, backing_off, ended or failed",
    (RunRecord, "state"): "running, done, failed or interrupted",
    (SourceResult, "state"): "running, done, failed or interrupted",
    (ProbsSpan, "min"): "smallest, per expression",
    (ProbsSpan, "max"): "largest, per expression",
    (ProbsSpan, "mean"): "mean, per expression",
}
_SAYS = {
    "observations": "one face in one frame: `Observation`",
    "windows": "one face over one tumbling block of observations: `Window`",
    "tracks": "a face appeared or left: `TrackEvent`",
    "archive_observations": "the same from anything run in archive mode, in transactions",
    "archive_windows": "the same from anything run in archive mode, in transactions",
    "archive_tracks": "the same from anything run in archive mode, in transactions",
    "archive_state": "archive checkpoints (not for other programs)",
    "status": "a source changed its state, and a heartbeat a second: `Status`",
    "streams": "wanted streams, written by operators",
    "state": "claims, stream and track checkpoints (not for other programs)",
    "jobs": "archive work to do",
    "jobs_status": "how far archive work is",
    "runs": "the run record: `RunRecord`",
    "deadletter": "a record that could not be read: `DeadLetter`",
}
_KEYS = {"state": "stream id, or stream id / track", "archive_state": "stream id / run, or stream id / run / track"}
_KEYS |= {"jobs": "job id", "jobs_status": "job id", "runs": "run id", "deadletter": "the original key"}
_MARK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def meaning(kind: type[msgspec.Struct], field: str) -> str:
    """What a field says, with its unit. Raises `KeyError` for a field nobody has described."""
    return _MEANINGS_BY_KIND.get((kind, field)) or _MEANINGS[field]


def json_schemas() -> dict[str, Any]:
    """JSON Schema (2020-12) of every record: one document, the records and their parts under `$defs`."""
    _, parts = msgspec.json.schema_components(RECORDS, ref_template="#/$defs/{name}")
    for kind in (*RECORDS, *PARTS):
        for field, schema in parts[kind.__name__]["properties"].items():
            reference = schema.pop("$ref", None)
            if reference is not None:
                schema["allOf"] = [{"$ref": reference}]
            schema["description"] = meaning(kind, field)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "affect-streamer messages",
        "$defs": parts,
    }


def topics_table() -> str:
    """The topics as a Markdown table."""
    names = topics(TopicSettings())
    rows = ["| topic | key | cleanup | partitions | what a record says |", "| --- | --- | --- | --- | --- |"]
    for field in Topics.__slots__:
        topic = getattr(names, field)
        cleanup = topic.cleanup.replace(",", " + ")
        rows.append(
            f"| `{topic.name}` | {_KEYS.get(field, 'stream id')} | {cleanup} | {topic.partitions} | {_SAYS[field]} |"
        )
    return "\n".join(rows) + "\n"


def fields_table(kind: type[msgspec.Struct]) -> str:
    """A record's own fields as a Markdown table: those every stream record carries stand in `Envelope`."""
    shared = set(Envelope.__struct_fields__) if issubclass(kind, Envelope) and kind is not Envelope else set()
    hints = typing.get_type_hints(kind)
    rows = ["| field | type | meaning |", "| --- | --- | --- |"]
    rows += [
        f"| `{name}` | {_type_name(hints[name])} | {meaning(kind, name)} |"
        for name in kind.__struct_fields__
        if name not in shared
    ]
    return "\n".join(rows) + "\n"


def write_tables(page: str) -> str:
    """The page with every generated part (`<!-- generated: Name -->` to `<!-- end -->`) written anew."""
    kinds: tuple[type[msgspec.Struct], ...] = (Envelope, *RECORDS, *PARTS)
    tables = {kind.__name__: fields_table(kind) for kind in kinds} | {"topics": topics_table()}
    return _MARK.sub(lambda match: f"{match[1]}{tables[match[2]]}{match[3]}", page)


def _type_name(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"map of {_type_name(arguments[1])}"
    if arguments:
        return " or ".join(_type_name(argument) for argument in arguments)
    simple = {str: "string", int: "integer", float: "real", bool: "true or false", bytes: "bytes", NoneType: "null"}
    return simple.get(hint) or f"[{hint.__name__}](#{hint.__name__.lower()})"


def main() -> None:
    """Write the tables of the page named on the command line anew."""
    page = Path(sys.argv[1])
    page.write_text(write_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
