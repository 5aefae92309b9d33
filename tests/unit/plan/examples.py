"""Costs with round numbers: what a test does not speak of costs nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streamer.config import BatchSettings, Config
from streamer.plan.costs import Costs, Curve, Memory, RecordBytes

EXAMPLE = Path(__file__).parents[3] / "docs" / "planning" / "costs.json"
BARE = Costs(
    machine={"cores": "2"},
    width=640,
    height=360,
    decode_s=1e-6,
    resize_s=0.0,
    search=Curve(batches=(1,), item_s=(0.01,)),
    align_s=0.0,
    embed=Curve(batches=(1,), item_s=(1e-6,)),
    frame_s=0.0,
    face_s=0.0,
    records=RecordBytes(
        observation=100.0, window=80.0, track=60.0, status=40.0, stream_snapshot=500.0, track_snapshot=1000.0
    ),
    memory=Memory(supervisor_bytes=1e6, child_bytes=1e7, stream_bytes=1e5),
)
ONE_BY_ONE = Config(batch=BatchSettings(max_frames=1, max_wait_s=0.0))
"""No batches and no waiting for company."""


def bare(**changes: object) -> Costs:
    return msgspec.structs.replace(BARE, **changes)


def curve(*item_s: float) -> Curve:
    """Costs in batches of 1, 4 and 8."""
    return Curve(batches=(1, 4, 8), item_s=item_s)
