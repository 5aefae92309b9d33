"""Which hosts a source may lead to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from streamer.decode.reach import Reach, web_parts
from streamer.errors import AddressRefused, SourceUnreachable
from streamer.netguard import Address, networks_of

NAMES = {
    "public.test": ["93.184.216.34"],
    "inside.test": ["10.0.0.7"],
    "both.test": ["10.0.0.7", "93.184.216.34"],
    "cam.test": ["192.168.1.9"],
    "six.test": ["fd00::1"],
    "mapped.test": ["::ffff:127.0.0.1"],
}


def lookup(host: str, port: int) -> Sequence[Address]:
    if host not in NAMES:
        raise OSError("unknown")
    return [ip_address(text) for text in NAMES[host]]


def reach(own: str, *networks: str) -> Reach:
    return Reach("rtsp://***@cam", own, networks_of(networks), lookup)


def test_the_own_host_may_be_anything() -> None:
    assert [str(one) for one in reach("cam.test").addresses("cam.test", 80)] == ["192.168.1.9"]


def test_others_must_be_public() -> None:
    rule = reach("cam.test")
    assert [str(one) for one in rule.addresses("public.test", 443)] == ["93.184.216.34"]
    for host in ("inside.test", "six.test", "mapped.test"):
        with pytest.raises(AddressRefused, match="private network"):
            rule.addresses(host, 80)


def test_of_a_name_with_an_address_inside_only_the_public_one_is_used() -> None:
    assert [str(one) for one in reach("cam.test").addresses("both.test", 80)] == ["93.184.216.34"]


def test_networks_that_are_allowed() -> None:
    assert reach("public.test", "10.0.0.0/8").addresses("inside.test", 80)


def test_a_public_name_that_moves_inside_is_refused() -> None:
    answers = iter((["93.184.216.34"], ["127.0.0.1"]))
    rule = Reach("x", "public.test", (), lambda host, port: [ip_address(text) for text in next(answers)])
    assert rule.addresses("public.test", 80)
    with pytest.raises(AddressRefused):
        rule.addresses("public.test", 80)


def test_another_spelling_of_the_own_address() -> None:
    rule = Reach("x", "127.0.0.1")
    assert rule.is_own("127.1")
    assert rule.is_own("0x7f.0.0.1")
    assert not rule.is_own("127.0.0.2")
    assert not Reach("x", "").is_own("")


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(SourceUnreachable, match="nobody knows"):
        reach("cam.test").addresses("no.test", 80)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "data:text/plain,x",
        "crypto+file:///etc/passwd",
        "concat:a|b",
        "ftp://host/a",
        "//host/a",
        "/etc/passwd",
        "http://",
        "http://[::1",
        "http://host:99999999/",
        "gopher://127.0.0.1:6379/_x",
        "http://host/a\r\nX: y",
    ],
)
def test_only_web_addresses_are_opened(url: str) -> None:
    with pytest.raises(AddressRefused):
        web_parts("name", url)
