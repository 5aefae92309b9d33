"""The sound of the source, at its own times: copied where mp4 takes it as it is, else as AAC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from streamer.decode import MediaClock

COPIED = frozenset(("aac", "mp3", "mp3float", "ac3", "eac3", "alac"))
"""What most players take in an mp4."""
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_BITS_PER_CHANNEL = 96_000


@dataclass(slots=True)
class _Voice:
    """One sound stream on its way from the source to the film."""

    into: AudioStream
    copied: bool
    clock: MediaClock
    time_base: Fraction
    first_pts: int | None = None

    def placed(self, packet: av.Packet[AudioStream]) -> Fraction:
        """Give the packet a time that only goes forward, as the pictures have; that time in seconds."""
        moment = self.clock.place(packet.pts, packet.duration)
        if self.first_pts is None:
            self.first_pts = moment.pts
        pts = self.first_pts + round(Fraction(moment.media_time_s) / self.time_base)
        packet.pts = packet.dts = pts
        return pts * self.time_base


class Sound:
    """Brings the sound of `source` into `film`, picture by picture. `told` is what became of it, None without any.

    A longer step than `max_gap_s` begins a new count, as it does for the pictures.
    """

    def __init__(self, source: InputContainer, film: OutputContainer, max_gap_s: int) -> None:
        self._film = film
        self._voices: dict[int, _Voice] = {}
        for stream in source.streams.audio:
            voice = _voice(stream, film, max_gap_s)
            if voice is not None:
                self._voices[stream.index] = voice
        streams = [stream for stream in source.streams.audio if stream.index in self._voices]
        self._packets = cast("Iterator[av.Packet[AudioStream]]", source.demux(*streams)) if streams else iter(())
        self._waiting: tuple[Fraction, av.Packet[AudioStream], _Voice] | None = None
        self.left_out = len(source.streams.audio) - len(self._voices)

    @property
    def told(self) -> str | None:
        """`copied`, `aac`, or None where there is no sound."""
        if not self._voices:
            return None
        return "copied" if all(voice.copied for voice in self._voices.values()) else "aac"

    def until(self, time: Fraction | None) -> None:
        """Write the sound up to `time` (seconds), or all that is left."""
        while (waiting := self._next()) is not None and (time is None or waiting[0] <= time):
            self._waiting = None
            _, packet, voice = waiting
            if voice.copied:
                packet.stream = voice.into
                self._film.mux(packet)
            else:
                self._encode(packet, voice)

    def finish(self) -> None:
        """Write the rest, and what the encoders hold back."""
        self.until(None)
        for voice in self._voices.values():
            if not voice.copied:
                self._film.mux(voice.into.encode(None))

    def _next(self) -> tuple[Fraction, av.Packet[AudioStream], _Voice] | None:
        while self._waiting is None:
            try:
                packet = next(self._packets, None)
            except (av.FFmpegError, OSError):
                packet = None
            if packet is None:
                return None
            if packet.size and not packet.is_corrupt:
                voice = self._voices[packet.stream.index]
                self._waiting = voice.placed(packet), packet, voice
        return self._waiting

    def _encode(self, packet: av.Packet[AudioStream], voice: _Voice) -> None:
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):
            return
        for frame in frames:
            self._film.mux(voice.into.encode(frame))


def _voice(stream: AudioStream, film: OutputContainer, max_gap_s: int) -> _Voice | None:
    """The way of one stream, or None where nothing can read it."""
    context: AudioCodecContext | None = stream.codec_context
    if context is None or not context.sample_rate or stream.time_base is None:
        return None
    copied = context.name in COPIED
    if copied:
        into = film.add_stream_from_template(stream)
    else:
        into = film.add_stream("aac", rate=next((r for r in _AAC_RATES if r <= context.sample_rate), _AAC_RATES[-1]))
        n_channels = min(2, context.layout.nb_channels)
        into.codec_context.layout = "mono" if n_channels == 1 else "stereo"
        into.codec_context.bit_rate = _BITS_PER_CHANNEL * n_channels
    samples = context.frame_size or 1024
    clock = MediaClock.of(stream.time_base, Fraction(context.sample_rate, samples))
    clock.max_gap_s = max_gap_s
    return _Voice(into, copied, clock, stream.time_base)
