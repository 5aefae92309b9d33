"""Pull, load and verify of a made-up network of EmotiEffLib's interface, all from local folders."""

import dataclasses
import multiprocessing
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engines import zoo
from engines.errors import ModelUnavailable, UnknownModel, WrongWeights
from engines.spec import TensorSpec
from engines.zoo import fetch, store
from engines.zoo.cache import sha256_of_bytes
from engines.zoo.catalogue import ENET_B0_8_VA_MTL, ENTRIES
from engines.zoo.convert import emotiefflib
from engines.zoo.entries import Artefact, Entry, Https
from tests.unit.engines.zoo.networks import emotiefflib_network

N_FEATURES = 12
PUBLISHED = emotiefflib_network(11, n_features=N_FEATURES)


def made_up_entry(*, pinned: bool) -> Entry:
    sha256, spec = sha256_of_bytes(PUBLISHED), ENET_B0_8_VA_MTL.spec
    outputs = (TensorSpec(name="features", shape=(-1, N_FEATURES)), *spec.outputs[1:])
    converted = sha256_of_bytes(emotiefflib.convert({emotiefflib.FILE: PUBLISHED}))
    return dataclasses.replace(
        ENET_B0_8_VA_MTL,
        spec=msgspec.structs.replace(spec, name="made-up", sha256=sha256, n_features=N_FEATURES, outputs=outputs),
        artefacts=(Artefact(emotiefflib.FILE, sha256),),
        sources=(),
        converted_sha256=converted if pinned else None,
    )


@pytest.fixture(params=[True, False], ids=["pinned", "noted"])
def entry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Entry:
    made = made_up_entry(pinned=request.param)
    monkeypatch.setattr(store, "ENTRIES", (*ENTRIES, made))
    return made


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / emotiefflib.FILE).write_bytes(PUBLISHED)
    return folder


def test_pulled_once_then_loaded_offline(entry: Entry, published: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert zoo.verify("made-up", cache=cache).state == "absent"
    said: list[str] = []
    pulled = zoo.pull("made-up", cache=cache, folder=published, progress=said.append)
    assert pulled.spec == entry.spec
    assert said[-1] == f"made-up: ready at {pulled.path}"
    assert zoo.load("made-up", cache=cache, offline=True) == pulled
    assert zoo.verify("made-up", cache=cache).state == "good"
    listed = {one.spec.name: one for one in zoo.list_models(cache=cache)}
    assert listed["made-up"].path == pulled.path
    assert listed["made-up"].size_bytes == pulled.path.stat().st_size
    assert listed["centerface"].path is None


def test_a_damaged_file_is_refused_until_pulled_again(entry: Entry, published: Path, tmp_path: Path) -> None:
    path = zoo.pull("made-up", cache=tmp_path, folder=published).path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WrongWeights, match="streamer models pull made-up"):
        zoo.load("made-up", cache=tmp_path, folder=published)
    assert zoo.verify("made-up", cache=tmp_path).state == "wrong"
    zoo.pull("made-up", cache=tmp_path, folder=published)
    assert path.read_bytes() == whole


def test_wrong_published_weights_are_refused_and_not_kept(entry: Entry, published: Path, tmp_path: Path) -> None:
    (published / emotiefflib.FILE).write_bytes(PUBLISHED + b"\0")
    with pytest.raises(WrongWeights, match=entry.artefacts[0].sha256):
        zoo.load("made-up", cache=tmp_path / "cache", folder=published)
    assert zoo.verify("made-up", cache=tmp_path / "cache").state == "absent"


def test_a_converted_file_in_the_folder_will_do_when_it_is_pinned(
    monkeypatch: pytest.MonkeyPatch, published: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(store, "ENTRIES", (made_up_entry(pinned=True),))
    path = zoo.pull("made-up", cache=tmp_path / "one", folder=published).path
    second = zoo.load("made-up", cache=tmp_path / "two", folder=path.parent)
    assert second.path.read_bytes() == path.read_bytes()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / path.name).write_bytes(b"something else")
    with pytest.raises(WrongWeights, match="refused"):
        zoo.load("made-up", cache=tmp_path / "three", folder=tmp_path / "bad")


def test_what_to_do_is_said_when_there_is_nothing(entry: Entry, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="streamer models pull made-up"):
        zoo.load("made-up", cache=tmp_path, offline=True)
    with pytest.raises(ModelUnavailable, match="put them there"):
        zoo.load("made-up", cache=tmp_path, folder=tmp_path)
    with pytest.raises(ModelUnavailable, match="it has none"):
        zoo.pull("made-up", cache=tmp_path)
    with pytest.raises(UnknownModel, match="centerface, yunet, face-api"):
        zoo.load("no-such-model", cache=tmp_path)


def test_a_cache_that_cannot_be_written_is_said(entry: Entry, published: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match="AFFECT_STREAMER_CACHE"):
        zoo.pull("made-up", cache=tmp_path / "file", folder=published)


def test_sources_that_fail_are_all_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as refusing:  # bound, not listening: every connection is refused
        refusing.bind(("127.0.0.1", 0))
        address = f"https://127.0.0.1:{refusing.getsockname()[1]}/weights"
        sources = (Https(((emotiefflib.FILE, address),)), Https(((emotiefflib.FILE, "http://127.0.0.1/weights"),)))
        entry = dataclasses.replace(made_up_entry(pinned=True), sources=sources)
        with pytest.raises(ModelUnavailable) as raised:
            fetch.fetch(entry, lambda _: None)
    assert "did not answer" in str(raised.value)
    assert "no https address" in str(raised.value)
    assert "The expression models face-api and fer" in str(raised.value)


def _pull_in_child(folder: Path, cache: Path) -> None:
    store.ENTRIES = (made_up_entry(pinned=True),)
    zoo.pull("made-up", cache=cache, folder=folder)


def test_two_processes_may_pull_at_once(published: Path, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    pullers = [spawn.Process(target=_pull_in_child, args=(published, tmp_path / "cache")) for _ in range(2)]
    for puller in pullers:
        puller.start()
    for puller in pullers:
        puller.join(60)
        assert puller.exitcode == 0
    (kept,) = (tmp_path / "cache" / "models").iterdir()
    assert sorted(one.name for one in kept.iterdir()) == [".lock", "made-up.onnx"]


def test_the_zoo_loads_no_engine_and_no_converter() -> None:
    program = (
        "import sys, engines.zoo, engines.runtime\n"
        "loaded = {'openvino', 'onnx', 'av', 'cv2', 'click'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
