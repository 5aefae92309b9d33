"""Files whose index claims far more than they hold."""

from __future__ import annotations

import struct
from itertools import islice
from pathlib import Path

import av
import pytest

from streamer.clock import FakeClock
from streamer.config import DecodeSettings
from streamer.decode import open_source
from streamer.decode.bounded import MOST_ENTRIES, MOST_TIMES, SLACK_BYTES, bounded, spells_out
from streamer.errors import SourceDamaged
from streamer.source import Source
from tests.videos import pattern

SOURCE = Source("v", "/v.mp4", "file", "archive")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def test_a_usual_file_is_read_as_it_is(tmp_path: Path) -> None:
    video = pattern(tmp_path / "v.mp4", size=(64, 48), n_frames=12)
    assert 12 <= spells_out(video) <= 24
    source = Source("v", str(video), "file", "archive")
    with open_source(source, DecodeSettings(), FakeClock()) as decoder:
        assert len(list(decoder)) == 12


def test_an_index_that_spells_out_to_more_than_memory_is_refused_unopened(tmp_path: Path) -> None:
    edits = box(b"edts", box(b"elst", bytes(8) + bytes(12 * 1000)))
    sizes = box(b"stsz", bytes(4) + struct.pack(">II", 1, MOST_ENTRIES // 500))
    path = tmp_path / "v.mp4"
    path.write_bytes(box(b"ftyp", b"isom") + box(b"moov", box(b"trak", edits + sizes)))
    assert spells_out(path) > MOST_ENTRIES
    with pytest.raises(SourceDamaged, match="claims more pictures"):
        open_source(Source("v", str(path), "file", "archive"), DecodeSettings(), FakeClock())


def test_what_is_no_iso_file_claims_nothing(tmp_path: Path) -> None:
    path = tmp_path / "v.ts"
    path.write_bytes(b"\x47" * 400 + b"elst" + b"\xff" * 400)
    assert spells_out(path) == 0


def test_a_file_that_gives_the_same_bytes_for_ever_ends() -> None:
    packet = av.Packet(1000)
    n = (MOST_TIMES * 5000 + SLACK_BYTES) // 1000
    packets = bounded(iter([packet] * (n + 1)), SOURCE, 5000)
    assert sum(1 for _ in islice(packets, n)) == n
    with pytest.raises(SourceDamaged, match="again and again"):
        next(packets)
