from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.source import MAX_ID_LENGTH as MAX_LENGTH
from streamer.source import redacted
from streamer.sources.names import is_name, tidy, unique_names

ANY_NAME = st.text(st.characters(codec=None), max_size=300)


@given(ANY_NAME)
@settings(derandomize=True, deadline=None)
def test_tidy_names_are_safe_everywhere(text: str) -> None:
    name = tidy(text)
    name.encode("utf-8")
    assert 0 < len(name) <= MAX_LENGTH + 3
    assert not set(name) & set("/\\ =\0\n\t:*?")
    assert not name.startswith(".")


@given(st.lists(st.tuples(st.text(), ANY_NAME, ANY_NAME), unique_by=lambda one: one[0], max_size=8))
@settings(derandomize=True, deadline=None)
def test_names_are_unique_and_do_not_depend_on_the_order(addresses: list[tuple[str, str, str]]) -> None:
    names = unique_names(addresses, ["door"])
    assert len({*names, "door"}) == len(names) + 1
    again = dict(zip(reversed(addresses), unique_names(addresses[::-1], ["door"]), strict=True))
    assert [again[one] for one in addresses] == names


def test_the_shortest_unique_form_is_taken() -> None:
    addresses = [
        ("/a/x.mp4", "x", "x.mp4"),
        ("/a/x.mov", "x", "x.mov"),
        ("/b/x.mov", "x", "x.mov"),
        ("/a/y.mp4", "y", "y.mp4"),
    ]
    first, second, third, fourth = unique_names(addresses)
    assert (first, fourth) == ("x.mp4", "y")
    assert second.startswith("x.mov-")
    assert third.startswith("x.mov-")
    assert second != third


def test_letters_of_any_script_stay() -> None:
    assert tidy("émotion 顔.v1") == "émotion_顔.v1"
    assert tidy("e\u0301") == "é"
    assert tidy("\udcff") == "~ff"
    assert tidy("...") == "stream"


def test_names_a_user_may_give() -> None:
    assert is_name("door-1.front_A")
    assert not any(map(is_name, ["", "a b", "a/b", "é", ".", "..", "x" * 101]))


def test_redaction() -> None:
    assert redacted("rtsp://bob:pa@ss@cam:554/a") == "rtsp://***@cam:554/a"
    assert redacted("see http://h/x?Signature=abc&Expires=1#f") == "see http://h/x?Signature=***&Expires=1#f"
    assert redacted("/home/me@work/x.mp4?token=1") == "/home/me@work/x.mp4?token=1"
    assert redacted("https://h/@handle/x.mp4") == "https://h/@handle/x.mp4"
