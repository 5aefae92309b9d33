"""Which face of this frame is which face of the frames before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamer.config import TrackSettings
from streamer.errors import SnapshotRefused
from streamer.faces.associate import assign, plausible_pairs
from streamer.faces.motion import N_VALUES, Motion, measured_of
from streamer.types import Detections, TrackedFace, TrackUpdate

SNAPSHOT_VERSION = 1


@dataclass(slots=True)
class _Track:
    """A face that is followed. Times are media time in seconds; `reported` once it has been told of."""

    number: int
    born_s: float
    seen_s: float
    reported: bool
    motion: Motion


class Tracker:
    """Follows the faces of one stream. Tracks carry no identity: a face that comes back later is a new track.

    Per frame: every track is moved on to the frame's media time; confident detections are assigned to tracks by place
    and size; then weak ones to the tracks still without; a confident detection that is left begins a track. A track
    unseen for longer than `lost_after_s` ends before anything could be matched to it. Numbers count from 1 and are
    never used again. No randomness, no wall clock: the same detections give the same tracks.

    With `confirm_after_s` above 0 a face is told of only after it has been seen that long, never unseen for longer
    than that; a face given up before is told of nowhere.
    """

    def __init__(self, settings: TrackSettings) -> None:
        self.settings = settings
        self._tracks: list[_Track] = []  # in the order of their numbers
        self._next_number = 1
        self._media_time_s = 0.0

    def update(self, detections: Detections, media_time_s: float) -> TrackUpdate:
        """The frame's faces with their tracks, in the order of the track numbers; what began and what ended.

        `media_time_s` must not go back; a time before the last one counts as the last one. The arrays in the result
        are rows of `detections`.
        """
        now_s = max(media_time_s, self._media_time_s)
        ended = self._expire(now_s)
        for track in self._tracks:
            track.motion.predict(now_s - self._media_time_s)
        self._media_time_s = now_s
        face_of = self._associate(detections, now_s) if len(detections) else {}
        faces: list[TrackedFace] = []
        started: list[int] = []
        for track in self._tracks:
            face = face_of.get(track.number)
            if face is None:
                continue
            if not track.reported and now_s - track.born_s >= self.settings.confirm_after_s:
                track.reported = True
                started.append(track.number)
            if track.reported:
                faces.append(_tracked(track.number, detections, face))
        return TrackUpdate(tuple(faces), tuple(started), ended)

    def unwatched_until(self, media_time_s: float) -> None:
        """Nobody has looked since the last frame: the source was gone, or the stream changed hands.

        That time ends no track: a face that is where one was goes on as the same. Where it may be by now is as
        uncertain as that of a track just before it counts as lost.
        """
        gap_s = media_time_s - self._media_time_s
        if gap_s <= 0:
            return
        for track in self._tracks:
            track.motion.predict(min(gap_s, self.settings.lost_after_s))
            track.seen_s += gap_s
            if not track.reported:
                track.born_s += gap_s
        self._media_time_s = media_time_s

    def finish(self) -> tuple[int, ...]:
        """Ends every track and returns the numbers of those that were told of."""
        numbers = tuple(track.number for track in self._tracks if track.reported)
        self._tracks = []
        return numbers

    def snapshot(self) -> dict[str, Any]:
        """All that `restore` needs to go on bit for bit: plain values and float64 arrays, which stay as they are."""
        tracks = self._tracks
        return {
            "version": SNAPSHOT_VERSION,
            "next_number": self._next_number,
            "media_time_s": self._media_time_s,
            "number": np.array([track.number for track in tracks], np.int64),
            "reported": np.array([track.reported for track in tracks], np.bool_),
            "born_s": np.array([track.born_s for track in tracks], np.float64),
            "seen_s": np.array([track.seen_s for track in tracks], np.float64),
            "motion": np.array([track.motion.state for track in tracks], np.float64).reshape(-1, 4, N_VALUES),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Takes up where `snapshot` was taken; raises `SnapshotRefused` and changes nothing when it cannot."""
        version = snapshot.get("version")
        if not isinstance(version, int) or version != SNAPSHOT_VERSION:
            raise SnapshotRefused(f"tracker snapshot of version {version!r}; this program reads {SNAPSHOT_VERSION}")
        try:
            tracks = [
                _Track(int(number), float(born_s), float(seen_s), bool(reported), Motion(state))
                for number, born_s, seen_s, reported, state in zip(
                    np.asarray(snapshot["number"]).tolist(),
                    np.asarray(snapshot["born_s"], np.float64).tolist(),
                    np.asarray(snapshot["seen_s"], np.float64).tolist(),
                    np.asarray(snapshot["reported"]).tolist(),
                    np.asarray(snapshot["motion"], np.float64).reshape(-1, 4, N_VALUES).tolist(),
                    strict=True,
                )
            ]
            next_number, media_time_s = int(snapshot["next_number"]), float(snapshot["media_time_s"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise SnapshotRefused(f"damaged tracker snapshot: {error}") from error
        numbers = [track.number for track in tracks]
        if numbers != sorted(set(numbers)) or not all(0 < number < next_number for number in numbers):
            raise SnapshotRefused("damaged tracker snapshot: track numbers do not rise below the next one")
        times_s = [media_time_s, *(time_s for track in tracks for time_s in (track.born_s, track.seen_s))]
        states = (value for track in tracks for values in track.motion.state for value in values)
        if not all(map(math.isfinite, times_s)) or not all(map(math.isfinite, states)):
            raise SnapshotRefused("damaged tracker snapshot: a number is not finite")
        self._tracks, self._next_number, self._media_time_s = tracks, next_number, media_time_s

    def _expire(self, now_s: float) -> tuple[int, ...]:
        ended: list[int] = []
        living: list[_Track] = []
        for track in self._tracks:
            patience_s = self.settings.lost_after_s
            if not track.reported:
                patience_s = min(patience_s, self.settings.confirm_after_s)
            if now_s - track.seen_s <= patience_s:
                living.append(track)
            elif track.reported:
                ended.append(track.number)
        self._tracks = living
        return tuple(ended)

    def _associate(self, detections: Detections, now_s: float) -> dict[int, int]:
        """Track number to index of its detection; begins tracks for confident detections that are nobody's."""
        measured = measured_of(detections.boxes_xyxy, detections.face_px)
        scores = detections.scores.tolist()
        strong = {j for j, score in enumerate(scores) if score >= self.settings.new_track_score}
        costs = plausible_pairs([track.motion for track in self._tracks], measured, self.settings.min_iou)
        pairs = assign(costs, range(len(self._tracks)), strong)
        if len(strong) < len(scores):
            alone = set(range(len(self._tracks))) - {i for i, _ in pairs}
            pairs += assign(costs, alone, set(range(len(scores))) - strong)
        face_of: dict[int, int] = {}
        for i, j in pairs:
            track = self._tracks[i]
            track.motion.correct(measured[j])
            track.seen_s = now_s
            face_of[track.number] = j
        for j in sorted(strong - set(face_of.values())):
            self._tracks.append(_Track(self._next_number, now_s, now_s, False, Motion.starting(measured[j])))
            face_of[self._next_number] = j
            self._next_number += 1
        return face_of


def _tracked(number: int, detections: Detections, face: int) -> TrackedFace:
    return TrackedFace(
        track=number,
        box_xyxy=detections.boxes_xyxy[face],
        points_xy=detections.points_xy[face],
        score=float(detections.scores[face]),
        face_px=float(detections.face_px[face]),
        row=face,
    )
