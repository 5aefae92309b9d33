from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamer.netguard import allowed, internal, literal_address, local_name, loopback_name, networks_of


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.10",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "198.18.0.1",
        "::",
        "::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "::127.0.0.1",
        "2001::1",
        "2001:db8::1",
        "::ffff:0:127.0.0.1",
    ],
)
def test_what_is_internal(text: str) -> None:
    assert internal(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "172.15.255.255",
        "100.128.0.1",
        "11.0.0.0",
        "9.255.255.255",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ],
)
def test_what_is_public(text: str) -> None:
    assert not internal(ip_address(text))
    assert allowed(ip_address(text), ())


def test_a_zone_does_not_make_an_address_public() -> None:
    assert internal(ip_address("fe80::1%eth0"))
    assert allowed(ip_address("fe80::1%eth0"), networks_of(["fe80::/10"]))


def test_networks_open_what_lies_inside_them_in_every_spelling() -> None:
    networks = networks_of(["192.168.0.0/16", "fd00::/8"])
    assert all(allowed(ip_address(text), networks) for text in ("192.168.3.4", "::ffff:192.168.3.4", "fd00::1"))
    assert not any(allowed(ip_address(text), networks) for text in ("192.0.0.1", "10.0.0.1", "fc00::1", "::1"))


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("0x", "0.0.0.0"),
        ("127.0.0.1.", "127.0.0.1"),
        ("１２７。０。０。１", "127.0.0.1"),
        ("①②⑦.⓪.⓪.①", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("[fe80::1%25eth0]", "fe80::1"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
    ],
)
def test_every_spelling_of_an_address_is_read(host: str, meant: str) -> None:
    assert literal_address(host) == ip_address(meant)


@pytest.mark.parametrize(
    "host", ["example.org", "08", "1.2.3.256", "1.2.3.4.5", "256.1.1.1", "4294967296", "", "a:b", "0x1g"]
)
def test_names_and_nonsense_are_no_addresses(host: str) -> None:
    assert literal_address(host) is None


@given(st.text(st.sampled_from("0123456789abfx.X"), max_size=20))
@example("0x7f.0x0.0.0x1")
@settings(derandomize=True, deadline=None, max_examples=500)
def test_the_c_library_agrees(text: str) -> None:
    try:
        meant = IPv4Address(socket.inet_aton(text))
    except OSError:
        return
    assert literal_address(text) == meant


@given(st.ip_addresses(v=4))
@settings(derandomize=True, deadline=None)
def test_ipv6_around_an_ipv4_address_is_judged_as_that_address(plain: IPv4Address) -> None:
    assert internal(IPv6Address(f"::ffff:{plain}")) == internal(plain)
    assert internal(IPv6Address(f"64:ff9b::{plain}")) == internal(plain)


def test_names_that_can_only_be_local() -> None:
    local = ["localhost", "LOCALHOST.", "nas", "cam.local", "db.corp.internal", "router.home.arpa", "a.localhost", ""]
    assert all(map(local_name, local))
    assert not any(map(local_name, ["example.org", "local.example", "internal.example.org."]))


def test_names_of_this_machine() -> None:
    assert all(map(loopback_name, ["localhost", "LocalHost.", "a.localhost"]))
    assert not any(map(loopback_name, ["nas", "localhost.example", "cam.local"]))
