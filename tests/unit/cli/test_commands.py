"""What holds for every command: its help, its exit codes, its one sentence on standard error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from streamer import __version__
from streamer.bus.open import open_bus
from streamer.bus.topics import outgoing, topics
from streamer.cli import cli, main
from streamer.config import TopicSettings
from tests.golden.records import OBSERVATION, RUN


def every_command(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from every_command(inner, (*path, name))


COMMANDS = dict(every_command(cli))
LEAVES = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A bus with more observations than fit into a pipe, and a run."""
    url = f"sqlite:///{tmp_path}/affect.db"
    settings = TopicSettings(partitions=2)
    bus = open_bus(url)
    bus.ensure_topics(topics(settings).all())
    producer = bus.producer()
    seen = [msgspec.structs.replace(OBSERVATION, id=f"{number:032x}", seq=number) for number in range(500)]
    producer.send([*(outgoing(record, settings) for record in seen), outgoing(RUN, settings)])
    producer.close()
    bus.close()
    return url


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `streamer ARGUMENTS`."""
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    assert isinstance(left.value.code, int)
    said = capsys.readouterr()
    return left.value.code, said.out, said.err


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "streamer")
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help_with_an_example(path: tuple[str, ...], option: str) -> None:
    shown = CliRunner().invoke(cli, [*path, option], prog_name="streamer")
    assert shown.exit_code == 0, shown.output
    assert "Example" in shown.output
    assert f"streamer {' '.join(path)}".strip() in shown.output.partition("Example")[2]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "streamer")
def test_every_option_says_what_it_does(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts} of streamer {' '.join(path)} has no help"


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: " ".join(path))
def test_every_command_speaks_json(path: tuple[str, ...]) -> None:
    assert "--json" in {option for parameter in LEAVES[path].params for option in parameter.opts}


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run("--version", capsys=capsys)
    assert (code, out.strip()) == (0, f"streamer, version {__version__}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "nonsense"),
        (["models", "nonsense"], "nonsense"),
        (["run", "--nonsense"], "--nonsense"),
        (["run", "--mode", "sideways", "a.mp4"], "archive"),
        (["run", "--children", "-1", "a.mp4"], "-1"),
        (["run"], "SOURCE"),
        (["tail"], "NAME"),
        (["models", "pull"], "NAMES"),
        (["models", "pull", "no-such-net"], "centerface"),
        (["models", "verify", "no-such-net"], "centerface"),
        (["export", "faces"], "observations"),
        (["export", "--format", "xml"], "parquet"),
        (["export", "--out", "-", "--json"], "file"),
        (["check"], "--schema"),
        (["tail", "status", "--bus", "ftp://host"], "kafka://"),
        (["bench", "throughput", "--files", "0"], "--files"),
        (["bench", "throughput", "--seconds", "0"], "--seconds"),
        (["bench", "throughput", "--clip", "absent.mp4"], "absent.mp4"),
        (["bench", "tracking", "--scenes", "0"], "--scenes"),
        (["bench", "peers", "--peer", "nobody"], "--peer"),
        (["bench", "peers", "--judge", "absent.mp4"], "absent.mp4"),
        (["bench", "peers", "--resnet50", "absent"], "absent"),
        (["bench", "batching", "--clip", "absent.mp4"], "absent.mp4"),
        (["bench", "memory", "--streams", "4"], "--streams"),
        (["bench", "memory", "--clip", "absent.mp4"], "absent.mp4"),
        (["bench", "state", "--observations", "0"], "--observations"),
    ],
)
def test_wrong_use_is_2_and_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments, capsys=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("streamer: ")
    assert err.count("\n") == 1
    assert says in err
    assert list(tmp_path.iterdir()) == [], "nothing is made before the use is known to be right"


@pytest.mark.parametrize("group", [[], ["models"], ["bench"], ["topics"]])
def test_a_group_alone_shows_its_help(group: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(*group, capsys=capsys)
    assert code == 2
    assert "Commands:" in err


@pytest.mark.parametrize("name", ["tail status", "export", "report"])
def test_a_bus_that_is_not_there_is_a_failure(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*name.split(), capsys=capsys)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "--bus" in err
    assert list(tmp_path.iterdir()) == [], "a reader makes no bus"


def test_a_topic_that_does_not_exist_is_wrong_use(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run("tail", "observation", "--bus", database, capsys=capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "observations" in err


def test_output_that_cannot_be_written_is_wrong_use(
    database: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    below = str(tmp_path / "file" / "below")
    for arguments in (
        ["bench", "tracking", "--scenes", "1", "--out", below],
        ["bench", "throughput", "--out", below],
        ["bench", "peers", "--out", below],
        ["bench", "state", "--out", below],
        ["bench", "batching", "--out", below],
        ["bench", "memory", "--out", below],
        ["demo", "--out", below],
        ["export", "--out", below, "--bus", database],
        ["report", "--out", below, "--bus", database],
    ):
        code, _, err = run(*arguments, capsys=capsys)
        assert (code, err.count("\n")) == (2, 1), (arguments, err)
        assert below in err


def test_the_default_export_is_a_file_named_for_what_it_holds(
    database: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, made in (
        (["--format", "jsonl"], "observations.jsonl"),
        ([], "observations.csv"),
        (["windows"], "windows.csv"),
        (["--format", "parquet"], "observations.parquet"),
        (["--out", "faces.PARQUET"], "faces.PARQUET"),
        (["--out", "faces.txt"], "faces.txt"),
    ):
        code, out, err = run("export", *arguments, "--bus", database, capsys=capsys)
        assert (code, out) == (0, ""), err
        assert made in err
        assert (tmp_path / made).is_file()
    assert (tmp_path / "faces.PARQUET").read_bytes()[:4] == b"PAR1"
    assert (tmp_path / "faces.txt").read_bytes() == (tmp_path / "observations.csv").read_bytes()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough_ends_it_quietly(database: str, unbuffered: str) -> None:
    for arguments in (["tail", "observations"], ["export", "--out", "-", "--format", "jsonl"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "streamer", *arguments, "--bus", database],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        complaints = process.stderr.read()
        process.stderr.close()
        assert (process.wait(30), complaints) == (0, b""), arguments


def test_a_run_is_shown_for_each_stream_that_it_read(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    stream = RUN.sources[0].stream
    assert run("tail", "runs", "--stream", stream, "--bus", database, capsys=capsys)[1].count("\n") == 1
    assert run("tail", "runs", "--stream", f"{stream}-other", "--bus", database, capsys=capsys)[1] == ""
