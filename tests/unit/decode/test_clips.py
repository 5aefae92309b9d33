"""The shared clips: real recordings, decoded whole."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.unit.decode.test_decoder import kept, opened

CLIPS = Path(__file__).parents[3] / "../shared/clips"
MANIFEST = CLIPS / "manifest.csv"
ROWS = list(csv.DictReader(MANIFEST.read_text(encoding="utf-8").splitlines())) if MANIFEST.exists() else []

pytestmark = [pytest.mark.clips, pytest.mark.skipif(not ROWS, reason="the shared clips are not on this machine")]


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_each_clip_decodes_as_its_manifest_says(row: dict[str, str]) -> None:
    with opened(CLIPS / row["file"]) as decoder:
        frames, error = kept(decoder)
    assert error is None
    assert len(frames) == int(row["frames"])
    assert decoder.counters.corrupt_packets == 0
    assert f"{frames[0].picture.width}x{frames[0].picture.height}" == row["resolution"]
    fps = (len(frames) - 1) / frames[-1].media_time_s
    assert fps == pytest.approx(float(row["fps"]), rel=0.05)  # a GIF counts in hundredths of a second
    small, scale = frames[len(frames) // 2].picture.letterbox(320, 192, "rgb")
    assert small.std() > 5
    assert scale == pytest.approx(min(320 / frames[0].picture.width, 192 / frames[0].picture.height))
    shown = frames[len(frames) // 2].picture
    to_crop = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    again = shown.warp(to_crop, 320, 192, "rgb", "area")
    assert np.abs(again.astype(int) - small).mean() < 1.5
