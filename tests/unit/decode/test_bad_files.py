"""What goes wrong with files, and what the operator is told."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamer import errors
from streamer.clock import FakeClock
from streamer.config import DecodeSettings
from streamer.decode import open_source, structure
from streamer.decode.explaining import explanation
from streamer.decode.structure import missing_end
from streamer.errors import SourceError
from streamer.sources import Source
from tests.unit.decode.test_decoder import kept, level, opened
from tests.unit.decode.videos import cut, damage, picture, pictures, write_sound, write_video


def refused(path: Path, kind: type[SourceError], max_pixels: int = 10**7) -> str:
    """The one sentence it is refused with at opening."""
    with pytest.raises(SourceError) as caught:
        opened(path, max_pixels=max_pixels)
    assert type(caught.value) is kind, caught.value
    told_well(str(caught.value), path)
    return str(caught.value)


def told_well(text: str, path: Path) -> None:
    assert path.name in text
    assert text.endswith(".")
    assert "\n" not in text
    for noise in ("Errno", "Invalid data", "avcodec", "Traceback", "0x", "returned"):
        assert noise not in text


def test_missing(tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    with pytest.raises(errors.SourceMissing, match="does not exist"):
        open_source(Source("gone", str(path), "file", "archive"), DecodeSettings(), FakeClock())


def test_empty(tmp_path: Path) -> None:
    path = tmp_path / "zero.mp4"
    path.touch()
    refused(path, errors.SourceEmpty)


@pytest.mark.parametrize(
    "name", ["notes.txt", "notes.mp4", "list.m3u8", "script.ffconcat", "movie.srt", "cam.sdp", "page.html"]
)
def test_text_is_no_video(tmp_path: Path, name: str) -> None:
    texts = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        "script.ffconcat": "ffconcat version 1.0\nfile 'other.mp4'\n",
        "cam.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "page.html": "<html><body>" + "not found " * 500,
    }
    path = tmp_path / name
    path.write_text(texts.get(name, "hello world\n" * 200))
    write_video(tmp_path / "other.mp4", pictures(2), "mpeg4")
    if name == "movie.srt":
        path.write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n\n" * 20)
        refused(path, errors.NoVideoStream)
    else:
        refused(path, errors.NotAVideo)


def test_noise_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(100_000))
    refused(path, errors.NotAVideo)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.wav", "pcm_s16le"), ("a.m4a", "aac"), ("a.mp3", "libmp3lame"), ("a.flac", "flac")]
)
def test_sound_alone(tmp_path: Path, name: str, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg writes no {codec}")
    text = refused(write_sound(tmp_path / name, codec), errors.NoVideoStream)
    assert "audio" in text


def test_sound_with_a_cover_picture(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    silence = write_sound(tmp_path / "plain.m4a", "aac")
    cover = write_video(tmp_path / "cover.mov", pictures(1), "mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path), "w", format="mp4") as out, av.open(str(silence)) as sound, av.open(str(cover)) as image:
        inputs = [sound.streams.audio[0], image.streams.video[0]]
        outputs = [out.add_stream_from_template(stream) for stream in inputs]
        outputs[1].disposition = av.stream.Disposition.attached_pic
        for stream, target in zip(inputs, outputs, strict=True):
            for packet in stream.container.demux(stream):  # type: ignore[attr-defined]
                if packet.dts is not None:
                    packet.stream = target
                    out.mux(packet)
    with av.open(str(path)) as check:
        assert check.streams.video
    refused(path, errors.NoVideoStream)


def test_absurd_sizes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(2), "mpeg4")
    text = refused(path, errors.AbsurdDimensions, max_pixels=64 * 48 - 1)
    assert "64 x 48" in text
    assert opened(path, max_pixels=64 * 48).info.coded_wh == (64, 48)
    refused(path, errors.AbsurdDimensions, max_pixels=100)


def test_an_absurd_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """60,000 x 60,000 in the header; decoding it would take 10 GB."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    path = tmp_path / "big.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    refused(path, errors.AbsurdDimensions)


@pytest.mark.parametrize("ending", ["ts", "h264"])
def test_a_size_that_changes_ends_the_stream_and_keeps_what_was_before(tmp_path: Path, ending: str) -> None:
    first = write_video(tmp_path / f"a.{ending}", pictures(20), "libx264").read_bytes()
    second = write_video(tmp_path / f"b.{ending}", pictures(20, 96, 64), "libx264").read_bytes()
    path = tmp_path / f"both.{ending}"
    path.write_bytes(first + second)
    frames, error = kept(opened(path))
    assert isinstance(error, errors.ResolutionChanged)
    told_well(str(error), path)
    assert "64 x 48 to 96 x 64" in str(error)
    assert len(frames) in (19, 20)
    assert {frame.picture.width for frame in frames} == {64}


@pytest.mark.parametrize(
    ("ending", "codec", "pix_fmt"),
    [
        ("mkv", "ffv1", "yuv420p"),
        ("webm", "libvpx-vp9", "yuv420p"),
        ("gif", "gif", "rgb8"),
        ("mp4", "libx264", "yuv420p"),
    ],
)
@pytest.mark.parametrize("share", [0.6, 0.9, 0.99])
def test_cut_files_keep_their_frames_and_say_so(
    tmp_path: Path, ending: str, codec: str, pix_fmt: str, share: float
) -> None:
    whole = write_video(
        tmp_path / f"whole.{ending}",
        pictures(40),
        codec,
        pix_fmt=pix_fmt,
        container_options={"movflags": "faststart"} if ending == "mp4" else None,
    )
    assert missing_end(whole) is None
    path = cut(whole, share, tmp_path / f"cut.{ending}")
    frames, error = kept(opened(path))
    assert isinstance(error, errors.SourceTruncated), error
    told_well(str(error), path)
    assert 40 * share - 8 <= len(frames) <= 40
    assert "missing" in str(error)


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "libx264"), ("mov", "mjpeg"), ("avi", "mpeg4")])
def test_files_cut_before_their_index_are_refused_as_truncated(tmp_path: Path, ending: str, codec: str) -> None:
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    whole = write_video(tmp_path / f"whole.{ending}", pictures(40), codec, pix_fmt=pix_fmt)
    path = cut(whole, 0.6, tmp_path / f"cut.{ending}")
    try:
        _, error = kept(opened(path))
    except SourceError as at_once:
        error = at_once
    assert isinstance(error, errors.SourceTruncated)
    told_well(str(error), path)


def test_fragmented_files_cut_inside_a_fragment(tmp_path: Path) -> None:
    whole = write_video(
        tmp_path / "whole.mp4", pictures(40), "libx264", container_options={"movflags": "frag_keyframe+empty_moov"}
    )
    frames, error = kept(opened(cut(whole, 0.7, tmp_path / "cut.mp4")))
    assert isinstance(error, errors.SourceTruncated)
    assert len(frames) > 12


def test_a_file_that_ends_long_before_its_declared_duration(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.flv", pictures(100), "flv")
    assert kept(opened(whole))[1] is None
    frames, error = kept(opened(cut(whole, 0.5, tmp_path / "cut.flv")))
    assert isinstance(error, errors.SourceTruncated)
    assert "of 4.0 seconds" in str(error)
    assert len(frames) > 20


def test_few_damaged_packets_are_counted_and_skipped(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", pictures(60), "mpeg4")
    path = damage(whole, tmp_path / "hurt.mp4", [5, 20, 21, 40])
    with opened(path) as decoder:
        frames, error = kept(decoder)
    assert error is None
    assert 1 <= decoder.counters.corrupt_packets <= 6
    assert len(frames) + decoder.counters.corrupt_packets >= 60
    assert frames[-1].media_time_s == pytest.approx(59 / 25)


@pytest.mark.parametrize(("limit", "fails"), [(9, True), (10, False)])
def test_too_many_in_a_row_end_the_stream(tmp_path: Path, limit: int, fails: bool) -> None:
    whole = write_video(tmp_path / "whole.mov", pictures(40), "png", pix_fmt="rgb24")
    path = damage(whole, tmp_path / "hurt.mov", [3, 4, *range(20, 30)])
    with opened(path, max_damaged_packets=limit) as decoder:
        frames, error = kept(decoder)
    assert decoder.counters.corrupt_packets == 12
    if fails:
        assert isinstance(error, errors.SourceDamaged)
        told_well(str(error), path)
        assert len(frames) == 18
    else:
        assert error is None
        assert len(frames) == 28


def test_a_frame_that_the_decoder_calls_corrupt_is_not_shown(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.h264", pictures(40), "libx264")
    with opened(cut(whole, 0.6, tmp_path / "cut.h264")) as decoder:
        frames, error = kept(decoder)
    assert error is None  # an elementary stream does not say how long it is meant to be
    assert decoder.counters.corrupt_packets == 1
    assert all(abs(level(frame) - 10 - 5 * frame.index) < 6 for frame in frames)


HOLE = 300_000
"""Bytes: more than the 64 KiB that FFmpeg looks through for the next packet of a transport stream."""


def with_a_hole(whole: Path, to: Path, n_bytes: int) -> Path:
    data = whole.read_bytes()
    middle = len(data) // 2 // 188 * 188
    to.write_bytes(data[:middle] + bytes(n_bytes) + data[middle:])
    return to


@pytest.mark.parametrize(("ending", "codec"), [("ts", "libx264"), ("mkv", "libx264"), ("mpg", "mpeg2video")])
def test_a_hole_is_counted_and_what_lies_after_it_is_read(tmp_path: Path, ending: str, codec: str) -> None:
    whole = write_video(tmp_path / f"whole.{ending}", pictures(60), codec)
    path = with_a_hole(whole, tmp_path / f"hole.{ending}", HOLE)
    with opened(path) as decoder:
        frames, error = kept(decoder)
    assert error is None
    assert len(frames) > 45
    assert frames[-1].media_time_s > 2.0
    assert decoder.counters.corrupt_packets >= (3 if ending == "ts" else 1)


def test_a_hole_beyond_the_limit_is_damage(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.ts", pictures(60), "libx264")
    path = with_a_hole(whole, tmp_path / "hole.ts", HOLE)
    frames, error = kept(opened(path, max_damaged_packets=2))
    assert type(error) is errors.SourceDamaged
    told_well(str(error), path)
    assert "disk" not in str(error)
    assert len(frames) > 20


def test_bytes_that_make_no_sense_are_no_fault_of_the_disk(tmp_path: Path) -> None:
    """An element that goes on for longer than the file does: an error of reading in FFmpeg's words."""
    whole = write_video(tmp_path / "whole.mkv", pictures(10), "libx264").read_bytes()
    path = tmp_path / "hurt.mkv"
    head = 5 + (whole[4] & 0x7F)
    tracks_of_unknown_length = b"\x16\x54\xae\x6b\x01" + b"\xff" * 7
    path.write_bytes(whole[:head] + tracks_of_unknown_length + whole[head : len(whole) // 2])
    with pytest.raises(av.error.OSError):
        av.open(str(path))
    refused(path, errors.NotAVideo)


def test_who_cannot_read_is_told_by_the_system(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.ts", pictures(2), "mpeg2video")
    source = Source("whole", str(whole), "file", "archive")
    ffmpegs = av.error.OSError(errno.EIO, "Input/output error")
    error = explanation(source, ffmpegs, None, 188)
    assert type(error) is errors.SourceDamaged
    told_well(str(error), whole)
    assert type(explanation(source, ffmpegs)) is errors.NotAVideo
    assert type(explanation(source, OSError(errno.EIO, "Input/output error"))) is errors.SourceUnreadable
    whole.unlink()
    assert type(explanation(source, ffmpegs, None, 188)) is errors.SourceMissing


def test_a_file_that_is_cut_while_it_is_looked_at_kills_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.avi", pictures(40), "mpeg4")
    look = structure._avi

    def cut_first(data: structure._Bytes) -> str | None:
        os.truncate(path, 0)
        return look(data)

    monkeypatch.setattr(structure, "_avi", cut_first)
    assert missing_end(path) is None  # its beginning had been read


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a file that cannot be read")
def test_a_read_error_of_the_system_blames_the_disk() -> None:
    source = Source("memory", "/proc/self/mem", "file", "archive")  # nothing lies at its first address
    error = explanation(source, av.error.OSError(errno.EIO, "Input/output error"), None, 0)
    assert type(error) is errors.SourceUnreadable
    assert "check the disk" in str(error)


def test_nothing_that_can_be_decoded(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mov", pictures(10), "png", pix_fmt="rgb24")
    frames, error = kept(opened(damage(whole, tmp_path / "hurt.mov", range(10))))
    assert isinstance(error, errors.SourceDamaged)
    assert frames == []


def test_a_pixel_format_that_nothing_converts(tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.nut", pictures(2), "rawvideo", pix_fmt="rgb4")
    frames, error = kept(opened(path))
    assert isinstance(error, errors.SourceUnsupported), error
    told_well(str(error), path)
    assert frames == []


def test_images_that_are_broken_or_change(tmp_path: Path) -> None:
    folder = tmp_path / "shot"
    folder.mkdir()
    for i in range(6):
        cv2.imwrite(str(folder / f"{i}.png"), picture(i))
    (folder / "3.png").write_bytes(b"")
    with opened(folder) as decoder:
        frames, error = kept(decoder)
    assert error is None
    assert [frame.pts for frame in frames] == [0, 1, 2, 4, 5]
    assert decoder.counters.corrupt_packets == 1
    cv2.imwrite(str(folder / "4.png"), picture(4, 96, 64))
    frames, error = kept(opened(folder))
    assert isinstance(error, errors.ResolutionChanged)
    assert len(frames) == 3


def test_a_refused_server_names_no_secret() -> None:
    with pytest.raises(errors.SourceUnreachable, match=r"\*\*\*@127\.0\.0\.1") as caught:
        opened("http://bob:hunter2@127.0.0.1:9/x.mp4?token=hunter3")
    assert "hunter" not in str(caught.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a user that owns nothing")
def test_a_file_without_the_right_to_read_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "secret.mp4", pictures(2), "mpeg4")
    path.chmod(0)
    code = f"""
from streamer.clock import SystemClock
from streamer.config import DecodeSettings
from streamer.decode import open_source
from streamer.errors import SourceUnreadable
from streamer.sources import Source
import os
if os.getuid() == 0:
    os.setegid(65534); os.seteuid(65534)
try:
    open_source(Source("s", {str(path)!r}, "file", "archive"), DecodeSettings(), SystemClock())
except SourceUnreadable as error:
    print(error)
"""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        if os.getuid() == 0:
            folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "may not be read" in done.stdout, done.stderr


def test_no_camera() -> None:
    with pytest.raises(errors.SourceError, match="/dev/video97"):
        open_source(Source("cam", "/dev/video97", "webcam", "live"), DecodeSettings(), FakeClock())
