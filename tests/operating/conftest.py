"""Runs that show themselves, and a Prometheus that scrapes them; all of it on loopback, ended behind the test."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from tests.fleet.conftest import fleet_folder, ground
from tests.operating.expressions import DEPLOY
from tests.operating.process import Shown
from tests.operating.prometheus import Prometheus
from tests.operating.tools import tools

__all__ = ["fleet_folder", "ground"]
StartRun = Callable[..., Shown]
StartPrometheus = Callable[[Sequence[str]], Prometheus]


@pytest.fixture
def start_run(tmp_path: Path) -> Iterator[StartRun]:
    """Begins runs."""
    begun: list[Shown] = []

    def begin(*arguments: str | Path) -> Shown:
        begun.append(Shown.begin(*arguments, cwd=tmp_path))
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


@pytest.fixture
def start_prometheus(tmp_path: Path) -> Iterator[StartPrometheus]:
    """Begins a Prometheus with the rules and the scrape configuration of deploy/, but for targets and intervals."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(targets: Sequence[str]) -> Prometheus:
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(DEPLOY / "prometheus" / "alerts.yaml")]
        config["scrape_configs"][0]["static_configs"] = [{"targets": list(targets)}]
        file, log = tmp_path / "prometheus.yaml", tmp_path / "prometheus.log"
        file.write_text(yaml.safe_dump(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    tools().prometheus,
                    f"--config.file={file}",
                    f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                    f"--web.listen-address={address}",
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        begun.append(process)
        return Prometheus(address, process, log)

    yield begin
    for process in begun:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
