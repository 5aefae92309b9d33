"""Which hosts a source may lead to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from streamer.errors import AddressRefused, SourceUnreachable
from streamer.netguard import Address, networks_of
from streamer.reach import Reach, web_parts

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
    answers = iter((["93.184.216.34"], ["127.0.0.1"]))
    rule.check("http://public.test/")
    with pytest.raises(AddressRefused):
        rule.check("http://public.test/")


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
        "https://public.test/x",
        "https://cam.test/y",
        "http://8.8.4.4/",
        "https://nobody.test/",
        "http://u:p@8.8.8.8/",
        "https://public.test/ö",
    ],
)
def test_what_others_look_up_may_be_public_or_the_own_host(url: str) -> None:
    reach("cam.test").check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://u:geheim@inside.test/x?token=geheim",
        "http://both.test/",  # they may take either
        "http://mapped.test/",
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://[::1]/",
        "http://169.254.169.254/latest",
        "http:///x?token=geheim",
        "http://[bad/",
    ],
)
def test_what_others_look_up_may_not_lie_inside_and_no_secret_is_told(url: str) -> None:
    rule = reach("cam.test")
    rule.check("https://public.test/")
    before = rule.refused
    assert before is None
    with pytest.raises(AddressRefused, match=r"connect\.networks") as refusal:
        rule.check(url)
    assert rule.refused is refusal.value
    assert "geheim" not in str(refusal.value)


def test_what_others_asked_for_may_not_lie_inside_itself() -> None:
    reach("", "192.168.0.0/16").check("http://cam.test/page")
    for inside in ("http://inside.test/page", "http:///page"):
        with pytest.raises(AddressRefused):
            reach("").check(inside)


def test_a_source_inside_reaches_its_own_host_and_the_networks_that_are_named() -> None:
    inside = reach("10.0.0.1", "192.168.0.0/16")
    inside.check("http://10.0.0.1/video")
    inside.check("http://cam.test/video")
    for other in ("http://10.0.0.2/", "http://inside.test/"):
        with pytest.raises(AddressRefused):
            inside.check(other)


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
