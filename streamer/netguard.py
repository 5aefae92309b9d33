"""Which addresses lie inside somebody's own network: pure rules, nothing is looked up."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK = IPv4Address("127.0.0.1")

# Written out, because what `ipaddress` calls private has changed between Python's versions (RFC 6890 and its updates).
_INTERNAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # between a carrier and its customers
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; clouds tell machines their credentials here
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_INTERNAL_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_V4_IN_LOW_BITS = tuple(IPv6Network(text) for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
_6TO4 = IPv6Network("2002::/16")

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_LOCAL_ENDINGS = (
    ".localhost",
    ".local",
    ".localdomain",
    ".internal",
    ".intranet",
    ".lan",
    ".home",
    ".corp",
    ".home.arpa",
)


def internal(address: Address) -> bool:
    """Whether `address` is not one of the public internet's.

    That is everything private, loopback, link-local, shared by a carrier, unspecified, multicast or reserved, and
    every IPv6 form that leads to such an IPv4 address.
    """
    inner = _plain(address)
    if isinstance(inner, IPv4Address):
        return any(inner in network for network in _INTERNAL_V4)
    return inner not in _PUBLIC_V6 or any(inner in network for network in _INTERNAL_V6)


def allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Whether `address` is public, or lies inside one of `networks`."""
    inner = _plain(address)
    return not internal(inner) or any(one in network for network in networks for one in (inner, address))


def literal_address(host: str) -> Address | None:
    """The address that `host` spells, without asking anybody; None where it is a name.

    Takes what the C library's `inet_aton` takes (`127.1`, `0x7f.0.0.1`, `017700000001`, `2130706433`), IPv6 with or
    without brackets and zone, and letters that Unicode holds to be the same as digits and dots.
    """
    text = unicodedata.normalize("NFKC", host).replace("\u3002", ".").strip()
    text = text.removeprefix("[").removesuffix("]")
    if ":" in text:
        try:
            return ip_address(text.partition("%")[0])
        except ValueError:
            return None
    return _inet_aton(text.removesuffix("."))


def local_name(host: str) -> bool:
    """Whether the name `host` can only mean something nearby: `localhost`, `*.local`, `*.internal`, a name without a
    dot."""
    name = _name(host)
    return "." not in name or name.endswith(_LOCAL_ENDINGS)


def loopback_name(host: str) -> bool:
    """Whether the name `host` means this machine wherever it is looked up (RFC 6761)."""
    name = _name(host)
    return name == "localhost" or name.endswith(".localhost")


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """`texts` (`10.0.0.0/8`) as networks. Raises `ValueError` for what is none."""
    return tuple(ip_network(text) for text in texts)


def _name(host: str) -> str:
    return unicodedata.normalize("NFKC", host).replace("\u3002", ".").strip().lower().removesuffix(".")


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, translated, 6to4); others are themselves."""
    if isinstance(address, IPv4Address):
        return address
    bits = int(address)
    if address in _6TO4:
        return IPv4Address(bits >> 80 & 0xFFFFFFFF)
    if any(address in network for network in _V4_IN_LOW_BITS) and bits > 1:
        return IPv4Address(bits & 0xFFFFFFFF)
    return IPv6Address(bits)  # without a zone, which no network contains


def _inet_aton(text: str) -> IPv4Address | None:
    """One to four numbers, decimal, octal or hexadecimal; the last fills what is left of the four bytes."""
    parts = text.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    try:
        *first, last = (_c_number(part) for part in parts)
    except ValueError:  # a digit that octal does not have
        return None
    if any(number > 0xFF for number in first) or last >= 1 << 8 * (5 - len(parts)):
        return None
    return IPv4Address(sum(number << 24 - 8 * at for at, number in enumerate(first)) + last)


def _c_number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if text.startswith("0") else 10)
