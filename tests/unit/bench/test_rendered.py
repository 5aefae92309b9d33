from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from streamer.bench.rendered import MOVES, SIZE_WH, rendered
from tests.videos import pattern


@pytest.mark.parametrize("move", MOVES)
def test_a_moving_camera_sees_the_clip_again_and_again(move: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    pattern(clip, n_frames=8)
    made = rendered(clip, tmp_path, move, 30)
    with av.open(str(made)) as video:
        shown = [frame.to_ndarray(format="gray").astype(float) for frame in video.decode(video=0)]
    assert len(shown) == 30
    assert shown[0].shape == (SIZE_WH[1], SIZE_WH[0])
    assert np.abs(shown[0] - shown[20]).mean() > 2, "it moves"
