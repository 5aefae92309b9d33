import json
import subprocess
import sys
from pathlib import Path

import pytest

from engines.zoo.cache import CACHE_VARIABLE


def engines(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engines.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={CACHE_VARIABLE: str(cache), "PATH": "/nowhere"},
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.parametrize("command", [(), ("models",), ("models", "list"), ("models", "pull"), ("calibrate",)])
def test_every_command_has_help_with_an_example(command: tuple[str, ...], tmp_path: Path) -> None:
    done = engines(*command, "--help", cache=tmp_path)
    assert done.returncode == 0
    assert "Example: engines" in done.stdout


def test_the_list_is_machine_readable(tmp_path: Path) -> None:
    done = engines("models", "list", "--json", cache=tmp_path)
    assert done.returncode == 0
    listed = {one["name"]: one for one in json.loads(done.stdout)}
    assert listed["face-api"]["provenance"]["licence"] == "MIT"
    assert listed["face-api"]["path"] is None
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("models", "pull", "no-such-model"), 2, "the zoo has centerface"),
        (("models", "pull"), 2, "Missing argument"),
        (("models", "verify", "centerface"), 1, ""),
        (("models", "pull", "centerface", "--folder", "."), 1, "put them there or drop --folder"),
        (("calibrate", "no-such-folder", "--model", "centerface"), 1, "centerface is no expression model"),
        (("calibrate", "no-such-folder"), 1, "no-such-folder does not exist"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_exit_codes_and_what_is_said(arguments: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    done = engines(*arguments, cache=tmp_path)
    assert done.returncode == code, done
    assert said in done.stderr
    assert "Traceback" not in done.stderr
