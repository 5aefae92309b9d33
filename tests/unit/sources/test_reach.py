from __future__ import annotations

from ipaddress import ip_address

import pytest

from streamer.errors import AddressRefused
from streamer.netguard import Address, networks_of
from streamer.sources.reach import Reach

NAMES = {
    "public.example": ["8.8.8.8"],
    "inner.example": ["10.0.0.7"],
    "both.example": ["8.8.8.8", "::ffff:127.0.0.1"],
    "lan.example": ["192.168.1.1"],
}


def lookup(host: str) -> list[Address]:
    if host not in NAMES:
        raise OSError("no such name")
    return [ip_address(text) for text in NAMES[host]]


def reach(home: str = "https://site.example/watch", *networks: str) -> Reach:
    return Reach(home, networks_of(networks), lookup)


@pytest.mark.parametrize(
    "url",
    [
        "https://public.example/x",
        "https://site.example/y",
        "http://8.8.4.4/",
        "https://nobody.example/",
        "http://u:p@8.8.8.8/",
    ],
)
def test_the_public_internet_and_the_source_s_own_host_are_open(url: str) -> None:
    reach().check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://u:geheim@inner.example/x?token=geheim",
        "http://both.example/",
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://[::1]/",
        "http://169.254.169.254/latest",
        "http:///x",
        "http://[bad/",
    ],
)
def test_internal_addresses_are_refused_and_no_secret_is_told(url: str) -> None:
    guard = reach()
    with pytest.raises(AddressRefused, match=r"connect\.networks") as refusal:
        guard.check(url)
    assert "geheim" not in str(refusal.value)
    assert "geheim" not in str(guard.refused)
    with pytest.raises(AddressRefused):
        guard.check(str(guard.refused))


def test_what_others_asked_for_may_not_lie_inside_itself() -> None:
    Reach(None, networks_of(["192.168.0.0/16"]), lookup).check("http://lan.example/page")
    for inside in ("http://inner.example/page", "http:///page"):
        with pytest.raises(AddressRefused):
            Reach(None, (), lookup).check(inside)


def test_a_source_inside_reaches_its_own_host_and_the_networks_that_are_named() -> None:
    inside = reach("http://10.0.0.1/page", "192.168.0.0/16")
    inside.check("http://10.0.0.1/video")
    inside.check("http://lan.example/video")
    for other in ("http://10.0.0.2/", "http://inner.example/"):
        with pytest.raises(AddressRefused):
            inside.check(other)
