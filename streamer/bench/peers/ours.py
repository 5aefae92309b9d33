"""What our own worker sees in clips, read back from the bus as anybody would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamer.bench.peers.protocol import FaceRow
from streamer.bench.whole import run_files
from streamer.client import AffectConsumer
from streamer.clock import SystemClock
from streamer.config import Config
from streamer.decode import open_source
from streamer.messages import Observation
from streamer.sources import parse, parse_all


def faces_of(clips: Sequence[Path], config: Config, database: Path) -> list[tuple[int, list[FaceRow]]]:
    """For each clip how many frames it has and the faces seen in them.

    Labels are the network's own of the frame, before time is taken into account, since no peer looks back; a face that
    is called of low quality has none.
    """
    run_files(clips, config, database)
    seen: dict[str, list[Observation]] = {}
    url = f"sqlite:///{database}"
    with AffectConsumer(url, ("observations",), prefix=config.topics.prefix, follow=False) as consumer:
        for record in consumer:
            if isinstance(record, Observation):
                seen.setdefault(record.stream, []).append(record)
    streams = [source.stream for source in parse_all([str(clip) for clip in clips], "archive")]
    found = []
    for clip, stream in zip(clips, streams, strict=True):
        numbers = _numbers(clip, config)
        found.append((len(numbers), [_row(one, numbers) for one in seen.get(stream, [])]))
    return found


def _row(one: Observation, numbers: dict[int | None, int]) -> FaceRow:
    left, top, width, height = one.box_xywh
    return (numbers[one.pts], left, top, width, height, None if one.label is None else one.bare.label)


def _numbers(clip: Path, config: Config) -> dict[int | None, int]:
    """The number of each frame, from 0, by its pts."""
    [source] = parse(str(clip), "archive")
    with open_source(source, config.decode, SystemClock()) as decoder:
        return {frame.pts: frame.index for frame in decoder}
