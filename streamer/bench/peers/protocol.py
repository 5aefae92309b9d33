"""How a peer is run: a program, by the interpreter of its own environment, that writes one JSON object."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streamer.errors import StreamerError

FaceRow = tuple[int, float, float, float, float, str | None]
"""Frame number from 0; left, top, width and height as fractions of the frame; the label, in our words."""

_SETTINGS_OF_OURS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH", "PYTHONHOME")


class PeerFailed(StreamerError):
    """A peer could not be made ready, or ended badly. The text is the reason that goes into the result."""

    cause = "peer_failed"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer's program wrote.

    `wall_s` and `cpu_s` are of the loop over all frames alone; `ready_s` is what loading took before it.
    """

    frames: int
    wall_s: float
    cpu_s: float
    ready_s: float
    faces: tuple[FaceRow, ...]

    @property
    def fps(self) -> float:
        """Frames a second of wall time."""
        return self.frames / self.wall_s


def ask(python: Path, program: Path, arguments: Sequence[str], clip: Path, out: Path, timeout_s: float) -> Answer:
    """Run a peer over `clip`, what it writes going to `out`. Raises `PeerFailed` with the last line it said.

    What limits threads of ours is taken out of its environment: a peer runs with its own defaults.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _SETTINGS_OF_OURS}
    command = [str(python), str(program), *arguments, "--clip", str(clip), "--out", str(out)]
    out.unlink(missing_ok=True)
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerFailed(f"{program.name} did not finish: {error}") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise PeerFailed(f"{program.name} failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    try:
        answer = msgspec.json.decode(out.read_bytes(), type=Answer)
    except (OSError, msgspec.DecodeError) as error:
        raise PeerFailed(f"{program.name} wrote nothing that can be read: {error}") from error
    if answer.frames < 1 or not answer.wall_s > 0:
        raise PeerFailed(f"{program.name} read no frame of {clip.name}: the OpenCV in its environment cannot decode it")
    return answer
