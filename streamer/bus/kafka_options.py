"""What a Kafka address says: `kafka://[user:password@]host:port[,host:port]?option=value&...`."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from streamer.bus.checks import DEFAULT_MAX_RECORD_BYTES
from streamer.bus.kafka_sockets import DIRECT
from streamer.config import TopicSettings
from streamer.errors import UsageError

OUTAGE_LIMIT_MS = 14 * 86_400 * 1000
"""The client's delivery timeout: above any outage, because a client that has expired a batch never recovers."""

TRANSACTION_TIMEOUT_S = 15.0
_DEFAULT_PORT = 9092
_SECURITY = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_FILES = ("ca_file", "cert_file", "key_file", "key_password_file", "password_file")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """`wait_s` bounds how long one call waits for a broker that is away; `commit_timeout_s` one transaction.

    `max_unacknowledged_bytes` bounds what waits in memory while the broker is away; beyond it `send` refuses.
    Certificates and keys are PEM files. `password` is what the address, `password_file` or the environment variable
    `password_env` said.
    """

    servers: tuple[str, ...]
    linger_ms: int = 0
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
    cert_file: str = ""
    key_file: str = ""
    key_password_file: str = ""
    check_hostname: bool = True
    password_file: str = ""
    password_env: str = ""
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
            "proxy_url": DIRECT,
        }
        if self.security.endswith("ssl"):
            settings["ssl_context"] = self._trust()
        if self.security.startswith("sasl"):
            settings |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return settings

    def _trust(self) -> ssl.SSLContext:
        """Whom we trust and who we are. Made here, since the library trusts nobody when it is not given a `ca_file`
        and asks the terminal for a key's password."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ValueError) as error:
            raise UsageError(f"ca_file {self.ca_file} holds no certificates in PEM ({error})") from error
        context.check_hostname = self.check_hostname
        if self.cert_file:
            password = _secret(self.key_password_file) if self.key_password_file else ""
            try:
                context.load_cert_chain(self.cert_file, self.key_file or None, password)
            except (OSError, ValueError) as error:
                raise UsageError(
                    f"the client certificate {self.cert_file} and its key {self.key_file or self.cert_file} cannot be"
                    " used: both must be PEM and belong together, and a locked key needs key_password_file"
                ) from error
        return context


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
    )
    kinds = {each.name: type(getattr(options, each.name)) for each in fields(options)}
    given: dict[str, Any] = {}
    for name, text in parse_qsl(query):
        if name not in kinds or name in ("servers", "username", "password"):
            raise UsageError(f"the bus address has an unknown option {name}: see docs/messages.md for the list")
        if kinds[name] is bool:
            if text.lower() not in _TRUTH:
                raise UsageError(f"the bus address's option {name} must be true or false")
            given[name] = _TRUTH[text.lower()]
            continue
        try:
            given[name] = kinds[name](text)
        except ValueError as error:
            raise UsageError(f"the bus address's option {name} must be a number") from error
    if "security" not in given:
        tls = "ssl" if given.get("ca_file") or given.get("cert_file") else "plaintext"
        given["security"] = "sasl_ssl" if credentials else tls
    return _checked(_with_password(replace(options, **given)))


def _with_password(options: KafkaOptions) -> KafkaOptions:
    """The options with the password from where the address says it is."""
    for name in _FILES:
        path = getattr(options, name)
        if path and not Path(path).is_file():
            raise UsageError(f"the bus address's {name} {path} is not a file")
    ways = [options.password, options.password_file, options.password_env]
    if sum(map(bool, ways)) > 1:
        raise UsageError("give the bus address's password once: in the address, as password_file or as password_env")
    if options.password_file:
        return replace(options, password=_secret(options.password_file))
    if options.password_env:
        if not os.environ.get(options.password_env):
            raise UsageError(f"the bus address's password_env {options.password_env} is not set in the environment")
        return replace(options, password=os.environ[options.password_env])
    return options


def _secret(path: str) -> str:
    """The first line of a file that holds a secret."""
    try:
        return Path(path).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a secret ({type(error).__name__})") from error


def _checked(options: KafkaOptions) -> KafkaOptions:
    if options.compression not in ("none", "gzip"):
        raise UsageError("the bus address's option compression must be none or gzip: some clients read nothing else")
    if options.security not in _SECURITY:
        raise UsageError(f"the bus address's option security must be one of {', '.join(_SECURITY)}")
    if options.mechanism not in _MECHANISMS:
        raise UsageError(f"the bus address's option mechanism must be one of {', '.join(_MECHANISMS)}")
    if options.security.startswith("sasl") and not (options.username and options.password):
        raise UsageError(
            f"security {options.security} needs a user and a password: write kafka://user:password@host:port, or"
            " kafka://user@host:port?password_file=FILE"
        )
    if (options.username or options.password) and not options.security.startswith("sasl"):
        raise UsageError(f"security {options.security} takes no user and password: it would not use them")
    if (options.ca_file or options.cert_file) and not options.security.endswith("ssl"):
        raise UsageError(f"security {options.security} takes no certificates: it would not use them")
    if (options.key_file or options.key_password_file) and not options.cert_file:
        raise UsageError("the bus address has a key and no cert_file to go with it")
    options.client()  # certificates that cannot be used are said now
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
