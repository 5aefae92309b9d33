from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.bus.open import open_bus
from streamer.bus.protocol import Incoming
from streamer.bus.read import drain
from streamer.bus.topics import outgoing, topics
from streamer.config import TopicSettings
from streamer.messages import Status, StreamDefinition, decode
from streamer.wishes import records
from streamer.wishes.records import Rejected
from tests.golden.records import STATUS
from tests.unit.cli.verbs import streamer, told, watched, write

SETTINGS = TopicSettings()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/fleet.db"
    monkeypatch.setenv("STREAMER_BUS", url)
    return url


def control(url: str) -> list[Incoming]:
    bus = open_bus(url, create=False)
    found = list(drain(bus, [topics(SETTINGS).streams.name]))
    bus.close()
    return found


def definitions(url: str) -> dict[str, StreamDefinition]:
    return {record.key.decode(): decode(record.value, StreamDefinition) for record in control(url) if record.value}


def status(stream: str, state: Any, epoch: int = 7, **fields: Any) -> Status:
    fields = {"cause": None, "message": None} | fields
    return msgspec.structs.replace(STATUS, stream=stream, state=state, epoch=epoch, **fields)


def test_a_stream_is_added_replaced_changed_paused_and_removed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert streamer(capsys, "streams", "add", "a=testsrc://64x64@5", "--fps", "2", "--priority", "3")[:2] == (
        0,
        "a: added\n",
    )
    first = definitions(url)["a"]
    assert (first.source, first.sample_fps, first.priority, first.paused) == ("testsrc://64x64@5", 2.0, 3, False)
    assert first.updated_s > 1e9
    assert told(capsys, "streams", "add", "a=testsrc://32x32@5", "b=testsrc://64x64@5", "--paused") == [
        {"stream": "a", "done": "replaced"},
        {"stream": "b", "done": "added"},
    ]
    assert definitions(url)["a"].sample_fps is None
    assert told(capsys, "streams", "set", "a", "b", "--fps", "4", "--model", "face-api", "--repeat")
    assert told(capsys, "streams", "set", "a", "--fps", "0", "--model", "default", "--source", "testsrc://16x16")
    now = definitions(url)
    assert (now["a"].sample_fps, now["a"].model, now["a"].source, now["a"].repeat) == (
        None,
        None,
        "testsrc://16x16",
        True,
    )
    assert (now["b"].sample_fps, now["b"].model, now["b"].source) == (4.0, "face-api", "testsrc://64x64@5")
    told(capsys, "streams", "resume", "a")
    assert [definitions(url)[name].paused for name in "ab"] == [False, True]
    told(capsys, "streams", "pause", "a")
    assert definitions(url)["a"].paused
    told(capsys, "streams", "remove", "a")
    newest = {record.key: record.value for record in control(url)}
    assert newest[b"a"] is None
    assert newest[b"b"] is not None
    assert [one["stream"] for one in told(capsys, "streams", "list")] == ["b"]


def test_how_much_of_a_stream_is_looked_at_is_its_own_matter(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    def looked_at() -> tuple[float | None, bool | None, int | None]:
        one = definitions(url)["a"]
        return one.sample_fps, one.keyframes_only, one.max_faces

    told(capsys, "streams", "add", "a=testsrc://64x64@5")
    assert looked_at() == (None, None, None)  # as the worker's settings say
    told(capsys, "streams", "add", "a=testsrc://64x64@5", "--sample-fps", "0.5", "--keyframes-only", "--max-faces", "3")
    assert looked_at() == (0.5, True, 3)
    told(capsys, "streams", "set", "a", "--priority", "1")
    assert looked_at() == (0.5, True, 3)
    told(capsys, "streams", "set", "a", "--every-frame", "--max-faces", "0", "--fps", "0")
    assert looked_at() == (None, False, 0)


def test_paths_are_written_whole_and_one_that_is_elsewhere_is_only_warned_of(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").touch()
    assert streamer(capsys, "streams", "add", "a=a.mp4", "p=pictures?fps=5", "cam=0")[2] == ""
    code, _, err = streamer(capsys, "streams", "add", "far=/far/away.mp4")
    assert code == 0
    assert "not on this machine" in err
    assert {name: one.source for name, one in definitions(url).items()} == {
        "a": str(tmp_path / "a.mp4"),
        "p": f"{tmp_path}/pictures?fps=5",
        "cam": "0",
        "far": "/far/away.mp4",
    }


@pytest.mark.parametrize(
    ("arguments", "code", "told_of"),
    [
        (("add", "testsrc://64x64"), 2, "NAME=SOURCE"),
        (("add", "a b=testsrc://64x64"), 2, "NAME=SOURCE"),
        (("add", "a=nothing.mp4"), 2, "does not exist"),
        (("add", "a=testsrc://64x64", "a=testsrc://32x32"), 2, "two sources"),
        (("add", "a=testsrc://64x64", "--fps", "-1"), 2, "--fps"),
        (("add", "a=udp://u:geheim@cam/1"), 1, "udp"),
        (("set", "a"), 2, "nothing is to change"),
        (("pause", "nobody", "a"), 2, "nobody"),
        (("remove", "nobody"), 2, "nobody"),
    ],
)
def test_what_is_wrong_changes_nothing_and_says_why(
    url: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, told_of: str
) -> None:
    told(capsys, "streams", "add", "a=testsrc://16x16")
    before = control(url)
    left, out, err = streamer(capsys, "streams", *arguments)
    assert (left, out) == (code, "")
    assert told_of in err
    assert err.count("\n") == 1
    assert "geheim" not in err
    assert control(url) == before


def test_a_bus_that_is_not_there_is_made_by_add_only(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (("list",), ("remove", "a"), ("watch", "--for", "1")):
        assert streamer(capsys, "streams", *verb)[0] == 1
    assert not (tmp_path / "fleet.db").exists()
    assert streamer(capsys, "streams", "add", "a=testsrc://64x64")[0] == 0


def test_list_joins_what_is_wanted_with_what_was_heard(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "streams", "add", "a=http://u:geheim@cam/1.mp4?token=geheim", "b=testsrc://64x64", "c=testsrc://64x64")
    write(
        url,
        records.claim("a", "worker-1", SETTINGS),
        outgoing(status("a", "live", frame_age_s=0.25, analysed=40), SETTINGS),
        outgoing(status("b", "waiting", cause="capacity", message="waiting for capacity: full"), SETTINGS),
    )
    a, b, c = told(capsys, "streams", "list", "--workers")
    assert (a["state"], a["worker"], a["epoch"], a["frame_age_s"], a["analysed"]) == ("live", "worker-1", 7, 0.25, 40)
    assert 0 <= a["status_age_s"] < 60
    assert (b["state"], b["message"], b["worker"]) == ("waiting", "waiting for capacity: full", None)
    assert (c["state"], c["epoch"]) == (None, None)
    out = streamer(capsys, "streams", "list")[1]
    assert "geheim" not in out + json.dumps(a)
    assert "(waiting for capacity: full)" in out
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["a", "live"], ["b", "waiting"], ["c", "silent"]]


def lively(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *options: str) -> list[str]:
    """The lines of a watch during which a worker takes up a stream, and somebody defines a wrong one."""

    def work() -> None:
        refused = Rejected(control(url)[0], "refused", "not allowed here.")
        waiting = status("a", "waiting", 6, cause="capacity", message="waiting for capacity: 8 of 8")
        write(
            url,
            outgoing(waiting, SETTINGS),
            outgoing(msgspec.structs.replace(waiting, message="waiting for capacity: 9 of 9"), SETTINGS),
            outgoing(status("a", "live"), SETTINGS),
            outgoing(status("a", "stalled", 6), SETTINGS),
            outgoing(status("a", "live"), SETTINGS),
            outgoing(status("a", "backing_off", cause="unreachable", message="cam: no answer"), SETTINGS),
            records.dead_letter(refused, SETTINGS),
            records.stream_removal("a", SETTINGS),
        )

    return watched(capsys, monkeypatch, 8, work, *options)


def test_watch_tells_each_change_once_rejections_and_reasons_too(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(capsys, "streams", "add", "a=testsrc://64x64")
    happened = [json.loads(line) for line in lively(url, capsys, monkeypatch, "--json")]
    by_topic = {
        "status": [one["what"] for one in happened if one["what"] not in ("rejected", "removed")],
        "letters": [(one["stream"], one["message"]) for one in happened if one["what"] == "rejected"],
        "removed": [one["stream"] for one in happened if one["what"] == "removed"],
    }
    assert by_topic == {
        "status": ["waiting", "live", "backing_off"],
        "letters": [("a", "not allowed here.")],
        "removed": ["a"],
    }


def test_list_and_watch_show_what_is_set(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "testsrc://64x64@5"
    told(capsys, "streams", "add", f"a={address}", "--sample-fps", "0.5", "--keyframes-only", "--max-faces", "3")
    told(capsys, "streams", "add", f"b={address}", "--every-frame", "--max-faces", "0", "--priority", "-2")
    told(capsys, "streams", "add", f"c={address}")
    rows = [line.split("  ") for line in streamer(capsys, "streams", "list")[1].splitlines()[1:]]
    shown = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [row[4:] for row in shown] == [
        ["0.5 fps, key frames, 3 faces", address],
        ["every frame, every face, priority -2", address],
        ["-", address],
    ]
    listed = told(capsys, "streams", "list")
    assert [(one["keyframes_only"], one["max_faces"]) for one in listed] == [(True, 3), (False, 0), (None, None)]

    def work() -> None:
        more = [
            StreamDefinition(stream="a", source=address, sample_fps=2.0, max_faces=1, paused=True),
            StreamDefinition(stream="b", source=address, keyframes_only=True, model="fer", repeat=True),
            StreamDefinition(stream="c", source=address),
        ]
        write(url, *(records.stream_definition(one, SETTINGS) for one in more))

    said = [line.split("  ", 1)[1] for line in watched(capsys, monkeypatch, 3, work)]
    assert sorted(said) == [
        f"a  defined: {address}, 2 fps, 1 face, paused",
        f"b  defined: {address}, key frames, model fer, repeat",
        f"c  defined: {address}",
    ]


def test_watch_in_words(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told(capsys, "streams", "add", "a=testsrc://64x64")
    said = [line.split("  ", 1)[1] for line in lively(url, capsys, monkeypatch)]
    assert sorted(said) == sorted(
        [
            "a  waiting for capacity: 8 of 8",
            "a  live",
            "a  backing off: cam: no answer",
            "a  rejected: not allowed here.",
            "a  removed",
        ]
    )
