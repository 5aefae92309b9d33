"""A process that can be looked at and changed over HTTP, if its settings say so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamer.config import Config
from streamer.control.address import ListenAddress, listen_address
from streamer.control.guard import Guard, guard_for
from streamer.control.server import ControlServer
from streamer.control.words import Backend


def served_at(config: Config) -> tuple[ListenAddress, Guard] | None:
    """Where, and for whom; None for nowhere. Raises `UsageError` for an address that would be open to everybody."""
    if not config.control.address:
        return None
    address = listen_address(config.control.address)
    return address, guard_for(address, config.control.token_file, os.environ)


@contextmanager
def serving(served: tuple[ListenAddress, Guard] | None, backend: Backend, say: Callable[[str], None]) -> Iterator[None]:
    """Inside, `backend` is served, if it is to be; `say` hears at which address."""
    if served is None:
        yield
        return
    with ControlServer(*served, backend) as server:
        say(server.address.url)
        yield
