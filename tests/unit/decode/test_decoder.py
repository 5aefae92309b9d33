"""Real files of many kinds, decoded: frames, times, sizes, and what is said about them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamer.clock import FakeClock, SystemClock
from streamer.config import DecodeSettings
from streamer.decode import Decoder, open_source
from streamer.errors import SourceError
from streamer.sources import parse
from streamer.types import Frame
from tests.unit.decode.videos import picture, pictures, write_sound, write_video

N = 30
KINDS = [
    ("mp4", "libx264", "yuv420p"),
    ("mov", "mjpeg", "yuvj420p"),
    ("mp4", "mpeg4", "yuv420p"),
    ("mkv", "ffv1", "yuv422p10le"),
    ("avi", "mpeg4", "yuv420p"),
    ("ts", "libx264", "yuv420p"),
    ("mpg", "mpeg2video", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("nut", "rawvideo", "yuyv422"),
    ("mov", "png", "rgb24"),
    ("gif", "gif", "rgb8"),
    ("flv", "flv", "yuv420p"),
    ("y4m", "wrapped_avframe", "yuv420p"),
    ("h264", "libx264", "yuv420p"),
    ("mjpeg", "mjpeg", "yuvj420p"),
]


def opened(path: Path | str, mode: str = "auto", **settings: int) -> Decoder:
    (source,) = parse(str(path), mode)  # type: ignore[arg-type]
    return open_source(source, DecodeSettings(**settings), FakeClock())


def kept(decoder: Decoder) -> tuple[list[Frame], SourceError | None]:
    """The frames, and the error that ended them."""
    frames: list[Frame] = []
    try:
        frames.extend(frame for frame in decoder)
    except SourceError as error:
        return frames, error
    return frames, None


def level(frame: Frame) -> float:
    """The grey level of the left half, which `picture` makes tell its index."""
    return float(frame.picture.letterbox(64, 48, "rgb")[0][8:40, 4:24].mean())


@pytest.mark.parametrize(("ending", "codec", "pix_fmt"), KINDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_every_frame_comes_in_order_with_its_time(
    tmp_path: Path, ending: str, codec: str, pix_fmt: str, threads: int
) -> None:
    path = write_video(tmp_path / f"clip.{ending}", pictures(N), codec, pix_fmt=pix_fmt)
    with opened(path, threads=threads) as decoder:
        frames, error = kept(decoder)
    assert error is None
    assert len(frames) == decoder.counters.decoded == N
    assert decoder.counters.corrupt_packets == 0
    assert [frame.index for frame in frames] == list(range(N))
    assert [frame.media_time_s for frame in frames] == pytest.approx([i / 25 for i in range(N)], abs=0.006)
    assert {frame.segment for frame in frames} == {0}
    for i in (0, 1, N // 2, N - 1):
        assert level(frames[i]) == pytest.approx(10 + 5 * i, abs=24 if codec == "gif" else 6)
    info = decoder.info
    assert info.coded_wh == info.display_wh == (64, 48)
    assert info.fps == pytest.approx(25, rel=0.01) or ending == "flv"
    assert (frames[0].picture.width, frames[0].picture.height) == (64, 48)


def test_what_a_file_says_about_itself(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(N), "libx264")
    info = opened(path).info
    assert (info.codec, info.pixel_format, info.n_frames) == ("h264", "yuv420p", N)
    assert info.duration_s == pytest.approx(1.2)


def test_frames_outlive_the_decoder(tmp_path: Path) -> None:
    frames, _ = kept(opened(write_video(tmp_path / "a.mp4", pictures(N), "libx264")))
    assert [round((level(frame) - 10) / 5) for frame in frames] == list(range(N))


def test_b_frames_come_in_the_order_they_are_shown(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(N), "libx264", b_frames=3, options={"preset": "medium"})
    for mode in ("archive", "live"):
        frames, error = kept(opened(path, mode))
        assert error is None
        assert [round((level(frame) - 10) / 5) for frame in frames] == list(range(N))
        assert [frame.media_time_s for frame in frames] == pytest.approx([i / 25 for i in range(N)])


def test_how_long_b_frames_hold_pictures_back_is_told(tmp_path: Path) -> None:
    for b_frames, delay_s in ((0, 0.0), (1, 0.04)):
        path = write_video(tmp_path / f"{b_frames}.mp4", pictures(N), "libx264", b_frames=b_frames)
        with opened(path, "live") as decoder:
            kept(decoder)
            assert decoder.reorder_delay_s == pytest.approx(delay_s)
            decoder.keyframes_only = True
            assert decoder.reorder_delay_s == 0.0


def test_uneven_steps_and_gaps_are_kept(tmp_path: Path) -> None:
    steps = [1, 3, 1, 50, 1, 1, 2, 1, 1]
    path = write_video(tmp_path / "a.mkv", pictures(10), "mpeg4", steps=[*steps, 1])
    frames, error = kept(opened(path))
    assert error is None
    expected = [sum(steps[:i]) / 25 for i in range(10)]
    assert [frame.media_time_s for frame in frames] == pytest.approx(expected, abs=0.002)


def test_a_transport_stream_across_the_33_bit_wrap(tmp_path: Path) -> None:
    first = int((2**33 - 90000) / 3600)
    frames, error = kept(opened(write_video(tmp_path / "a.ts", pictures(60), "libx264", first_pts=first)))
    assert error is None
    assert [frame.media_time_s for frame in frames] == pytest.approx([i / 25 for i in range(60)], abs=1e-6)


def test_concatenated_streams_restart_their_count(tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.ts", pictures(N), "mpeg2video").read_bytes()
    (tmp_path / "twice.ts").write_bytes(part + part)
    frames, error = kept(opened(tmp_path / "twice.ts"))
    assert error is None
    assert len(frames) == 2 * N
    assert [frame.media_time_s for frame in frames] == pytest.approx([i / 25 for i in range(2 * N)], abs=0.05)
    assert frames[-1].segment == 1
    assert len({(frame.segment, frame.pts) for frame in frames}) == 2 * N


@pytest.mark.parametrize(
    ("degrees", "turns", "size"), [(90, 1, (48, 64)), (180, 2, (64, 48)), (-90, -1, (48, 64)), (0, 0, (64, 48))]
)
def test_rotated_files_are_upright(tmp_path: Path, degrees: float, turns: int, size: tuple[int, int]) -> None:
    """PyAV counts degrees counter-clockwise, as numpy does."""
    path = write_video(tmp_path / "a.mp4", pictures(2), "mpeg4", rotation=degrees)
    frames, _ = kept(opened(path))
    shown = frames[0].picture
    assert (shown.width, shown.height) == size
    expected = np.rot90(picture(0), turns)
    seen = shown.letterbox(*size, "rgb")[0]
    assert np.abs(seen.astype(int) - expected)[..., 0].mean() < 5


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(2), "mpeg4", aspect=Fraction(3, 2))
    with opened(path) as decoder:
        frames, _ = kept(decoder)
    assert (frames[0].picture.width, frames[0].picture.height) == (96, 48) == decoder.info.display_wh


def test_interlaced_files_give_fields(tmp_path: Path) -> None:
    options = {"flags": "+ildct+ilme", "x264-params": "interlaced=1"}
    path = write_video(tmp_path / "a.mp4", pictures(3), "libx264", options=options)
    frames, error = kept(opened(path))
    assert error is None
    assert (frames[0].picture.width, frames[0].picture.height) == (64, 48)
    assert frames[0].picture.planes[0].pixels.shape == (24, 64)
    assert level(frames[2]) == pytest.approx(20, abs=6)


def test_capture_time_comes_from_the_container(tmp_path: Path) -> None:
    made = {"creation_time": "2021-03-04T05:06:07.000000Z"}
    path = write_video(tmp_path / "a.mp4", pictures(5), "mpeg4", metadata=made)
    frames, _ = kept(opened(path))
    assert [frame.time_origin for frame in frames] == ["container"] * 5
    assert [frame.capture_time_s for frame in frames] == pytest.approx([1614834367 + i / 25 for i in range(5)])
    plain, _ = kept(opened(write_video(tmp_path / "b.mp4", pictures(5), "mpeg4")))
    assert {(frame.capture_time_s, frame.time_origin) for frame in plain} == {(None, "none")}
    for nonsense in ("1904-01-01T00:00:00Z", "yesterday"):
        odd = write_video(tmp_path / "c.mkv", pictures(2), "mpeg4", metadata={"creation_time": nonsense})
        assert kept(opened(odd))[0][0].time_origin == "none"


def test_live_files_are_paced_by_their_media_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(10), "mpeg4")
    clock = FakeClock(now_s=100.0)
    decoder = open_source(parse(str(path), "live")[0], DecodeSettings(), clock)
    seen = []
    for frame in decoder:
        seen.append((frame.media_time_s, frame.arrival_s, clock.now_s))
        assert frame.capture_time_s == pytest.approx(clock.wall_s())
        assert frame.time_origin == "arrival"
        if frame.index == 4:
            clock.advance(0.3)  # a slow consumer: what is late comes at once
    at = [100 + i / 25 for i in range(5)] + [100.46] * 5
    assert [arrival_s for _, arrival_s, _ in seen] == pytest.approx(at)
    assert clock.now_s == pytest.approx(100.46)


def test_joining_later_skips_the_waiting_but_no_frame(tmp_path: Path) -> None:
    clock = FakeClock()
    path = write_video(tmp_path / "a.mp4", pictures(10), "mpeg4")
    decoder = open_source(parse(str(path), "live")[0], DecodeSettings(), clock)
    decoder.join_at(0.2)
    arrivals = [frame.arrival_s for frame in decoder]
    assert arrivals == pytest.approx([0.0] * 6 + [0.04, 0.08, 0.12, 0.16])


class TickingClock(FakeClock):
    """A second later each time it is asked."""

    def monotonic_s(self) -> float:
        self.now_s += 1.0
        return self.now_s


def test_a_frame_arrives_with_its_own_packet(tmp_path: Path) -> None:
    """P frames are sent before the B frames that are shown before them."""
    path = write_video(tmp_path / "a.mp4", pictures(N), "mpeg4", b_frames=2)
    frames = list(open_source(parse(str(path))[0], DecodeSettings(), TickingClock()))
    arrivals = [frame.arrival_s for frame in frames]
    assert [arrival - min(arrivals) for arrival in sorted(arrivals)] == [float(i) for i in range(N)]
    assert arrivals != sorted(arrivals)


def test_archives_are_not_paced(tmp_path: Path) -> None:
    clock = FakeClock()
    path = write_video(tmp_path / "a.mp4", pictures(10), "mpeg4")
    assert len(list(open_source(parse(str(path))[0], DecodeSettings(), clock))) == 10
    assert clock.now_s == 0.0


def test_test_sources() -> None:
    with opened("testsrc://64x48@10?duration=2&pattern=smptebars", "archive") as decoder:
        frames, error = kept(decoder)
    assert error is None
    assert [frame.media_time_s for frame in frames] == pytest.approx([i / 10 for i in range(20)])
    assert frames[0].picture.letterbox(64, 48, "rgb")[0].std() > 40
    assert decoder.info.fps == 10


def test_interrupting_an_endless_source() -> None:
    decoder = opened("testsrc://64x48", "archive")
    n = 0
    for frame in decoder:
        n += 1
        if frame.index == 7:
            decoder.interrupt()
    assert n == 8
    decoder.close()
    decoder.close()


def test_closing_from_another_thread_ends_the_iteration() -> None:
    (source,) = parse("testsrc://64x48@1000")
    decoder = open_source(source, DecodeSettings(), SystemClock())
    running, done = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in decoder:
                running.set()
        except BaseException as error:
            failures.append(error)
        done.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert running.wait(20)
    decoder.close()
    assert done.wait(20)
    thread.join()
    assert failures == []


def test_leaving_the_loop_closes_the_source(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(N), "mpeg4")
    with opened(path) as decoder:
        for _ in decoder:
            break
    assert list(decoder) == []


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 %03d.mp4"))
    try:
        path.write_bytes(write_video(tmp_path / "a.mp4", pictures(5), "mpeg4").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    frames, error = kept(opened(path))
    assert error is None
    assert len(frames) == 5
    assert frames[0].stream == "caf~e9__03d"


def test_image_folders(tmp_path: Path) -> None:
    folder = tmp_path / "shot"
    folder.mkdir()
    for i in range(12):
        name = folder / f"frame %d {i}.{('png', 'jpg', 'bmp', 'webp')[i % 4]}"
        assert cv2.imwrite(str(name), picture(i)[..., ::-1])
    with opened(f"{folder}?fps=10") as decoder:
        frames, error = kept(decoder)
    assert error is None
    assert [frame.media_time_s for frame in frames] == pytest.approx([i / 10 for i in range(12)])
    assert [round((level(frame) - 10) / 5) for frame in frames] == list(range(12))
    assert (decoder.info.n_frames, decoder.info.fps, decoder.info.duration_s) == (12, 10.0, 1.2)


def test_sound_beside_the_picture_is_not_decoded(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", "pcm_s16le")
    write_video(tmp_path / "v.mp4", pictures(10), "mpeg4")
    both = tmp_path / "both.mkv"
    with (
        av.open(str(both), "w") as out,
        av.open(str(tmp_path / "a.wav")) as sound,
        av.open(str(tmp_path / "v.mp4")) as video,
    ):
        inputs = [sound.streams.audio[0], video.streams.video[0]]
        outputs = [out.add_stream_from_template(stream) for stream in inputs]
        for stream, target in zip(inputs, outputs, strict=True):
            for packet in stream.container.demux(stream):  # type: ignore[attr-defined]
                if packet.dts is not None:
                    packet.stream = target
                    out.mux(packet)
    frames, error = kept(opened(both))
    assert error is None
    assert len(frames) == 10


def test_ffmpeg_says_nothing_on_stderr(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(20), "libx264", container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    code = f"""
from streamer.clock import SystemClock
from streamer.config import DecodeSettings
from streamer.decode import open_source
from streamer.errors import SourceTruncated
from streamer.sources import parse
try:
    list(open_source(parse({str(path)!r})[0], DecodeSettings(), SystemClock()))
except SourceTruncated:
    print("truncated")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("truncated", "")
