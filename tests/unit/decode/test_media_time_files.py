"""Media time of real files whose time stamps are in trouble, read by the real decoder."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from streamer.config import TrackSettings
from streamer.faces.track import Tracker
from streamer.types import Frame
from tests.unit.decode.test_decoder import kept, level, opened
from tests.unit.decode.videos import pictures, write_video
from tests.unit.faces.scripted import detections

STEP_S = 0.04
PACKET_BYTES = 188


def read(path: Path) -> list[Frame]:
    """All frames, in strictly rising media time, each (segment, pts) once."""
    frames, error = kept(opened(path))
    assert error is None, error
    for before, after in pairwise(frames):
        assert after.media_time_s > before.media_time_s
        assert (after.segment, after.pts) > (before.segment, before.pts)
    return frames


def follows(frames: Sequence[Frame], true_s: Sequence[float], frame_s: float = STEP_S) -> None:
    """Each frame is within one frame of its true time, and a still face is one track all along."""
    assert len(frames) == len(true_s)
    tracker = Tracker(TrackSettings())
    still = detections((100, 80, 160, 152, 0.9))
    for frame, true in zip(frames, true_s, strict=True):
        assert abs(frame.media_time_s - true) <= frame_s * 1.001, (frame.index, frame.pts)
        assert [face.track for face in tracker.update(still, frame.media_time_s).faces] == [1]


def even(n: int) -> list[float]:
    return [i * STEP_S for i in range(n)]


def stamped(data: bytes | bytearray) -> list[int]:
    """Where the video's time stamps lie in a transport stream (ISO 13818-1: a PES header with a PTS)."""
    places = []
    for at in range(0, len(data), PACKET_BYTES):
        header = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
        if data[at + 1] & 0x40 and data[header : header + 4] == b"\x00\x00\x01\xe0" and data[header + 7] & 0x80:
            places.append(header)
    return places


def pts_at(data: bytes | bytearray, header: int) -> int:
    five = data[header + 9 : header + 14]
    return (five[0] >> 1 & 7) << 30 | five[1] << 22 | five[2] >> 1 << 15 | five[3] << 7 | five[4] >> 1


def restamp(data: bytearray, header: int, pts: int) -> None:
    """Another PTS for one frame; its DTS, where it has one, is made the same."""
    for at in (9, 14) if data[header + 7] & 0x40 else (9,):
        first = data[header + at] & 0xF0
        low = (
            first | pts >> 29 & 0xE | 1,
            pts >> 22 & 0xFF,
            pts >> 14 & 0xFE | 1,
            pts >> 7 & 0xFF,
            pts << 1 & 0xFE | 1,
        )
        data[header + at : header + at + 5] = bytes(low)


def unstamp(data: bytearray, header: int) -> None:
    """No PTS and no DTS for one frame: their places become stuffing."""
    data[header + 7] &= 0x3F
    size = data[header + 8]
    data[header + 9 : header + 9 + size] = b"\xff" * size


def ts(path: Path, n: int, first_frame: int, b_frames: int = 0) -> bytes:
    return write_video(path, pictures(n), "libx264", first_pts=first_frame, b_frames=b_frames).read_bytes()


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_transport_stream_whose_33_bit_counter_runs_over(tmp_path: Path, b_frames: int) -> None:
    path = tmp_path / "wraps.ts"
    data = ts(path, 60, 2**33 // 3600 - 30, b_frames)
    stamps = [pts_at(data, header) for header in stamped(data)]
    assert max(stamps) > 2**33 - 90000
    assert min(stamps) < 2 * 90000  # the file itself does run over
    follows(read(path), even(60))


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize(
    "firsts",
    [
        (0, 0, 0),
        (2500, 100, 2500),
        (0, 2500, 50, 5000),
        (90_000, 0, 90_030),
        (0, 200_000, 30),
        (2**33 // 3600 - 15, 500),
    ],
)
def test_transport_streams_joined_whatever_their_counts(tmp_path: Path, firsts: tuple[int, ...], b_frames: int) -> None:
    """Counts that begin anew, jump ahead (by more than ten seconds), come back, go on, and run over."""
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(ts(tmp_path / f"{i}.ts", 30, first, b_frames) for i, first in enumerate(firsts)))
    frames = read(path)
    lost = 30 * len(firsts) - len(frames)
    assert lost <= b_frames * len(firsts)
    follows(frames, even(len(frames)))


def test_a_recording_with_a_gap_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "gap.ts"
    path.write_bytes(ts(tmp_path / "a.ts", 30, 100) + ts(tmp_path / "b.ts", 30, 100 + 30 + 150))
    times_s = [frame.media_time_s for frame in read(path)]
    assert times_s == pytest.approx([i * STEP_S for i in [*range(30), *range(180, 210)]])


@pytest.mark.parametrize("seed", range(6))
def test_stamps_that_are_missing_repeated_or_wild(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "marred.ts"
    data = bytearray(ts(path, 100, 25_000))
    places = stamped(data)
    assert len(places) == 100
    for index in range(10, 95, 6):
        header, before = places[index], pts_at(data, places[index - 1])
        match rng.choice(("missing", "repeated", "slipped", "zero", "far")):
            case "missing":
                unstamp(data, header)
            case "repeated":
                restamp(data, header, before)
            case "slipped":
                restamp(data, header, before - rng.randrange(1, 3600))
            case "zero":
                restamp(data, header, rng.randrange(90_000))
            case _:
                restamp(data, header, before + rng.randrange(60 * 90_000, 2**32))
    path.write_bytes(data)
    follows(read(path), even(100))


@pytest.mark.parametrize(
    ("ending", "codec", "b_frames"),
    [("mp4", "libx264", 3), ("mkv", "libx264", 3), ("mkv", "mpeg4", 0), ("nut", "mpeg4", 2), ("flv", "libx264", 2)],
)
def test_frames_of_every_length_with_and_without_b_frames(
    tmp_path: Path, ending: str, codec: str, b_frames: int
) -> None:
    """Variable frame rate: a frame is shown for 1 to 50 frames' time."""
    rng = random.Random(7)
    steps = [rng.choice((1, 1, 1, 2, 3, 7, 50)) for _ in range(80)]
    options = {"b-adapt": "0"} if codec == "libx264" else None
    path = write_video(tmp_path / f"a.{ending}", pictures(80), codec, b_frames=b_frames, steps=steps, options=options)
    frames = read(path)
    true_s = [STEP_S * frame for frame in accumulate(steps[:-1], initial=0)]
    assert [frame.media_time_s for frame in frames] == pytest.approx(true_s, abs=0.002)
    assert [level(frame) for frame in frames[:40]] == pytest.approx([10 + 5 * i for i in range(40)], abs=8)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(1, 2), Fraction(240)])
@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("nut", "mpeg4"), ("avi", "mpeg4")]
)
def test_rates_from_one_in_two_seconds_to_240(tmp_path: Path, ending: str, codec: str, rate: Fraction) -> None:
    frames = read(write_video(tmp_path / f"a.{ending}", pictures(30), codec, rate=rate))
    assert [frame.media_time_s for frame in frames] == pytest.approx([float(i / rate) for i in range(30)], abs=0.002)


@pytest.mark.parametrize("timescale", [0, 1, 10, 24_000, 2**31 - 1])
def test_time_scales_of_mp4_that_nobody_would_choose(tmp_path: Path, timescale: int) -> None:
    """The scale in the file's header is overwritten: what was 1/12800 s is called 1/timescale s."""
    path = write_video(tmp_path / "a.mp4", pictures(20), "mpeg4", container_options={"use_editlist": "0"})
    data = bytearray(path.read_bytes())
    at = data.index(b"mdhd") + 4 + 12
    ticks = int.from_bytes(data[at : at + 4]) // 25
    data[at : at + 4] = timescale.to_bytes(4)
    path.write_bytes(data)
    times_s = [frame.media_time_s for frame in read(path)]
    step_s = ticks / max(1, timescale)
    assert times_s == pytest.approx([i * step_s for i in range(20)])
