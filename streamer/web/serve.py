"""The dashboard as a server, from its start to Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI
from nicegui import ui

from streamer.clock import SystemClock
from streamer.config import Config
from streamer.errors import UsageError
from streamer.http_guard import Guard
from streamer.listen import ListenAddress
from streamer.web.changes import Changes
from streamer.web.follow import Follower
from streamer.web.gate import Gate
from streamer.web.model import Model
from streamer.web.pages import Pages

INTERRUPTED = 130
GRACE_S = 2
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="14" fill="none" '
    'stroke="#6a3fb5" stroke-width="3"/><path d="M7 18c3-9 6 7 9-1s6-6 9-2" fill="none" stroke="#2f4bb0" '
    'stroke-width="3" stroke-linecap="round"/></svg>'
)


def serve(config: Config, address: ListenAddress, guard: Guard, say: Callable[[str], None]) -> int:
    """Show what is on the bus of `config` until interrupted; returns the exit code. `say` hears where it is.

    Raises `UsageError` where it cannot listen.
    """
    listening = _listening(address)
    model = Model(config.topics, SystemClock())
    Pages(model, Changes(config), config.bus).put_up()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        app,
        title="affect-streamer",
        favicon=_ICON,
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=10.0,
        message_history_length=100,
        binding_refresh_interval=None,
        show_welcome_message=False,
    )
    server = _Server(
        uvicorn.Config(
            Gate(app, guard),
            log_level="warning",
            access_log=False,
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        ),
        lambda: say(ListenAddress(address.host, int(listening.getsockname()[1])).url),
    )
    follower = Follower(config, model)
    try:
        server.run(sockets=[listening])
    finally:
        follower.close()
        listening.close()
    return INTERRUPTED if server.interrupted else 1


class _Server(uvicorn.Server):
    """Calls `ready` when it serves. Ends by SIGINT and SIGTERM without raising them again: the exit code tells."""

    interrupted = False

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        def on_signal(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            self.handle_exit(number, frame)

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listening(address: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {address.host}:{address.port} ({error.strerror or error}): choose another with --listen "
            "or dashboard.address"
        ) from error
