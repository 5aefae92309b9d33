"""Files whose index claims far more than they hold."""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamer.clock import FakeClock
from streamer.config import DecodeSettings
from streamer.decode import open_source
from streamer.decode.bounded import MOST_ENTRIES, MOST_TIMES, SLACK_BYTES, bounded, spells_out
from streamer.errors import SourceDamaged
from streamer.source import Source
from tests.unit.decode.videos import pictures, write_video
from tests.web import fixed, ranged, site, source_of

SOURCE = Source("v", "/v.mp4", "file", "archive")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def table(kind: bytes, *numbers: int) -> bytes:
    return box(kind, bytes(4) + struct.pack(f">{len(numbers)}I", *numbers))


def track(*tables: bytes, handler: bytes = b"vide", edits: bytes = b"") -> bytes:
    named = box(b"hdlr", bytes(8) + handler + bytes(12))
    media = box(b"mdia", named + box(b"minf", box(b"stbl", b"".join(tables))))
    return box(b"trak", (box(b"edts", edits) if edits else b"") + media)


def movie(*tracks: bytes) -> bytes:
    return box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", bytes(100)) + b"".join(tracks))


def claims(data: bytes, *, whole: bool = True) -> int:
    return spells_out(BytesIO(data), whole=whole)


def claimed_by(path: Path) -> int:
    with path.open("rb") as file:
        return spells_out(file)


def many(n: int) -> bytes:
    return track(table(b"stts", 1, n, 512), table(b"stsz", 1, n))


@pytest.mark.parametrize(("ending", "options"), [("mp4", None), ("mov", None), ("mp4", "frag_keyframe+empty_moov")])
def test_a_usual_file_is_read_as_it_is(tmp_path: Path, ending: str, options: str | None) -> None:
    video = write_video(
        tmp_path / f"v.{ending}", pictures(40), "mpeg4", container_options={"movflags": options} if options else None
    )
    assert 40 <= claimed_by(video) <= 120
    source = Source("v", str(video), "file", "archive")
    with open_source(source, DecodeSettings(), FakeClock()) as decoder:
        assert len(list(decoder)) == 40


def test_a_day_of_pictures_and_sound_is_within_the_bound() -> None:
    day = movie(many(24 * 3600 * 60), track(table(b"stsz", 1, 24 * 3600 * 48_000 // 1024), handler=b"soun"))
    assert 9_000_000 < claims(day) < MOST_ENTRIES


def test_sound_without_compression_counts_by_its_chunks() -> None:
    """FFmpeg's own index of it is short, although the file names every sample."""
    day, half_a_second = 24 * 3600, 24_000
    tables = (
        table(b"stts", 1, day * 48_000, 1),
        table(b"stsc", 2, 1, half_a_second, 1, 2 * day, 7, 1),
        table(b"stsz", 4, day * 48_000),
        table(b"stco", 2 * day),
    )
    assert 4_000_000 < claims(movie(track(*tables, handler=b"soun"))) < 5_000_000
    assert claims(movie(track(*tables, handler=b"vide"))) > MOST_ENTRIES
    assert claims(movie(track(*tables, box(b"hdlr", bytes(8) + b"vide"), handler=b"soun"))) > MOST_ENTRIES
    claimed = table(b"stsc", 1, 1, 0x7FFFFFFF, 1)
    assert claims(movie(track(tables[0], claimed, *tables[2:], handler=b"soun"))) > MOST_ENTRIES


def test_a_real_file_with_sound_without_compression(tmp_path: Path) -> None:
    path = tmp_path / "v.mov"
    with av.open(str(path), "w") as out:
        sound: Any = out.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for second in range(60):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = 48_000, second * 48_000
            out.mux(sound.encode(frame))
    assert claimed_by(path) < 60 * 48 + 100


def test_edits_multiply_what_they_show() -> None:
    shown, hidden = struct.pack(">IiI", 100, 0, 1 << 16), struct.pack(">IiI", 100, -1, 1 << 16)
    for parts, factor in (([hidden, shown], 1), ([shown] * 3, 3), ([hidden], 1)):
        edits = box(b"elst", bytes(4) + struct.pack(">I", len(parts)) + b"".join(parts))
        assert claims(movie(track(table(b"stsz", 1, 1000), edits=edits))) // 1000 == factor
    wide = struct.pack(">QqI", 100, 0, 1 << 16)
    edits = box(b"elst", b"\1" + bytes(3) + struct.pack(">I", 2) + wide * 2)
    assert claims(movie(track(table(b"stsz", 1, 1000), edits=edits))) // 1000 == 2
    lying = box(b"elst", bytes(4) + struct.pack(">I", 1 << 31) + shown)  # so many are not there
    assert claims(movie(track(table(b"stsz", 1, 1000), edits=lying))) // 1000 == 1


ENORMOUS = {
    "pictures": movie(many(MOST_ENTRIES + 1)),
    "two tracks": movie(many(MOST_ENTRIES // 2), many(MOST_ENTRIES // 2)),
    "compact sizes": movie(track(box(b"stz2", bytes(7) + b"\x08" + struct.pack(">I", MOST_ENTRIES)))),
    "table outside of its place": movie(track() + table(b"stsz", 1, MOST_ENTRIES)),
    "longer than what it lies in": box(b"ftyp", b"isom")
    + struct.pack(">I", 100)
    + b"moov"
    + struct.pack(">I", 1 << 30)
    + b"trak"
    + table(b"stsz", 1, MOST_ENTRIES),
    "hidden in free space": box(b"ftyp", b"isom") + box(b"free", box(b"mvhd", b"") + many(MOST_ENTRIES)),
    "one of 64 bits": box(b"ftyp", b"isom")
    + struct.pack(">I4sQ", 1, b"moov", 16 + len(many(MOST_ENTRIES)))
    + many(MOST_ENTRIES),
    "a fragment": movie() + box(b"moof", box(b"traf", table(b"trun", MOST_ENTRIES))),
}


@pytest.mark.parametrize("what", ENORMOUS)
def test_an_index_that_spells_out_to_more_than_memory_is_refused_unopened(tmp_path: Path, what: str) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(ENORMOUS[what] + box(b"mdat", bytes(100)))
    with pytest.raises(SourceDamaged, match="more than 10000000 pictures") as caught:
        open_source(Source("v.mp4", str(path), "file", "archive"), DecodeSettings(), FakeClock())
    assert "v.mp4" in str(caught.value)


@pytest.mark.parametrize("first", [b"", box(b"mdat", bytes(400_000))])
def test_of_a_file_over_http_the_index_is_looked_at_before_it_is_opened(first: bytes) -> None:
    with site() as it:
        it.pages["/v.mp4"] = ranged(box(b"ftyp", b"isom") + first + ENORMOUS["pictures"][12:])
        with pytest.raises(SourceDamaged, match="more than 10000000 pictures"):
            open_source(source_of(f"{it.url}/v.mp4", "http"), DecodeSettings(), FakeClock())
        assert len(it.asked) == (2 if first else 1)


def test_looking_at_a_small_file_over_http_costs_no_request(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", pictures(40), "mpeg4", container_options={"movflags": "faststart"})
    with site() as it:
        it.pages["/v.mp4"] = ranged(video.read_bytes())
        with open_source(source_of(f"{it.url}/v.mp4", "http"), DecodeSettings(), FakeClock()) as decoder:
            assert len(list(decoder)) == 40
        assert len(it.asked) == 1


def test_the_index_before_the_segments_of_a_stream_is_looked_at_too() -> None:
    with site() as it:
        playlist = b'#EXTM3U\n#EXT-X-MAP:URI="head.mp4"\n#EXTINF:2,\n1.m4s\n#EXT-X-ENDLIST\n'
        it.pages = {
            "/v.m3u8": fixed(playlist),
            "/head.mp4": fixed(ENORMOUS["pictures"]),
            "/1.m4s": fixed(box(b"moof", b"")),
        }
        with pytest.raises(SourceDamaged, match="more than 10000000 pictures"):
            open_source(source_of(f"{it.url}/v.m3u8"), DecodeSettings(), FakeClock())


def test_over_http_fragments_are_not_asked_for() -> None:
    data = movie(many(10)) + box(b"moof", box(b"traf", table(b"trun", 1000)))
    assert claims(data) - claims(data, whole=False) > 1000


def test_what_is_no_iso_file_claims_nothing() -> None:
    assert claims(b"\x47" * 400 + many(MOST_ENTRIES)) == 0
    assert claims(b"") == claims(b"moov") == 0


def test_boxes_without_end_count_too() -> None:
    assert claims(box(b"ftyp", b"isom") + box(b"skip", b"") * 1000) == 1001


def test_a_file_that_gives_the_same_bytes_for_ever_ends() -> None:
    packet = av.Packet(1000)
    n = (MOST_TIMES * 5000 + SLACK_BYTES) // 1000
    packets = bounded(iter([packet] * (n + 1)), SOURCE, 5000)
    assert sum(1 for _ in islice(packets, n)) == n
    with pytest.raises(SourceDamaged, match="again and again"):
        next(packets)
