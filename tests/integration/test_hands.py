"""One file on several processes: the same records as on one, also when a process is killed under way."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from engines.zoo.sample import fetch_sample
from streamer.bench.clips import loop_clip
from streamer.clock import SystemClock
from streamer.config import Config, DetectSettings, GateSettings, WorkerSettings
from streamer.decode import open_source
from streamer.faces.track import Tracker
from streamer.messages import encode
from streamer.pipeline import Models, Pipeline, StageTimes, StreamState
from streamer.sources import parse
from streamer.state.actor import StreamActor
from streamer.state.records import StreamContext
from streamer.types import Counters, Frame
from streamer.worker.hands import Hands
from streamer.worker.link import Start
from tests.product import observations, streamer

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("models")]
BATCH = 40
GETS_READY_S = 120.0
EVERY_FRAME = msgspec.structs.replace(Config(), detect=DetectSettings(interval_s=0.0))


@pytest.fixture(scope="module")
def models_here() -> Models:
    return Models.open(Config())


def start_with(config: Config, n: int) -> Start:
    return Start(child=0, config=config, run=None, live_run="r", hands=n)


@pytest.fixture
def hands() -> Iterator[Callable[[Config, int], Hands]]:
    made: list[Hands] = []

    def begin(config: Config, n: int) -> Hands:
        made.append(Hands(start_with(config, n), StageTimes(), SystemClock(), after_frames=0))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def frames_of(sample: Path, n: int) -> list[Frame]:
    [source] = parse(str(sample), "archive")
    with open_source(source, Config().decode, SystemClock()) as decoder:
        return list(islice(decoder, n))


def records(
    models: Models,
    frames: list[Frame],
    others: Hands | None,
    before_batch: Callable[[int], None] = lambda _: None,
    config: Config = Config(),  # noqa: B008 (it is frozen)
    owing: bool = True,
) -> list[bytes]:
    counters = Counters()
    context = StreamContext("a", "r", "s", models.model_id, models.precision)
    actor = StreamActor(context, config.state, models.head.needs, counters)
    state = StreamState(Tracker(config.track), actor, counters)
    pipeline = Pipeline(models, config, StageTimes(), others)
    pipeline.prepare((frames[0].picture.width, frames[0].picture.height))
    made = []
    for number, at in enumerate(range(0, len(frames), BATCH)):
        before_batch(number)
        for _, out in pipeline.step([(state, one) for one in frames[at : at + BATCH]], may_owe=owing):
            made += [encode(record) for record in out]
    return made + [encode(record) for _, out in pipeline.finish() for record in out]


def get_ready(others: Hands, frames: list[Frame], n: int) -> None:
    """Until `n` hands would take a part: the first batch begins them."""
    others.prepare((frames[0].picture.width, frames[0].picture.height))
    state = StreamState(Tracker(Config().track), None)  # type: ignore[arg-type]
    batch = [(state.standing.chain, one) for one in frames[:BATCH]]
    limit_s = time.monotonic() + GETS_READY_S
    while len(parts := others.begin(batch)) < n:
        for part in parts:
            part.wait()
        assert time.monotonic() < limit_s, "the hands do not get ready"
        time.sleep(0.05)
    for part in parts:
        assert part.wait() is not None


@pytest.mark.parametrize("config", [Config(), EVERY_FRAME], ids=["refined", "every frame searched"])
def test_parts_looked_at_by_others_give_the_same_bytes(
    models_here: Models, hands: Callable[[Config, int], Hands], config: Config
) -> None:
    frames = frames_of(fetch_sample(), 120)
    alone = records(models_here, frames, None, config=config)
    others = hands(config, 2)
    get_ready(others, frames, 2)
    assert records(models_here, frames, others, config=config) == alone
    assert records(models_here, frames, others, config=config, owing=False) == alone
    assert len(alone) > 100


def test_a_hand_that_is_killed_costs_nothing(models_here: Models, hands: Callable[[Config, int], Hands]) -> None:
    frames = frames_of(fetch_sample(), 120)
    alone = records(models_here, frames, None)
    others = hands(Config(), 1)
    get_ready(others, frames, 1)
    [process] = others.processes

    def kill(batch: int) -> None:
        if batch == 1:
            process.kill()
            process.wait()

    assert records(models_here, frames, others, kill) == alone
    assert others.processes == ()


def test_without_memory_to_share_the_child_goes_on_alone(
    models_here: Models, hands: Callable[[Config, int], Hands], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = frames_of(fetch_sample(), 120)
    alone = records(models_here, frames, None)
    others = hands(Config(), 1)

    def refuse(file: int, offset: int, n_bytes: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    state = StreamState(Tracker(Config().track), None)  # type: ignore[arg-type]
    batch = [(state.standing.chain, one) for one in frames[:BATCH]]
    limit_s = time.monotonic() + GETS_READY_S
    while not (parts := others.begin(batch)):
        assert time.monotonic() < limit_s, "the hand does not get ready"
        time.sleep(0.05)
    assert [part.wait() for part in parts] == [None]
    assert others.processes == ()
    assert records(models_here, frames, others) == alone


def test_with_gates_nothing_is_given_away(hands: Callable[[Config, int], Hands]) -> None:
    gated = msgspec.structs.replace(Config(), gates=GateSettings(still_scene=True))
    others = hands(gated, 1)
    frames = frames_of(fetch_sample(), 20)
    state = StreamState(Tracker(gated.track), None)  # type: ignore[arg-type]
    assert others.begin([(state.standing.chain, one) for one in frames]) == ()
    assert others.processes == ()


def test_a_short_file_starts_none(models_here: Models) -> None:
    frames = frames_of(fetch_sample(), 120)
    others = Hands(start_with(Config(), 1), StageTimes(), SystemClock())
    records(models_here, frames, others)
    assert others.processes == ()


def test_one_file_by_the_command_on_one_process_or_on_three(tmp_path: Path) -> None:
    long = tmp_path / "long.mp4"
    loop_clip(fetch_sample(), long, 40.0)
    seen = []
    for n in (1, 3):
        config = tmp_path / f"{n}.yaml"
        config.write_bytes(msgspec.yaml.encode({"worker": msgspec.to_builtins(WorkerSettings(children=n))}))
        folder = tmp_path / str(n)
        folder.mkdir()
        done = streamer("run", long, "--config", config, "--quiet", cwd=folder)
        assert done.returncode == 0, done.stderr
        seen.append([encode(one) for one in observations(folder / "affect.db")])
    assert seen[0] == seen[1]
    assert len(seen[0]) > 1000
