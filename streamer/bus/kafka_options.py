"""What a Kafka address says: `kafka://[user:password@]host:port[,host:port]?option=value&...`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from streamer.bus.checks import DEFAULT_MAX_RECORD_BYTES
from streamer.config import TopicSettings
from streamer.errors import UsageError

OUTAGE_LIMIT_MS = 14 * 86_400 * 1000
"""The client's delivery timeout: above any outage, because a client that has expired a batch never recovers."""

TRANSACTION_TIMEOUT_S = 15.0
_DEFAULT_PORT = 9092
_SECURITY = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """`wait_s` bounds how long one call waits for a broker that is away; `commit_timeout_s` one transaction.

    `max_unacknowledged_bytes` bounds what waits in memory while the broker is away; beyond it `send` refuses.
    """

    servers: tuple[str, ...]
    linger_ms: int = 20
    compression: str = "none"
    max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES
    max_unacknowledged_bytes: int = 64 * 1024 * 1024
    wait_s: float = 10.0
    commit_timeout_s: float = 30.0
    replication_factor: int = 1
    min_insync_replicas: int = 1
    security: str = "plaintext"
    mechanism: str = "PLAIN"
    ca_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def where(self) -> str:
        """The brokers, for messages: no secret in it."""
        return ",".join(self.servers)

    def client(self) -> dict[str, Any]:
        """What every client of the library is given."""
        settings: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "security_protocol": self.security.upper(),
            "reconnect_backoff_max_ms": 1000,
            "request_timeout_ms": 10_000,
        }
        if self.ca_file:
            settings["ssl_cafile"] = self.ca_file
        if self.security.startswith("sasl"):
            settings |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return settings


def parse(url: str, settings: TopicSettings) -> KafkaOptions:
    """The options in `url`, over the topic settings' compression and replication. Raises `UsageError`."""
    # By hand: some versions of urlsplit refuse an IPv6 address that is not the first of several hosts.
    place, _, query = url.partition("://")[2].partition("?")
    netloc, _, path = place.partition("/")
    credentials, _, hosts = netloc.rpartition("@")
    servers = tuple(_server(host) for host in hosts.split(",") if host)
    if not servers or path.strip("/"):
        raise UsageError("write the bus address as kafka://host:port[,host:port]")
    username, _, password = credentials.partition(":")
    options = KafkaOptions(
        servers=servers,
        compression=settings.compression,
        replication_factor=settings.replication_factor,
        min_insync_replicas=settings.min_insync_replicas,
        username=unquote(username),
        password=unquote(password),
        security="sasl_ssl" if credentials else "plaintext",
    )
    kinds = {each.name: type(getattr(options, each.name)) for each in fields(options)}
    given: dict[str, Any] = {}
    for name, text in parse_qsl(query):
        if name not in kinds or name in ("servers", "username", "password"):
            raise UsageError(f"the bus address has an unknown option {name}: see docs/messages.md for the list")
        try:
            given[name] = kinds[name](text)
        except ValueError as error:
            raise UsageError(f"the bus address's option {name} must be a number") from error
    return _checked(replace(options, **given))


def _checked(options: KafkaOptions) -> KafkaOptions:
    if options.compression not in ("none", "gzip"):
        raise UsageError("the bus address's option compression must be none or gzip: some clients read nothing else")
    if options.security not in _SECURITY:
        raise UsageError(f"the bus address's option security must be one of {', '.join(_SECURITY)}")
    if options.max_record_bytes < 1 or options.wait_s <= 0 or options.commit_timeout_s <= 0 or options.linger_ms < 0:
        raise UsageError("the bus address's sizes and times must be more than 0")
    return options


def _server(host: str) -> str:
    name, _, port = host.rpartition(":")
    if not name or name.endswith(":"):  # no port, or a bare IPv6 address
        return f"{host}:{_DEFAULT_PORT}"
    if not port.isdigit():
        raise UsageError(f"the bus address's port in {host!r} is not a number")
    return host
