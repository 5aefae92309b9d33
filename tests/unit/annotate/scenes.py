"""Small videos with sound, and a bus that remembers a run of them."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np

from streamer.annotate.recorded import Seen, TrackId
from streamer.bus.open import open_bus
from streamer.bus.protocol import Bus
from streamer.bus.topics import outgoing, topics
from streamer.clock import SystemClock
from streamer.config import DecodeSettings, TopicSettings
from streamer.decode import open_source
from streamer.errors import SourceError
from streamer.messages import Observation, RunRecord, SourceResult, Track, record_id
from streamer.sources import parse, session_of
from tests.synthetic_run import make_run

TEMPLATE = make_run(n_frames=20).observations[0]
GREY = 96


def clip(
    target: Path,
    *,
    size: tuple[int, int] = (640, 360),
    pts: Sequence[int] = tuple(range(50)),
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound: str | None = None,
    rate: int = 44100,
    start_s: float = 0.0,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    marked: bool = False,
) -> Path:
    """A grey video whose brightness rises, frame by frame; with a tone of 440 Hz where `sound` names a codec.

    `marked`: its upper left quarter, as it is coded, is bright, its upper right one half as much.
    """
    width, height = size
    with av.open(str(target), "w", options=options or {}) as out:
        stream: Any = out.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        voice: Any = out.add_stream(sound, rate=rate, layout="mono") if sound else None
        for number, at in enumerate(pts):
            image = np.full((height, width, 3), GREY + number % 100, np.uint8)
            if marked:
                image[: height // 2, : width // 2] += 60
                image[: height // 2, width // 2 :] += 30
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = at + round(Fraction(start_s) / time_base), time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if voice is not None:
            _tone(out, voice, rate, float((pts[-1] + 1) * time_base), start_s)
    return target


def _tone(out: Any, voice: Any, rate: int, duration_s: float, start_s: float) -> None:
    samples = np.arange(int(rate * duration_s))
    wave = (9000 * np.sin(2 * np.pi * 440 * samples / rate)).astype(np.int16)
    for at in range(0, wave.size, 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, at : at + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, at + round(rate * start_s), Fraction(1, rate)
        out.mux(voice.encode(frame))
    out.mux(voice.encode(None))


def seen(number: int = 1, *, box: tuple[float, ...] = (0.25, 0.25, 0.25, 0.5), **changes: Any) -> Observation:
    """An observation of the first frame, to be placed elsewhere."""
    fields: dict[str, Any] = {
        "label": "Happy",
        "quality": "ok",
        "quality_causes": (),
        "box_xywh": box,
        "confidence": 0.8,
    }
    return msgspec.structs.replace(TEMPLATE, track=Track(epoch=0, number=number), **(fields | changes))


def face(number: int = 1, box: tuple[float, float, float, float] = (0.25, 0.25, 0.25, 0.5), **changes: Any) -> Seen:
    """One observation as the drawing takes it."""
    fields: dict[str, Any] = {
        "media_time_s": 0.0, "label": "Happy", "confidence": 0.8, "valence": 0.5, "arousal": 0.25,
        "va_origin": "derived", "causes": (), "score": 1.0,
    }  # fmt: skip
    return Seen(track=TrackId(0, number), box_xywh=box, **(fields | changes))


def moments(video: Path) -> list[tuple[int, float]]:
    """The pts and the media time of every frame that the decoder gives."""
    with open_source(parse(str(video))[0], DecodeSettings(), SystemClock()) as decoder:
        found = []
        with contextlib.suppress(SourceError):  # a cut file: the frames before are what counts
            for frame in decoder:
                found.append((frame.pts, frame.media_time_s))  # noqa: PERF401 (those before a failure count)
        return found


class Remembered:
    """A bus (in a folder, or at an address), and what is written to it as a run would have."""

    def __init__(self, folder: Path, url: str | None = None, prefix: str = "affect") -> None:
        self.url = url or f"sqlite:///{folder}/affect.db"
        self.settings = TopicSettings(partitions=4, prefix=prefix)
        bus = open_bus(self.url)
        bus.ensure_topics(topics(self.settings).all())
        bus.close()

    def open(self) -> Bus:
        return open_bus(self.url, create=False)

    def write(self, records: Iterable[Any]) -> None:
        bus = self.open()
        producer = bus.producer(transactional_id=f"t-{uuid.uuid4().hex}")
        to_home = (
            outgoing(one, self.settings, "archive") if isinstance(one, Observation) else outgoing(one, self.settings)
            for one in records
        )
        producer.commit(list(to_home))
        bus.close()

    def run(
        self,
        video: Path,
        faces: Callable[[int, float], Iterable[Observation]] = lambda number, t: [
            seen(valence=float(np.sin(t)), arousal=0.3)
        ],
        *,
        run: str = "r-1",
        stream: str = "clip",
        state: Any = "done",
        finished_s: float = 1000.0,
        recorded: bool = True,
        **result: Any,
    ) -> list[Observation]:
        """A run of `video` that saw `faces(number, media_time_s)` in each frame; what it wrote."""
        source = parse(str(video))[0]
        session = session_of(source)
        records: list[Observation] = []
        for number, (pts, media_time_s) in enumerate(moments(video)):
            for one in faces(number, media_time_s):
                records.append(
                    msgspec.structs.replace(
                        one,
                        id=record_id("observation", stream, run, session, pts, one.track.number, number),
                        stream=stream, run=run, session=session, pts=pts, media_time_s=round(media_time_s, 6),
                        seq=len(records),
                    )
                )  # fmt: skip
        self.write(records)
        if recorded:
            told = {"mode": "archive", "session": session, "source": source.name} | result
            one_source = SourceResult(stream=stream, state=state, finished_s=finished_s, **told)
            self.write([RunRecord(run=run, state=state, started_s=finished_s - 10, sources=(one_source,))])
        return records


def times(video: Path) -> list[Fraction]:
    """When every frame is shown, in seconds."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        return [frame.pts * stream.time_base for frame in container.decode(stream) if frame.pts is not None]
