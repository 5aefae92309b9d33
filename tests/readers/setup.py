"""The readers in other languages: their libraries, fetched once into the cache, and their programs, run to the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kafka.broker import REPOSITORY, need

HERE = Path(__file__).parent
SCHEMA = REPOSITORY / "docs" / "schema"
_CACHE = REPOSITORY / ".cache" / "readers"
_FETCH_TIMEOUT_S = 300.0
_RUN_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class Reader:
    """A program that reads the topics of a prefix to their end and prints a line of JSON for each record."""

    command: tuple[str, ...]
    environment: dict[str, str]

    def read(self, server: str, prefix: str, end_key: str) -> list[dict[str, Any]]:
        """Its lines; raises with what it said on stderr when it fails."""
        done = subprocess.run(
            [*self.command, server, prefix, str(SCHEMA), end_key],
            env={**os.environ, **self.environment},
            capture_output=True,
            timeout=_RUN_TIMEOUT_S,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
        return [json.loads(line) for line in done.stdout.splitlines()]


def javascript() -> Reader:
    """The reader on kafkajs; skipped without Node, a failure in CI."""
    _need("node", "npm")
    modules = _fetched("javascript", "package.json", _npm)
    return Reader(("node", str(HERE / "javascript" / "reader.js")), {"READER_MODULES": str(modules)})


def java(classes: Path) -> Reader:
    """The reader on Kafka's own client, compiled into `classes`; skipped without Java or Maven, a failure in CI."""
    _need("java", "javac", "mvn")
    path = f"{_fetched('java', 'pom.xml', _mvn)}/*"
    source = HERE / "java" / "Reader.java"
    subprocess.run(["javac", "-cp", path, "-d", str(classes), str(source)], check=True, timeout=_RUN_TIMEOUT_S)
    return Reader(("java", "-XX:TieredStopAtLevel=1", "-cp", f"{classes}{os.pathsep}{path}", "Reader"), {})


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            need(f"the readers in other languages need {program}, which is not installed")


def _fetched(language: str, manifest: str, fetch: Callable[[Path], Sequence[str]]) -> Path:
    """The folder with a language's libraries as its manifest names them; several test runs may ask at once."""
    folder = _CACHE / language
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / language / manifest).read_bytes()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        there = folder / "complete"
        if not there.exists() or there.read_bytes() != wanted:
            (folder / manifest).write_bytes(wanted)
            subprocess.run(fetch(folder), check=True, cwd=folder, timeout=_FETCH_TIMEOUT_S)
            there.write_bytes(wanted)
    return folder


def _npm(folder: Path) -> Sequence[str]:
    return ("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")


def _mvn(folder: Path) -> Sequence[str]:
    return ("mvn", "-q", "-B", "-f", "pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={folder}")
