"""The columns of an export: flat, in a fixed order, only ever added to at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from streamer.export.frames import Answer
from streamer.messages import Envelope, Observation, TrackEvent, TrackSummary, Window
from streamer.types import EXPRESSIONS

Kind = Literal["observations", "windows", "tracks"]
ColumnType = Literal["text", "integer", "real", "truth"]
Value = str | int | float | bool | None
Row = tuple[Value, ...]

RECORD_TYPES: dict[Kind, type[Envelope]] = {"observations": Observation, "windows": Window, "tracks": TrackEvent}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, the type of its values (null is possible in each), and how a record gives its value."""

    name: str
    type: ColumnType
    of: Callable[[Any], Value]


def columns(kind: Kind) -> tuple[Column, ...]:
    """The columns of an export of `kind`, in order."""
    return _COLUMNS[kind]


def rows(records: Iterable[Envelope], wanted: Sequence[Column]) -> Iterator[Row]:
    """One row a record."""
    readers = [column.of for column in wanted]
    return (tuple([read(record) for read in readers]) for record in records)


def frame_rows(stream: str, run: str, answers: Iterable[Answer]) -> Iterator[Row]:
    """One row of observations a frame; where no face was, one that is `filled` and null in all that nobody saw."""
    wanted = columns("observations")
    for answer in answers:
        if answer.observation is not None:
            yield tuple([column.of(answer.observation) for column in wanted])
            continue
        known: dict[str, Value] = {
            "stream": stream,
            "run": run,
            "label": answer.label,
            "valence": answer.valence,
            "arousal": answer.arousal,
            "frame": answer.frame,
            "filled": True,
        }
        yield tuple([known.get(column.name) for column in wanted])


def _field(name: str, type: ColumnType) -> Column:
    return Column(name, type, lambda record: getattr(record, name))


def _by_expression(prefix: str, of: Callable[[Any], tuple[float, ...] | None]) -> Iterator[Column]:
    """Seven columns, one per expression; null where the record has no such numbers."""

    def at(code: int, record: Any) -> float | None:
        numbers = of(record)
        return None if numbers is None else numbers[code]

    for code, name in enumerate(EXPRESSIONS):
        yield Column(prefix + name.lower(), "real", partial(at, code))


def _spans(name: str, of: Callable[[Any], Any]) -> Iterator[Column]:
    def at(part: str, record: Any) -> float | None:
        number: float | None = getattr(of(record), part, None)
        return number

    for part in ("min", "max", "mean"):
        yield Column(f"{name}_{part}", "real", partial(at, part))


_IDENTITY = (
    _field("stream", "text"),
    _field("run", "text"),
    Column("track_epoch", "integer", lambda record: record.track.epoch),
    Column("track", "integer", lambda record: record.track.number),
    _field("media_time_s", "real"),
    _field("capture_time_s", "real"),
    _field("time_origin", "text"),
)
_ORIGIN = (
    _field("model", "text"),
    _field("precision", "text"),
    _field("session", "text"),
    _field("epoch", "integer"),
    _field("seq", "integer"),
    _field("pts", "integer"),
    _field("id", "text"),
)


def _box(k: int, name: str) -> Column:
    return Column(f"box_{name}", "real", lambda o: o.box_xywh[k] if len(o.box_xywh) > k else None)


def _observation_columns() -> tuple[Column, ...]:
    return (
        *_IDENTITY,
        _field("label", "text"),
        *_by_expression("p_", lambda o: o.probs),
        _field("valence", "real"),
        _field("arousal", "real"),
        _field("va_origin", "text"),
        _field("confidence", "real"),
        _field("entropy", "real"),
        _field("quality", "text"),
        Column("quality_causes", "text", lambda o: ";".join(o.quality_causes) or None),
        *(_box(k, name) for k, name in enumerate("xywh")),
        _field("face_px", "real"),
        _field("detector_score", "real"),
        _field("roll_deg", "real"),
        _field("yaw_deg", "real"),
        _field("state", "text"),
        _field("state_age_s", "real"),
        Column("bare_label", "text", lambda o: o.bare.label),
        *_by_expression("bare_p_", lambda o: o.bare.probs),
        *_ORIGIN,
        Column("reused", "text", lambda o: ";".join(o.reused) or None),
        _field("frame", "integer"),
        Column("filled", "truth", lambda _: False),
    )


def _window_columns() -> tuple[Column, ...]:
    return (
        *_IDENTITY,
        _field("from_media_time_s", "real"),
        _field("to_media_time_s", "real"),
        _field("n_observations", "integer"),
        _field("complete", "truth"),
        _field("label", "text"),
        *_by_expression("p_min_", lambda w: w.probs.min),
        *_by_expression("p_max_", lambda w: w.probs.max),
        *_by_expression("p_mean_", lambda w: w.probs.mean),
        *_spans("valence", lambda w: w.valence),
        *_spans("arousal", lambda w: w.arousal),
        _field("va_origin", "text"),
        *_ORIGIN,
    )


def _summary_field(name: str, type: ColumnType) -> Column:
    return Column(name, type, lambda event: getattr(event.summary, name, None))


def _of_summary(read: Callable[[TrackSummary], Any]) -> Callable[[Any], Any]:
    return lambda event: None if event.summary is None else read(event.summary)


def _track_columns() -> tuple[Column, ...]:
    return (
        *_IDENTITY,
        _field("event", "text"),
        _field("cause", "text"),
        _summary_field("from_media_time_s", "real"),
        _summary_field("to_media_time_s", "real"),
        _summary_field("n_observations", "integer"),
        _summary_field("n_low_quality", "integer"),
        _summary_field("label", "text"),
        *_by_expression("share_", _of_summary(lambda s: s.shares)),
        *_by_expression("p_mean_", _of_summary(lambda s: s.probs_mean)),
        *_spans("valence", _of_summary(lambda s: s.valence)),
        *_spans("arousal", _of_summary(lambda s: s.arousal)),
        _summary_field("confidence_mean", "real"),
        _field("va_origin", "text"),
        *_ORIGIN,
    )


_COLUMNS: dict[Kind, tuple[Column, ...]] = {
    "observations": _observation_columns(),
    "windows": _window_columns(),
    "tracks": _track_columns(),
}
