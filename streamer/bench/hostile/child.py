"""Says that it is ready, reads the files that it is told of, one line a name, and says of each what became of it.

An answer is a line of JSON. The decode path is the one of every file. Whoever started it watches it: a line that does
not come is a hang or a crash.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from streamer.clock import SystemClock
from streamer.config import DecodeSettings
from streamer.decode import open_source
from streamer.errors import StreamerError
from streamer.sources import parse

SPACE_BYTES = 8 << 30
"""More address space than this a process does not get: a machine shared with others must live on."""


def read(path: Path) -> dict[str, Any]:
    """`frames`, and how it ended: `error` (a typed one's cause, None at the end) or `untyped`."""
    said: dict[str, Any] = {"frames": 0, "error": None, "corrupt_packets": 0}
    times_s = [-1.0]
    try:
        [source] = parse(str(path), "archive")
        with open_source(source, DecodeSettings(), SystemClock()) as decoder:
            for frame in decoder:
                said["frames"] += 1
                if not times_s[-1] < frame.media_time_s:
                    said["untyped"] = f"media time went from {times_s[-1]} to {frame.media_time_s}"
                times_s[-1] = frame.media_time_s
                frame.picture.letterbox(96, 96, "rgb")
            said["corrupt_packets"] = decoder.counters.corrupt_packets
    except StreamerError as error:
        said["error"] = error.cause
        if path.name not in str(error) or "\n" in str(error):
            said["untyped"] = f"an error that does not say which file: {error}"
    except Exception as error:  # the very thing that is looked for
        said["untyped"] = f"{type(error).__name__}: {error}; {traceback.format_exc(limit=-1).splitlines()[1].strip()}"
    return said


def peak_bytes(forget: bool = False) -> int:
    """The most memory since it was last forgotten; where the system cannot forget, since the start."""
    try:
        if forget:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> int:
    """Until there are no more names."""
    resource.setrlimit(resource.RLIMIT_AS, (SPACE_BYTES, SPACE_BYTES))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        before_bytes, start_s = peak_bytes(forget=True), time.monotonic()
        said = read(Path(line.rstrip("\n")))
        said["seconds"] = round(time.monotonic() - start_s, 3)
        said["memory_mb"] = round(max(0, peak_bytes() - before_bytes) / 1e6, 1)
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
