"""Small videos made with PyAV, and the ways in which files go wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray


def picture(index: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """(h,w,3): grey level 10 + 5 * index in the left half, moving texture in the right."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.full((height, width, 3), 10 + 5 * index % 240, np.uint8)
    image[:, width // 2 :, 1] = ((x * 3 + y * 5 + index * 7) % 256).astype(np.uint8)[:, width // 2 :]
    return image


def pictures(n: int, width: int = 64, height: int = 48) -> Iterator[NDArray[np.uint8]]:
    return (picture(i, width, height) for i in range(n))


def write_video(
    path: Path,
    images: Iterable[NDArray[np.uint8]],
    codec: str = "mpeg4",
    *,
    pix_fmt: str = "yuv420p",
    rate: Fraction = Fraction(25),
    container: str | None = None,
    first_pts: int = 0,
    rotation: float | None = None,
    aspect: Fraction | None = None,
    b_frames: int = 0,
    key_interval: int = 12,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    steps: Iterable[int] | None = None,
) -> Path:
    """Encode `images` at `rate`; `steps` gives the distance between frames where it is not 1 frame."""
    with av.open(str(path), "w", format=container, options=container_options or {}) as out:
        out.metadata.update(metadata or {})
        stream: Any = out.add_stream(codec, rate=rate, options=options or {})
        context = stream.codec_context
        context.gop_size = key_interval
        context.max_b_frames = b_frames
        context.thread_count = 1
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        pts = first_pts
        gaps = iter(steps) if steps is not None else None
        for index, image in enumerate(images):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = pix_fmt
            frame = VideoFrame.from_ndarray(image, "rgb24").reformat(format=pix_fmt, threads=1)
            frame.pts, frame.time_base = pts, 1 / rate
            pts += next(gaps) if gaps is not None else 1
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


def write_sound(path: Path, codec: str) -> Path:
    """A second of silence."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        for index in range(8):
            frame.pts = index * 1024
            resampled = av.AudioResampler(stream.format, "mono", 8000).resample(frame)
            for part in resampled:
                part.pts = index * 1024
                for packet in stream.encode(part):
                    out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


def cut(path: Path, share: float, to: Path) -> Path:
    """The first `share` of a file."""
    data = path.read_bytes()
    to.write_bytes(data[: int(len(data) * share)])
    return to


def packets_at(path: Path) -> list[tuple[int, int]]:
    """(position, size) of each video packet."""
    with av.open(str(path)) as container:
        return [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]


def damage(path: Path, to: Path, which: Iterable[int], seed: int = 7) -> Path:
    """A copy in which the bytes of some packets are noise."""
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    places = packets_at(path)
    for index in which:
        position, size = places[index]
        data[position : position + size] = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
    to.write_bytes(data)
    return to
