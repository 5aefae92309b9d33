"""Sound files to spoil: what can be made of a few pictures in every container and codec that is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.video.frame import VideoFrame

N_PICTURES = 24


@dataclass(frozen=True, slots=True)
class Seed:
    """A sound file. `ending` is that of its name."""

    name: str
    ending: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Recipe:
    ending: str
    codec: str
    pix_fmt: str = "yuv420p"
    container: str | None = None
    b_frames: int = 0
    options: Mapping[str, str] | None = None
    encoder: Mapping[str, str] | None = None


_RECIPES: Mapping[str, _Recipe] = {
    "mp4-h264": _Recipe("mp4", "libx264", b_frames=2),
    "mp4-fragments": _Recipe("mp4", "mpeg4", options={"movflags": "frag_keyframe+empty_moov"}),
    "mp4-hevc": _Recipe("mp4", "libx265", encoder={"x265-params": "log-level=none"}),
    "mp4-av1": _Recipe("mp4", "libaom-av1", encoder={"cpu-used": "8"}),
    "mov-mjpeg": _Recipe("mov", "mjpeg", "yuvj420p"),
    "mov-png": _Recipe("mov", "png", "rgb24"),
    "mkv-h264": _Recipe("mkv", "libx264", b_frames=2),
    "mkv-ffv1": _Recipe("mkv", "ffv1"),
    "webm-vp8": _Recipe("webm", "libvpx"),
    "webm-vp9": _Recipe("webm", "libvpx-vp9"),
    "ts-h264": _Recipe("ts", "libx264", b_frames=2),
    "ts-mpeg2": _Recipe("ts", "mpeg2video"),
    "ps-mpeg1": _Recipe("mpg", "mpeg1video"),
    "flv-sorenson": _Recipe("flv", "flv"),
    "flv-h264": _Recipe("flv", "libx264"),
    "avi-mpeg4": _Recipe("avi", "mpeg4"),
    "avi-mjpeg": _Recipe("avi", "mjpeg", "yuvj420p"),
    "avi-raw": _Recipe("avi", "rawvideo"),
    "ogg-theora": _Recipe("ogv", "libtheora"),
    "nut-mpeg4": _Recipe("nut", "mpeg4"),
    "asf-wmv2": _Recipe("wmv", "wmv2", container="asf"),
    "gif": _Recipe("gif", "gif", "rgb8"),
    "raw-h264": _Recipe("h264", "libx264"),
    "raw-mjpeg": _Recipe("mjpeg", "mjpeg", "yuvj420p"),
}


def pictures_of(clip: Path) -> list[VideoFrame]:
    """The first pictures of a clip."""
    with av.open(str(clip)) as container:
        return list(islice(container.decode(video=0), N_PICTURES))


def made(pictures: Sequence[VideoFrame], folder: Path) -> list[Seed]:
    """One seed for each recipe whose encoder and muxer this FFmpeg has, and single images."""
    seeds = []
    for name, recipe in _RECIPES.items():
        path = folder / f"seed-{name}.{recipe.ending}"
        if recipe.codec in av.codecs_available and _write(path, pictures, recipe):
            seeds.append(Seed(name, recipe.ending, path.read_bytes()))
    for ending, codec, pix_fmt in (("jpg", "mjpeg", "yuvj420p"), ("png", "png", "rgb24")):
        path = folder / f"seed-image.{ending}"
        if _write(path, pictures[:1], _Recipe(ending, codec, pix_fmt, "image2")):
            seeds.append(Seed(f"image-{ending}", ending, path.read_bytes()))
    return seeds


def given(clips: Sequence[Path], most_bytes: int = 2 << 20) -> list[Seed]:
    """Clips as they are; of a large one as much of its beginning as fits: one more cut file."""
    return [Seed(clip.name, clip.suffix.lstrip(".") or "bin", clip.read_bytes()[:most_bytes]) for clip in clips]


def _write(path: Path, pictures: Sequence[VideoFrame], recipe: _Recipe) -> bool:
    try:
        with av.open(str(path), "w", format=recipe.container, options=dict(recipe.options or {})) as out:
            stream = out.add_stream(recipe.codec, rate=Fraction(25), options=dict(recipe.encoder or {}))
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, recipe.pix_fmt
            context = stream.codec_context
            context.gop_size, context.max_b_frames, context.thread_count = 12, recipe.b_frames, 1
            for index, picture in enumerate(pictures):
                frame = picture.reformat(format=recipe.pix_fmt, threads=1)
                frame.pts, frame.time_base = index, Fraction(1, 25)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    except (av.FFmpegError, ValueError, OSError):  # an encoder that wants other sizes, a muxer that is not here
        return False
    return path.exists() and path.stat().st_size > 0
