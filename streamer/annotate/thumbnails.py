"""One small picture per track, kept only where somebody asked for it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from streamer.annotate.recorded import Recording, Seen, TrackId
from streamer.errors import UsageError
from streamer.files import replacing
from streamer.pixels import Picture

SIDE_PX = 160
_MARGIN = 0.25
_QUALITY = 90


class Thumbnails:
    """The best picture of each track: of its labelled faces (of all, where none is) the clearest, seen widest.

    They stay in memory, some 8 KB each, until `write`. Raises `UsageError` for what is no folder, and for files that
    are there already unless they may be replaced.
    """

    def __init__(self, folder: Path, recording: Recording, *, force: bool = False) -> None:
        self._names = {
            seen.track: folder / f"{recording.choice.stream}-track{_number(seen.track)}.jpg"
            for _, seen in recording.all()
        }
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"cannot write thumbnails into {folder}: it is no folder")
        there = next((path for path in self._names.values() if path.exists()), None)
        if there is not None and not force:
            raise UsageError(f"{there} is there already: choose another folder, or replace it with --force")
        best: dict[TrackId, Seen] = {}
        for _, seen in recording.all():
            if seen.track not in best or _worth(seen) > _worth(best[seen.track]):
                best[seen.track] = seen
        self._best = best
        self._taken: dict[Path, bytes] = {}

    def look(self, picture: Picture, faces: tuple[Seen, ...]) -> None:
        """Keep the faces of this picture whose best this is."""
        for seen in faces:
            if self._best[seen.track] == seen:
                self._taken[self._names[seen.track]] = _jpeg(picture, seen)

    def write(self) -> list[Path]:
        """Write the files, each whole or not at all; where they are."""
        for path, content in self._taken.items():
            with replacing(path) as part:
                part.write_bytes(content)
        return sorted(self._taken)


def _number(track: TrackId) -> str:
    return f"{track.number}" if not track.epoch else f"{track.epoch}-{track.number}"


def _worth(seen: Seen) -> tuple[bool, float]:
    return not seen.is_low, seen.score


def _jpeg(picture: Picture, seen: Seen) -> bytes:
    left, top, wide, high = seen.box_xywh
    centre_x, centre_y = (left + wide / 2) * picture.width, (top + high / 2) * picture.height
    side = max(wide * picture.width, high * picture.height, 1.0) * (1 + 2 * _MARGIN)
    scale = SIDE_PX / side
    to_crop = np.array(
        [[scale, 0.0, SIDE_PX / 2 - scale * centre_x], [0.0, scale, SIDE_PX / 2 - scale * centre_y]], np.float64
    )
    crop = picture.warp(to_crop, SIDE_PX, SIDE_PX, "bgr", "area", "replicate")
    done, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return data.tobytes()
