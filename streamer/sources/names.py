"""Stream ids out of file names: readable, unique among the given sources, the same every time."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from streamer.source import MAX_ID_LENGTH as MAX_LENGTH

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def is_name(text: str) -> bool:
    """Whether `text` may be given as a stream id by the user."""
    return len(text) <= MAX_LENGTH and bool(_NAME.fullmatch(text)) and text not in (".", "..")


def tidy(text: str) -> str:
    """`text` as a stream id: letters and digits of any script, `.`, `_` and `-`.

    A byte that is no UTF-8 becomes `~` and two hexadecimal digits; everything else becomes `_`. Never empty, never
    starting with a dot, at most `MAX_LENGTH` characters (a cut name ends in a hash of the whole).
    """
    letters = []
    for letter in unicodedata.normalize("NFC", text):
        if "\udc80" <= letter <= "\udcff":
            letters.append(f"~{ord(letter) - 0xDC00:02x}")
        else:
            letters.append(letter if letter.isalnum() or letter in "._-" else "_")
    name = "".join(letters).lstrip(".") or "stream"
    if len(name) > MAX_LENGTH:
        name = f"{name[: MAX_LENGTH - 9]}-{_short_hash(text)}"
    return name


def unique_names(sources: Sequence[tuple[str, str, str]], taken: Sequence[str] = ()) -> list[str]:
    """One stream id for each (address, short name, long name); ids in `taken` are not used.

    The short name where that is unique, else the long one, else the long one and a hash of the address. All sources
    that share a name get the longer form, so that an id does not depend on the order they are given in. Only where
    the addresses are the same too (they are given without their secrets), a number tells the later ones apart.
    """
    forms = [
        [tidy(short), tidy(long), f"{tidy(long)[: MAX_LENGTH - 9]}-{_short_hash(address)}"]
        for address, short, long in sources
    ]
    level = [0] * len(forms)
    while True:
        counts = Counter(taken)
        counts.update(form[at] for form, at in zip(forms, level, strict=True))
        clashing = [i for i, form in enumerate(forms) if counts[form[level[i]]] > 1 and level[i] < 2]
        if not clashing:
            return _numbered([form[at] for form, at in zip(forms, level, strict=True)], taken)
        for i in clashing:
            level[i] += 1


def _numbered(names: Sequence[str], taken: Sequence[str]) -> list[str]:
    """`names` with `-2`, `-3`, ... behind those that were there before."""
    used = Counter([*names, *taken])
    told: list[str] = []
    for name in names:
        number = 2
        fresh = name
        while fresh in told or (fresh != name and fresh in used):
            fresh = f"{name[: MAX_LENGTH - 6]}-{number}"
            number += 1
        told.append(fresh)
    return told


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
