"""TensorRT by whichever name it is installed: `tensorrt`, or its RTX edition, which has the same classes.

The module is imported by whoever asks for it, never when this package is.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from engines.errors import EngineError, WrongUse

NAMES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
"""In order of preference. The RTX edition's bindings can be imported with or without its umbrella package."""
_ERRORS = ("ERROR", "INTERNAL_ERROR")


@dataclass(frozen=True)
class TensorRt:
    """The library found. `capabilities` are those it can build for without such a GPU; empty for `tensorrt`.

    `said` holds the last errors it logged: TensorRT answers None and puts the reason into the log.
    """

    module: Any
    name: str
    version: str
    capabilities: tuple[str, ...]
    logger: Any
    said: deque[str] = field(repr=False)

    @property
    def rtx(self) -> bool:
        """Whether it is the RTX edition."""
        return self.name != "tensorrt"

    def why(self) -> str:
        """The first error logged since `forget`, in one line: later ones are its consequences."""
        text = self.said[0] if self.said else "it gave no reason"
        return " ".join(text.split())

    def forget(self) -> None:
        """Before a call whose errors `why` shall tell."""
        self.said.clear()


_lock = threading.Lock()


def tensorrt_library(wanted: str | None = None) -> TensorRt:
    """The library, `wanted` of `NAMES` or the first that is installed.

    Raises `WrongUse` where there is none and says what to install, `EngineError` for one that is broken.
    """
    with _lock:
        return _find(wanted)


@functools.cache
def _find(wanted: str | None) -> TensorRt:
    for name in (wanted,) if wanted else NAMES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise EngineError(f"{name} is installed but lacks {error.name}: install it anew") from error
            continue
        except (ImportError, OSError, RuntimeError) as error:
            raise EngineError(f"{name} is installed but cannot be loaded: {error}") from error
        said: deque[str] = deque(maxlen=20)
        return TensorRt(module, name, str(module.__version__), _capabilities(module), _logger(module, said), said)
    raise WrongUse(
        f"there is no {wanted or 'TensorRT'} here: install affect-streamer[gpu] on a machine with an NVIDIA GPU, or "
        "run `make engines`, which brings the RTX edition (it builds without a GPU)"
    )


def _capabilities(module: Any) -> tuple[str, ...]:
    """`8.6` for SM86 and so on: the members of the RTX edition's list that name one architecture."""
    members = getattr(module, "ComputeCapability", None)
    if members is None:
        return ()
    numbers = sorted(int(name[2:]) for name in members.__members__ if name.startswith("SM"))
    return tuple(f"{number // 10}.{number % 10}" for number in numbers)


def _logger(module: Any, said: deque[str]) -> Any:
    class Log(module.ILogger):  # type: ignore[misc]  # the base is only known once the library is
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity.name in _ERRORS:
                said.append(str(text))

    return Log()
