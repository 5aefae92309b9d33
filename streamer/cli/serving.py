"""A process that can be looked at, and changed, over HTTP, if its settings say so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from streamer.config import Config
from streamer.control.server import ControlServer
from streamer.control.words import Backend
from streamer.http_guard import Guard, guard_for
from streamer.listen import ListenAddress, listen_address

Served = tuple[ListenAddress, Guard]


def served_at(config: Config) -> list[Served]:
    """Where, and for whom. Raises `UsageError` for an address that would be open to everybody."""
    found: list[Served] = []
    for section, read_only in ((config.control, False), (config.metrics, True)):
        if section.address:
            address = listen_address(section.address)
            found.append(
                (
                    address,
                    guard_for(
                        address,
                        section.token_file,
                        os.environ,
                        "metrics" if read_only else "control",
                        read_only=read_only,
                    ),
                )
            )
    return found


@contextmanager
def serving(served: Sequence[Served], backend: Backend, say: Callable[[str, str], None]) -> Iterator[None]:
    """Inside, `backend` is served, if it is to be; `say` hears what (`control` or `metrics`) at which address."""
    with ExitStack() as stack:
        for address, guard in served:
            server = stack.enter_context(ControlServer(address, guard, backend))
            say("metrics" if guard.read_only else "control", server.address.url)
        yield
