"""A peer made ready and run: its environment, its threads, its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.spec import ModelSpec
from engines.zoo import load
from streamer import machine
from streamer.bench.peers.catalogue import Peer
from streamer.bench.peers.environments import Environment, environment
from streamer.bench.peers.protocol import Answer, PeerFailed, ask

PROBE_FRAMES = 100
SLOWEST_FPS = 1.0
_LOADS_WITHIN_S = 120.0
Tell = Callable[[str], None]


@dataclass(slots=True)
class Contestant:
    """A peer that is ready to run, or the reason why it is not."""

    peer: Peer
    home: Environment | None = None
    arguments: tuple[str, ...] = ()
    reason: str | None = None
    probes: list[dict[str, Any]] = field(default_factory=list)
    speeds: list[Answer] = field(default_factory=list)
    one_a_core_fps: list[float] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether it can be run."""
        return self.reason is None


def prepare(peer: Peer, resnet50: Path | None, cache: Path | None, tell: Tell) -> Contestant:
    """The peer with its environment made and its networks named. CenterFace and face-api must be in the cache."""
    try:
        home = environment(peer.environment, peer.requirements, cache=cache, tell=tell)
    except PeerFailed as error:
        tell(f"{peer.name} is missing: {error}")
        return Contestant(peer, reason=str(error))
    arguments = peer.arguments
    if peer.network != "own":
        model = load("face-api" if peer.network == "face-api" or resnet50 is None else str(resnet50), offline=True)
        detector = load("centerface", offline=True)
        files = ("--detector", str(detector.path), "--classifier", str(model.path))
        arguments = (*arguments, *files, *recipe(model.spec))
    return Contestant(peer, home, arguments)


def choose_threads(one: Contestant, clip: Path, folder: Path, tell: Tell) -> None:
    """Have an afternoon's loop use the settings with which it is fastest. Libraries run as they come."""
    if not one.ready or one.peer.network == "own":
        return
    for runtime, vision in thread_settings(machine.n_cores()):
        flags = ("--threads", str(runtime), "--cv-threads", str(vision))
        answer = watch(one, clip, folder, (*flags, "--frames", str(PROBE_FRAMES)))
        if answer is None:
            return
        one.probes.append({"onnxruntime_threads": runtime, "opencv_threads": vision, "fps": answer.fps})
    best = max(one.probes, key=lambda probe: probe["fps"])
    tell(f"{one.peer.name}: fastest with {best}")
    threads = ("--threads", str(best["onnxruntime_threads"]), "--cv-threads", str(best["opencv_threads"]))
    one.arguments = (*one.arguments, *threads)


def one_a_core(one: Contestant, clip: Path, folder: Path) -> None:
    """Note how fast as many single-threaded loops as there are cores are together, each over the whole clip."""
    assert one.home is not None, "what is ready has an environment"
    python, n = one.home.python, machine.n_cores()
    single = (*one.arguments, "--threads", "1", "--cv-threads", "1")  # the last of a flag counts
    patience_s = _patience_s(n * one.speeds[-1].frames)

    def whole(k: int) -> Answer:
        return ask(python, one.peer.program, single, clip, folder / f"{one.peer.name}-{k}.json", patience_s)

    try:
        with ThreadPoolExecutor(n) as pool:
            answers = list(pool.map(whole, range(n)))
    except PeerFailed as error:
        one.reason = str(error)
        return
    one.one_a_core_fps.append(sum(answer.frames for answer in answers) / max(answer.wall_s for answer in answers))


def watch(one: Contestant, clip: Path, folder: Path, more: Sequence[str] = ()) -> Answer | None:
    """The peer's answer; None when it failed, and then it is out."""
    assert one.home is not None, "what is ready has an environment"
    frames = one.speeds[-1].frames if one.speeds else 10_000
    try:
        out = folder / f"{one.peer.name}.json"
        return ask(one.home.python, one.peer.program, (*one.arguments, *more), clip, out, _patience_s(frames))
    except PeerFailed as error:
        one.reason = str(error)
        return None


def _patience_s(n_frames: int) -> float:
    return _LOADS_WITHIN_S + n_frames / SLOWEST_FPS


def recipe(spec: ModelSpec) -> tuple[str, ...]:
    """The flags that tell the afternoon's loop how a network wants its crops."""
    assert spec.crop is not None, "an expression model always has a crop geometry"
    shape, normalisation = spec.crop, spec.normalisation
    flags = ["--crop", "aligned" if shape.kind == "five_point" else "box", "--side", str(shape.width)]
    flags += ["--margin", str(shape.margin), "--labels", ",".join(spec.class_order)]
    flags += [f"--mean={','.join(map(str, normalisation.mean))}", f"--std={','.join(map(str, normalisation.std))}"]
    return (*flags, *(["--bgr"] if normalisation.colour == "bgr" else []))


def thread_settings(n_cores: int) -> list[tuple[int, int]]:
    """Threads of ONNX Runtime and of OpenCV (0: its own choice) that the afternoon's loop is tried with."""
    return [(runtime, vision) for runtime in sorted({1, n_cores}) for vision in (1, 0)]
