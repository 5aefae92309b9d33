from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engines.zoo import cache_folder, entry_of, load_export
from engines.zoo.clients import ClientFailed
from engines.zoo.sample import CLIP, fetch_sample
from streamer.bench.peers import environments, program
from streamer.bench.peers.catalogue import PEERS, PROGRAMS, Peer
from streamer.bench.peers.contestants import choose_threads, prepare, recipe, thread_settings
from streamer.bench.peers.counts import COUNTS
from streamer.bench.peers.environments import Environment, environment
from streamer.bench.peers.judge import against_counts, agreement
from streamer.bench.peers.protocol import Answer, FaceRow, PeerFailed, ask
from streamer.bench.peers.resnet50 import write_random_export
from streamer.bench.peers.table import table
from streamer.config import Config
from streamer.errors import UsageError
from tests.product import CLIPS, needs_clips

LEFT, RIGHT = (0.1, 0.2, 0.2, 0.3), (0.6, 0.2, 0.2, 0.3)
FAKE = """
import argparse, json
arguments = argparse.ArgumentParser()
for flag in ("--clip", "--out", "--frames", "--speak"):
    arguments.add_argument(flag)
options = arguments.parse_args()
json.dump({"frames": 240, "wall_s": 24.0, "cpu_s": 36.0, "ready_s": 1.0,
           "faces": [[n, 0.3, 0.25, 0.3, 0.45, "Happy"] for n in range(120)]}, open(options.out, "w"))
"""


def row(frame: int, box: tuple[float, float, float, float] = LEFT, label: str | None = "Happy") -> FaceRow:
    return (frame, *box, label)


# -- judging ------------------------------------------------------------------------------------------------------


def test_recall_and_false_boxes_are_counted_frame_by_frame() -> None:
    seen = [row(0), row(0, RIGHT), row(1), row(3)]  # one too many, right, missed, none there
    assert against_counts(seen, [1, 1, 2, 0]) == {"faces": 4, "found": 2, "recall": 0.5, "false_boxes": 2}


def test_a_box_too_many_makes_up_for_no_missed_face() -> None:
    assert against_counts([row(0), row(0, RIGHT)], [1, 1])["recall"] == 0.5


def test_boxes_beyond_the_last_frame_are_false_and_no_faces_have_no_recall() -> None:
    assert against_counts([row(7)], [0, 0]) == {"faces": 0, "found": 0, "recall": None, "false_boxes": 1}


def test_labels_are_compared_where_both_saw_the_same_face_and_named_it() -> None:
    ours = [row(0, LEFT, "Happy"), row(0, RIGHT, "Sad"), row(1, LEFT, None), row(2, LEFT, "Fear")]
    theirs = [row(0, RIGHT, "Happy"), row(0, LEFT, "Happy"), row(1, LEFT, "Happy"), row(2, RIGHT, "Fear")]
    assert agreement(ours, theirs) == {"faces_shared": 3, "labels_compared": 2, "labels_equal": 0.5}


def test_every_frame_of_the_sample_shows_one_face() -> None:
    assert COUNTS[CLIP.sha256].faces == (1,) * 120


@needs_clips
@pytest.mark.clips
def test_counts_are_of_all_frames_of_the_shared_clips() -> None:
    with (CLIPS / "manifest.csv").open(newline="", encoding="utf-8") as file:
        listed = {one["sha256"]: one for one in csv.DictReader(file)}
    for sha256, counted in COUNTS.items():
        if sha256 != CLIP.sha256:
            assert len(counted.faces) == int(listed[sha256]["frames"]), listed[sha256]["file"]
            assert (listed[sha256]["faces"] == "no") == (sum(counted.faces) == 0)


# -- running a peer -----------------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "peer.py"
        path.write_text(text)
        return path

    return write


def run_it(peer: Path, tmp_path: Path) -> Any:
    return ask(Path(sys.executable), peer, (), tmp_path / "clip.mp4", tmp_path / "seen.json", 60)


def test_a_peer_answers_through_its_file_whatever_it_prints(script: Callable[[str], Path], tmp_path: Path) -> None:
    answer = run_it(script(FAKE + "print('{noise')\n"), tmp_path)
    assert (answer.frames, answer.fps, len(answer.faces)) == (240, 10.0, 120)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ImportError('no module named fer')", "no module named fer"),
        ("pass", "wrote nothing"),
        ("import sys; open(sys.argv[4], 'w').write('{}')", "wrote nothing"),
        (FAKE.replace('"frames": 240', '"frames": 0'), "cannot decode"),
    ],
)
def test_a_peer_that_fails_says_why(script: Callable[[str], Path], tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(PeerFailed, match=reason):
        run_it(script(text), tmp_path)


def test_a_peer_does_not_inherit_our_limits(
    script: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    clean = "import os\nassert not {'OMP_NUM_THREADS', 'PYTHONPATH'} & set(os.environ), 'limited'\n"
    assert run_it(script(clean + FAKE), tmp_path).frames == 240


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, ...]] = []

    def make(folder: Path, *requirements: str) -> Path:
        made.append(requirements)
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(sys.executable)
        return folder / "bin"

    monkeypatch.setattr(environments, "throw_away_environment", make)
    first = environment("one", ("a", "b<2"), cache=tmp_path)
    assert environment("one", ("a", "b<2"), cache=tmp_path) == first
    assert environment("one", ("a", "b<3"), cache=tmp_path) != first
    assert made == [("a", "b<2"), ("a", "b<3")]
    assert first.versions["python"].count(".") == 2


def test_an_environment_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path, *requirements: str) -> Path:
        (folder / "bin").mkdir(parents=True)
        raise ClientFailed("no such package")

    monkeypatch.setattr(environments, "throw_away_environment", fail)
    with pytest.raises(PeerFailed, match="no such package"):
        environment("one", ("nobody",), cache=tmp_path)
    assert [path.name for path in (tmp_path / "peers").iterdir()] == [".lock"]


# -- the afternoon's loop -----------------------------------------------------------------------------------------


def test_the_loop_is_told_what_the_face_api_network_wants() -> None:
    flags = recipe(entry_of("face-api").spec)
    assert flags[:2] == ("--crop", "aligned")
    assert "--mean=122.782,117.001,104.298" in flags
    assert "Neutral,Happy,Sad,Angry,Fear,Disgust,Surprise" in flags
    assert "--bgr" not in flags


def test_one_and_all_cores_are_tried() -> None:
    assert thread_settings(2) == [(1, 1), (1, 0), (2, 1), (2, 0)]
    assert thread_settings(1) == [(1, 1), (1, 0)]


def test_the_fastest_threads_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from streamer.bench.peers import contestants

    tried: list[tuple[str, ...]] = []

    def answer(python: Path, path: Path, arguments: Any, *rest: Any) -> Any:
        tried.append(tuple(arguments))
        fast = arguments[arguments.index("--threads") + 1] == "1" and arguments[-3] == "0"
        return Answer(frames=100, wall_s=1.0 if fast else 2.0, cpu_s=1.0, ready_s=0.0, faces=())

    monkeypatch.setattr(contestants, "ask", answer)
    monkeypatch.setattr("streamer.machine.n_cores", lambda: 2)
    peer = next(one for one in PEERS if one.name == "afternoon")
    one = contestants.Contestant(peer, Environment(Path("python"), {}))
    choose_threads(one, tmp_path / "clip.mp4", tmp_path, lambda _: None)
    assert one.arguments == ("--threads", "1", "--cv-threads", "0")
    assert len(tried) == 4


def test_resnet50_with_random_weights_is_an_export_like_any(tmp_path: Path) -> None:
    loaded = load_export(write_random_export(tmp_path))
    flags = recipe(loaded.spec)
    assert (loaded.spec.n_features, flags[:4]) == (2048, ("--crop", "box", "--side", "224"))
    assert "--bgr" in flags


@pytest.mark.models
@pytest.mark.usefixtures("models")
def test_the_afternoons_loop_finds_the_face_of_the_sample(tmp_path: Path) -> None:
    peer = next(one for one in PEERS if one.name == "afternoon")
    if not list((cache_folder() / "peers").glob("afternoon-*/made.json")):
        pytest.skip("no environment with ONNX Runtime was made on this machine: `streamer bench peers` makes it")
    one = prepare(peer, None, None, lambda _: None)
    assert one.home is not None
    answer = ask(one.home.python, peer.program, (*one.arguments, "--frames", "12"), fetch_sample(), tmp_path / "o", 60)
    assert against_counts(answer.faces, (1,) * 12) == {"faces": 12, "found": 12, "recall": 1.0, "false_boxes": 0}
    assert all(face[5] for face in answer.faces)


# -- the whole ----------------------------------------------------------------------------------------------------


def test_ratios_are_taken_within_a_round() -> None:
    ours = [{"refine": {"many": 100.0, "one": 50.0}}, {"refine": {"many": 300.0, "one": 60.0}}]
    assert program.ratios(ours, "refine", [10.0, 20.0]) == {"many": 12.5, "one": 4.0}


def test_a_peer_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody"):
        program.run(tmp_path / "clip.mp4", (), Config(), program.Plan(names=("nobody",)))


@pytest.mark.models
@pytest.mark.usefixtures("models")
def test_ours_beside_a_peer_and_one_that_is_missing(
    script: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Peer("fake", "fake", ("made-up",), script(FAKE), ("--speak", "x"), "none", "own", "answers without looking")
    absent = replace(fake, name="absent", environment="absent")

    def found(name: str, requirements: Any, **_: Any) -> Environment:
        if name == "absent":
            raise PeerFailed("its environment could not be made: no such package")
        return Environment(Path(sys.executable), {"made-up": "1"})

    monkeypatch.setattr(program, "PEERS", (fake, absent))
    monkeypatch.setattr("streamer.bench.peers.contestants.environment", found)
    plan = program.Plan(("fake", "absent"), n_files=1, duration_s=1.0, repeats=1)
    result = json.loads(json.dumps(program.run(fetch_sample(), (), Config(), plan)))
    ours = result["ours"]["refine"]
    every = result["ours"]["every_frame"]
    told = result["peers"]["fake"]
    assert (told["missing"], told["fps"], told["same_frames"]) == (None, 10.0, ours["frames"] == 240)
    assert told["ratio"]["refine"]["one"] == pytest.approx(ours["one"] / 10.0)
    assert told["ratio"]["every_frame"]["many"] == pytest.approx(every["many"] / 10.0)
    assert result["clips"]["carphone.mp4"] | {"boxes": 120} == result["clips"]["carphone.mp4"]
    assert result["clips"]["carphone.mp4"]["recall"] == 1.0
    assert told["clips"]["carphone.mp4"]["faces_shared"] > 100
    assert result["peers"]["absent"]["missing"] == "its environment could not be made: no such package"
    assert "absent             missing: its environment could not be made: no such package" in table(result)


def test_programs_of_peers_import_nothing_of_ours() -> None:
    for path in PROGRAMS.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import streamer" not in text
        assert "from streamer" not in text
        assert "from engines" not in text
