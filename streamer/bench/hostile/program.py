"""Thousands of spoilt files through the decode path: each must give frames, a typed error, or both, in time and space.

File number `n` of a seed is always the same (with the same FFmpeg and the same videos), so what went wrong can be had
again: `--only N`.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from streamer.bench.hostile.mutations import spoil
from streamer.bench.hostile.reader import Reader
from streamer.bench.hostile.seeds import Seed, given, made, pictures_of
from streamer.bench.hostile.texts import playlist, secrets
from streamer.bench.record import header

MAX_MEMORY_MB = 1500
"""More than one file of 8 MB may take with `decode.max_pixels` as it is: 16 reference pictures of 67 million pixels."""
_TEXTS = 0.04
_TELL_EVERY = 200


def run(
    videos: Sequence[Path],
    *,
    n_files: int = 2400,
    seed: int = 0,
    deadline_s: float = 30.0,
    only: int | None = None,
    kept: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """What became of `n_files` spoilt files (or of number `only`); bad ones are left in `kept`.

    The first of `videos` is also put into every container that can be made here. `good` says that no reader crashed,
    hung, raised what is no error of ours, took too much memory, or was led to a file that it was not given.
    """
    with tempfile.TemporaryDirectory(prefix="affect-streamer-hostile-") as place, Reader(deadline_s) as reader:
        folder = Path(place)
        seeds = [*made(pictures_of(videos[0]), folder), *given(videos)]
        secret = secrets([one.data for one in seeds if one.ending == "ts"] or [seeds[0].data], folder)
        tally = Tally()
        for number in range(n_files) if only is None else (only,):
            what, ending, data = nth(number, seed, seeds, secret)
            path = folder / f"file-{number}.{ending}"
            path.write_bytes(data)
            answer = reader.read(path)
            trouble = tally.add(number, what, len(data), answer)
            if trouble:
                tell(f"file {number} ({what}): {trouble}")
                if kept is not None:
                    kept.mkdir(parents=True, exist_ok=True)
                    (kept / path.name).write_bytes(data)
            path.unlink()
            if (number + 1) % _TELL_EVERY == 0:
                tell(f"{number + 1} of {n_files} files read")
    return {
        **header("hostile"),
        "seed": seed,
        "deadline_s": deadline_s,
        "max_memory_mb": MAX_MEMORY_MB,
        "seeds": {one.name: len(one.data) for one in seeds},
        "processes": reader.n_started,
        **tally.facts(),
    }


def nth(number: int, seed: int, seeds: Sequence[Seed], secret: Path) -> tuple[str, str, bytes]:
    """(what it is, ending, content) of file `number`: seeds in turn, each spoilt in its own way."""
    rng = random.Random(f"{seed}:{number}")  # noqa: S311 (no secret depends on it)
    if rng.random() < _TEXTS:
        return playlist(rng, secret)
    chosen = seeds[number % len(seeds)]
    how, data = spoil(rng, chosen.data, [one.data for one in seeds])
    ending = chosen.ending if rng.random() < 0.9 else rng.choice(seeds).ending
    return f"{chosen.name}: {how}", ending, data


class Tally:
    """What became of the files so far."""

    def __init__(self) -> None:
        self._n = self._n_bytes = self._frames = self._corrupt = self._whole = 0
        self._ends: Counter[str] = Counter()
        self._ways: dict[str, Counter[str]] = {}
        self._bad: list[dict[str, Any]] = []
        self._slowest: list[tuple[float, str]] = []
        self._largest: list[tuple[float, str]] = []

    def add(self, number: int, what: str, n_bytes: int, answer: dict[str, Any]) -> str | None:
        """Count one file; what is bad about it, or None."""
        trouble = trouble_of(what, answer)
        frames, name = answer.get("frames", 0), f"{number} ({what})"
        end = "bad" if trouble else answer.get("error") or "played to the end"
        self._n += 1
        self._n_bytes += n_bytes
        self._frames += frames
        self._corrupt += answer.get("corrupt_packets", 0)
        self._ends[end] += 1
        for way in what.rpartition(": ")[2].split("+"):
            self._ways.setdefault(way, Counter())[end] += 1
        self._slowest = sorted([*self._slowest, (answer.get("seconds", 0.0), name)], reverse=True)[:5]
        self._largest = sorted([*self._largest, (answer.get("memory_mb", 0.0), name)], reverse=True)[:5]
        if trouble:
            self._bad.append({"file": number, "what": what, "bytes": n_bytes, "trouble": trouble})
        return trouble

    def facts(self) -> dict[str, Any]:
        """All of it, for the record."""
        return {
            "files": self._n,
            "bytes": self._n_bytes,
            "frames": self._frames,
            "corrupt_packets": self._corrupt,
            "ends": dict(self._ends.most_common()),
            "ways": {way: dict(ends.most_common()) for way, ends in sorted(self._ways.items())},
            "slowest_s": {name: seconds for seconds, name in self._slowest},
            "largest_mb": {name: mb for mb, name in self._largest},
            "bad": self._bad,
            "good": not self._bad,
        }


def trouble_of(what: str, answer: dict[str, Any]) -> str | None:
    """What is bad about an answer: anything but frames and typed errors within the limits."""
    for key in ("crashed", "hung", "untyped"):
        if key in answer:
            return f"{key}: {answer[key]}"
    if answer["memory_mb"] > MAX_MEMORY_MB:
        return f"memory: {answer['memory_mb']} MB"
    if what.startswith("text-") and answer["frames"]:
        return f"led astray: {answer['frames']} frames of another file"
    return None


def table(result: dict[str, Any]) -> str:
    """A few lines for people."""
    ends = "\n".join(f"  {n:5d}  {end}" for end, n in result["ends"].items())
    bad = "\n".join(f"  file {one['file']} ({one['what']}): {one['trouble']}" for one in result["bad"])
    return f"{result['files']} files, {result['frames']} frames\n{ends}" + (f"\nbad:\n{bad}" if bad else "\nnone bad")
