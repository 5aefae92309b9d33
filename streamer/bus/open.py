"""From an address to a bus."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from streamer.bus.checks import DEFAULT_MAX_RECORD_BYTES
from streamer.bus.protocol import Bus
from streamer.clock import Clock
from streamer.config import TopicSettings
from streamer.errors import UsageError


def open_bus(
    url: str, *, create: bool = True, clock: Clock | None = None, settings: TopicSettings | None = None
) -> Bus:
    """The bus at `url`: `sqlite:///relative.db`, `sqlite:////absolute.db` or `kafka://host:port[,host:port]`.

    With `create` false (readers) an SQLite file that does not exist is an error instead of a new bus. `settings`
    give the compression and the replication of topics that are created. `?max_record_bytes=N` bounds a record in
    both homes; the other options of a Kafka address are listed in docs/messages.md. Raises `UsageError` for an
    address that is neither, `BusUnavailable` when a file cannot be opened (a broker that is away is noticed later).
    """
    scheme = url.partition("://")[0].lower()
    if scheme == "kafka":
        from streamer.bus.kafka import open_kafka  # kept out of the start-up time of programs that never use it

        return open_kafka(url, settings or TopicSettings(), clock=clock)
    if scheme == "sqlite":
        return _open_sqlite(url, create, clock)
    raise UsageError(f"the bus address {url.split('@')[-1]!r} must begin with sqlite:// or kafka://")


def _open_sqlite(url: str, create: bool, clock: Clock | None) -> Bus:
    from streamer.bus.sqlite import SqliteBus

    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc or not path:
        raise UsageError(f"write {url!r} as sqlite:///relative.db or sqlite:////absolute.db")
    if path == ":memory:":
        raise UsageError("an SQLite bus must be a file: other processes read it too")
    options = dict(parse_qsl(parts.query))
    limit = options.pop("max_record_bytes", str(DEFAULT_MAX_RECORD_BYTES))
    if options or not limit.isdigit():
        wrong = ", ".join(sorted(options)) or "max_record_bytes"
        raise UsageError(f"the bus address has a wrong option ({wrong}): an SQLite bus takes max_record_bytes=N only")
    return SqliteBus(Path(path), create=create, clock=clock, max_record_bytes=int(limit))
