"""Spoilt files through the real decode path in processes of their own, and what the watch over them sees."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from streamer.bench.hostile import program
from streamer.bench.hostile.boxes import boxes_in
from streamer.bench.hostile.mutations import MUTATIONS
from streamer.bench.hostile.reader import Reader
from streamer.bench.hostile.seeds import Seed
from streamer.errors import WorkerNotStarted
from tests.unit.decode.videos import pictures, write_video

N_FILES = 60
_LINES = "import sys,os,time,signal\nprint('ready', flush=True)\nfor line in sys.stdin:\n"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", pictures(30, 96, 64), "libx264", b_frames=2)


def test_sixty_spoilt_files_give_frames_and_typed_errors(clip: Path) -> None:
    result = program.run([clip], n_files=N_FILES, seed=6, deadline_s=30)
    assert result["bad"] == []
    assert result["good"]
    assert result["files"] == sum(result["ends"].values()) == N_FILES
    assert result["frames"] > 5 * N_FILES  # they are spoilt, not destroyed
    assert len(result["ends"]) >= 4
    assert len(result["ways"]) >= 12
    assert len(result["seeds"]) >= 10


def test_the_same_seed_spoils_the_same_files(clip: Path) -> None:
    seeds = [Seed("clip", "mp4", clip.read_bytes())]
    once, again, other = ([program.nth(number, seed, seeds, clip) for number in range(40)] for seed in (3, 3, 4))
    assert once == again
    assert once != other


@pytest.mark.parametrize("way", MUTATIONS)
def test_every_way_changes_a_file_and_ends(clip: Path, way: str) -> None:
    data = clip.read_bytes()
    out = {MUTATIONS[way](random.Random(seed), data, [data, data[::-1]]) for seed in range(8)}
    assert out - {data}
    for odd in (b"\x00", b"moov", data[:7]):
        MUTATIONS[way](random.Random(1), odd, [data])


def test_a_box_that_grows_keeps_the_file_whole(clip: Path) -> None:
    data = clip.read_bytes()
    grown = MUTATIONS["huge_atom"](random.Random(1), data, [])
    assert len(grown) > len(data)
    assert len(boxes_in(grown)) == len(boxes_in(data))


@pytest.mark.parametrize(
    ("does", "seen"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", {"crashed": "SIGSEGV"}),
        ("sys.exit(3)", {"crashed": "exit code 3"}),
        ("sys.stdout.write('{\"fra'), sys.stdout.flush(), sys.exit(0)", {"crashed": "exit code 0"}),
        ("time.sleep(60)", {"hung": 3.0}),
    ],
)
def test_crashes_and_hangs_are_seen_and_the_next_file_has_a_new_process(
    tmp_path: Path, does: str, seen: dict[str, object]
) -> None:
    good = 'print(\'{"frames": 1, "error": null, "memory_mb": 1}\', flush=True)'
    code = f"{_LINES} if 'bad' in line: {does}\n else: {good}\n"
    with Reader(3.0 if "hung" in seen else 20, [sys.executable, "-c", code]) as reader:
        assert reader.read(tmp_path / "fine")["frames"] == 1
        answer = reader.read(tmp_path / "bad")
        assert answer.keys() == seen.keys()
        if "crashed" in seen:
            assert answer == seen
        assert program.trouble_of("x: bits", answer)
        assert reader.n_started == 1
        assert reader.read(tmp_path / "fine")["frames"] == 1
        assert reader.n_started == 2


def test_a_process_that_does_not_start_is_no_files_doing(tmp_path: Path) -> None:
    with Reader(20, [sys.executable, "-c", "raise SystemExit(1)"]) as reader, pytest.raises(WorkerNotStarted):
        reader.read(tmp_path / "any")


def test_what_counts_as_bad() -> None:
    fine = {"frames": 3, "error": "damaged", "memory_mb": 10.0}
    assert program.trouble_of("mp4-h264: bits", fine) is None
    assert "memory" in (program.trouble_of("mp4-h264: bits", fine | {"memory_mb": 2000.0}) or "")
    assert "untyped" in (program.trouble_of("mp4-h264: bits", fine | {"untyped": "ValueError"}) or "")
    assert "astray" in (program.trouble_of("text-m3u8", fine) or "")
