"""One measuring process on every core at the same time: what a part costs while the machine is as busy as in a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from streamer import machine
from streamer.errors import StreamerError


def on_every_core(module: str, arguments: Sequence[str], what: str) -> list[dict[str, Any]]:
    """The JSON that each `python -m module` printed. Raises `StreamerError` saying that measuring `what` failed.

    None is left when this returns, or is left by an interrupt.
    """
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ExitStack() as stack:
        processes = [stack.enter_context(_ended(command, environment)) for _ in range(machine.n_cores())]
        answers = []
        for process in processes:
            out, err = process.communicate()
            if process.returncode != 0:
                raise StreamerError(
                    f"measuring {what} failed: {err.strip().splitlines()[-1] if err.strip() else 'no reason'}"
                )
            answers.append(json.loads(out))
    return answers


@contextmanager
def _ended(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not go on once this is left."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()  # no harm to one that has ended
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
