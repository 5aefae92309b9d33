"""What others may ask of this machine over the bus: which kinds of source, which files and networks, which models.

An address in a control record is somebody else's text: it is checked before anything of it is touched, and what is
said about it never repeats a secret in it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from engines.errors import EnginesError
from engines.spec import Role
from engines.zoo import entry_of, shipped_heads
from streamer.config import Config, ModelSettings
from streamer.errors import StreamerError
from streamer.messages import Mode
from streamer.netguard import LOOPBACK, Network, allowed, literal_address, local_name, loopback_name, networks_of
from streamer.source import IMAGE_ENDINGS, NETWORK_KINDS, Kind, Source, is_stream_id, redacted
from streamer.sources import parse

_RATE_OPTION = re.compile(r"(.+)\?fps=[0-9./]+")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


class Refused(StreamerError):
    """The configuration of this machine does not allow what a control record asks for."""

    cause = "refused"


@dataclass(frozen=True, slots=True)
class Admission:
    """What is allowed: kinds of source, the folders files may lie in (None: anywhere), the internal networks that
    addresses may lie in (None: any), and the models configured here, which may be folders of this machine; of others
    only what the zoo knows by name is taken."""

    allow: frozenset[str]
    roots: tuple[Path, ...] | None
    networks: tuple[Network, ...] | None
    models: ModelSettings

    def source(self, stream: str, address: str, mode: Mode) -> Source:
        """The one source that `address` means. A path whose file is missing is a source too: it may come.

        Raises `Refused`, or what `streamer.sources.parse` raises for an address that is none.
        """
        if not is_stream_id(stream):
            raise Refused("the stream's id is no name: use at most 100 letters, digits, dots, dashes and underscores.")
        if not address or any(not letter.isprintable() for letter in address):
            raise Refused("the source is empty or holds characters that cannot be printed: name a file or an address.")
        path = _path_in(address)
        if path is not None:
            self._check_path(path)
        if path is not None and not os.path.lexists(path):
            source = _missing(path, mode)
        else:
            found = parse(address, mode)
            if len(found) != 1:
                raise Refused(f"{redacted(address)} stands for {len(found)} sources: define each under its own name.")
            source = found[0]
        if source.kind not in self.allow:
            raise Refused(
                f"sources of the kind {source.kind} are not allowed here: allow them under fleet.allow "
                f"({', '.join(sorted(self.allow))})."
            )
        if source.kind in NETWORK_KINDS:
            self._check_host(source)
        return replace(source, stream=stream)

    def _check_host(self, source: Source) -> None:
        """Refuse what lies in an internal network by its looks. Where a name leads to is known, and judged by the same
        networks, when it is opened."""
        if self.networks is None:
            return
        host = host_of(source) or ""
        address = LOOPBACK if loopback_name(host) else literal_address(host)
        by_name = address is None and local_name(host) and not self.networks
        if by_name or (address is not None and not allowed(address, self.networks)):
            raise Refused(
                f"{source.name} is an address of an internal network: add the network to fleet.networks, if others may "
                "have this worker read from it."
            )

    def _check_path(self, path: str) -> None:
        shown = redacted(path)
        if not Path(path).is_absolute():
            raise Refused(f"{shown} is a relative path, which means another file on each machine: give it whole.")
        resolved = Path(os.path.realpath(path))
        if self.roots is None or str(resolved).startswith("/dev/video"):  # a camera: the kind decides
            return
        if not any(resolved.is_relative_to(root) for root in self.roots):
            raise Refused(
                f"{shown} lies in none of the folders of fleet.roots: add its folder there, or move the file."
            )

    def check_models(
        self,
        model: str | None,
        detector: str | None = None,
        head: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Raises `Refused` naming what is neither in the zoo nor configured on this machine."""
        self._check_model(model, "expression", self.models.expression)
        self._check_model(detector, "detector", self.models.detector)
        if head is not None and head not in ("none", "mean", self.models.head, *shipped_heads()):
            raise Refused(
                f"there is no head {redacted(head)!r}: name none, mean or one of {', '.join(shipped_heads())}."
            )
        if precision is not None and precision not in PRECISIONS:
            raise Refused(f"there is no precision {redacted(precision)!r}: name one of {', '.join(PRECISIONS)}.")

    def _check_model(self, name: str | None, role: Role, configured: str) -> None:
        if name is None or name == configured:
            return
        try:
            fits = entry_of(name).spec.role == role
        except EnginesError:
            fits = False
        if not fits:
            raise Refused(
                f"{redacted(name)!r} is no {role} model of the zoo and not the one configured on this worker: "
                "`streamer models list` shows them."
            )


def admission_of(config: Config) -> Admission:
    """What `config` allows. Where `fleet.roots` or `fleet.networks` name none, that is any file and any address on an
    SQLite bus, which is this machine's own, and on Kafka no file and no address of an internal network."""
    roots: tuple[Path, ...] | None = tuple(Path(os.path.realpath(root)) for root in config.fleet.roots)
    if not roots and _is_own_bus(config):
        roots = None
    return Admission(frozenset(config.fleet.allow), roots, networks_allowed(config), config.models)


def networks_allowed(config: Config) -> tuple[Network, ...] | None:
    """The internal networks that what comes over the bus may lead to; None is all of them."""
    networks = networks_of(config.fleet.networks)
    return None if not networks and _is_own_bus(config) else networks


def host_of(source: Source) -> str | None:
    """The machine that a source is read from over the network; None for what is here."""
    if source.kind not in NETWORK_KINDS:
        return None
    return (urlsplit(source.url).hostname or "").lower() or None


def _is_own_bus(config: Config) -> bool:
    return config.bus.partition("://")[0].lower() == "sqlite"


def _path_in(address: str) -> str | None:
    """The path that an address is, without the rate behind a folder of images; None for other addresses."""
    if "://" in address or (address.isdecimal() and address.isascii()):
        return None
    option = None if os.path.lexists(address) else _RATE_OPTION.fullmatch(address)
    return option.group(1) if option else address


def _missing(path: str, mode: Mode) -> Source:
    """A source for a path where nothing is: opening it fails as `missing` until something is."""
    kind: Kind = "file"
    if path.startswith("/dev/video"):
        kind = "webcam"
    elif Path(path).suffix.lower() in IMAGE_ENDINGS:
        kind = "images"
    return Source(Path(path).name, os.path.abspath(path), kind, mode)  # noqa: PTH100 (links keep their names)
