from __future__ import annotations

import csv
import io
import json
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from streamer.errors import UsageError
from streamer.export import Format, columns, export
from streamer.export.columns import RECORD_TYPES, Kind
from streamer.messages import Envelope, Observation
from tests.synthetic_run import make_run

ODD = 'say "hi", naïve\n名前;\t=1+1 \U0001f600'

NAMES = (
    "stream run track_epoch track media_time_s capture_time_s time_origin label "
    "p_neutral p_angry p_disgust p_fear p_happy p_sad p_surprise valence arousal va_origin confidence entropy "
    "quality quality_causes box_x box_y box_w box_h face_px detector_score roll_deg yaw_deg state state_age_s "
    "bare_label bare_p_neutral bare_p_angry bare_p_disgust bare_p_fear bare_p_happy bare_p_sad bare_p_surprise "
    "model precision session epoch seq pts id reused frame filled"
)


def records(kind: Kind, streams: tuple[str, str] = ("a", "b")) -> Sequence[Envelope]:
    run = make_run(streams=streams, n_frames=120)
    found: dict[Kind, Sequence[Envelope]] = {
        "observations": run.observations,
        "windows": run.windows,
        "tracks": run.tracks,
    }
    return found[kind]


def by_stream(found: Sequence[Envelope]) -> list[Envelope]:
    return sorted(found, key=lambda record: record.stream)


def read_back(path: Path, format: Format, kind: Kind) -> list[dict[str, Any]]:
    """The rows of an export with values in their types, as a tool would read them."""
    if format == "parquet":
        return list(pq.read_table(path).to_pylist())
    if format == "jsonl":
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    types = {column.name: column.type for column in columns(kind)}
    read: dict[str, Callable[[str], Any]] = {
        "text": str,
        "integer": int,
        "real": float,
        "truth": {"true": True, "false": False}.__getitem__,
    }
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: None if text == "" else read[types[name]](text) for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("kind", ["observations", "windows", "tracks"])
@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_what_is_written_reads_back_equal(tmp_path: Path, format: Format, kind: Kind) -> None:
    made = records(kind, streams=(ODD, "plain"))
    done = export(made, format, tmp_path / "out", kind)
    assert done.rows == len(made)
    assert done.skipped == {}
    expected = [{column.name: column.of(record) for column in columns(kind)} for record in by_stream(made)]
    assert read_back(tmp_path / "out", format, kind) == expected


def test_observations_are_told_flat() -> None:
    names = [column.name for column in columns("observations")]
    assert " ".join(names) == NAMES, "tools rely on these names and their order: add new ones at the end"
    poor = next(o for o in make_run().observations if o.quality == "low")
    row = {column.name: column.of(poor) for column in columns("observations")}
    assert row["label"] is None
    assert row["quality_causes"] == "yaw;face_px"
    assert [row[f"p_{name}"] for name in ("neutral", "surprise")] == [poor.probs[0], poor.probs[6]]
    assert (row["box_x"], row["box_h"]) == (poor.box_xywh[0], poor.box_xywh[3])


@pytest.mark.parametrize("kind", ["observations", "windows", "tracks"])
def test_every_number_of_a_record_has_a_column(kind: Kind) -> None:
    """A field added to the messages must be added here too, or left out on purpose."""
    left_out = {"v", "epoch_time_s", "prev_epoch", "prev_seq"}
    renamed = {"box_xywh": "box_x", "probs": "p_neutral", "bare": "bare_label", "summary": "n_low_quality"}
    if kind == "windows":
        renamed |= {"probs": "p_min_neutral", "valence": "valence_min", "arousal": "arousal_max"}
    names = {column.name for column in columns(kind)}
    fields = {field.name for field in msgspec.structs.fields(RECORD_TYPES[kind])} - left_out
    assert {renamed.get(field, field) for field in fields} <= names


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_order_is_by_stream_then_as_published_each_once(tmp_path: Path, format: Format) -> None:
    made = list(records("observations"))
    mixed = made[::2] + made[1::2] + random.Random(3).sample(made, 50)
    export(mixed, format, tmp_path / "out")
    rows = read_back(tmp_path / "out", format, "observations")
    published = [o.id for o in by_stream(made[::2] + made[1::2])]
    assert [row["id"] for row in rows] == published
    assert export(mixed, format, tmp_path / "again").skipped == {"duplicate": 50}
    assert (tmp_path / "again").read_bytes() == (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_nothing_makes_a_file_without_rows(tmp_path: Path, format: Format) -> None:
    assert export([], format, tmp_path / "out").rows == 0
    assert read_back(tmp_path / "out", format, "observations") == []
    assert (tmp_path / "out").exists()


def test_standard_output_gets_the_same_bytes(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    made = records("observations")
    formats: tuple[Format, ...] = ("csv", "jsonl")
    for wanted in formats:
        export(made, wanted, tmp_path / "out")
        done = export(made, wanted, "-")
        assert capfdbinary.readouterr().out == (tmp_path / "out").read_bytes()
        assert done.out == "-"
    with pytest.raises(UsageError, match="standard output"):
        export(made, "parquet", "-")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'affect-streamer\[parquet\]'"):
        export(records("observations"), "parquet", tmp_path / "out.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    def breaking() -> Iterator[Observation]:
        yield from make_run(n_frames=30).observations
        raise RuntimeError("the bus went away")

    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        export(breaking(), "csv", path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path, format: Format) -> None:
    one = make_run(n_frames=2).observations[0]

    def peak_bytes(n: int) -> int:
        tracemalloc.start()
        export((msgspec.structs.replace(one, id=f"{k:032x}") for k in range(n)), format, tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(10)
    small, large = peak_bytes(4_000), peak_bytes(12_000)
    assert large < 1.3 * small, (small, large)


def test_csv_numbers_are_the_shortest_that_read_back(tmp_path: Path) -> None:
    one = msgspec.structs.replace(make_run(n_frames=2).observations[0], valence=0.1, arousal=1e-06, media_time_s=0.0)
    export([one], "csv", tmp_path / "out")
    row = next(csv.DictReader(io.StringIO((tmp_path / "out").read_text(encoding="utf-8"))))
    assert (row["valence"], row["arousal"], row["media_time_s"]) == ("0.1", "1e-06", "0.0")
    assert b"\r" not in (tmp_path / "out").read_bytes()
