from __future__ import annotations

import re
from pathlib import Path

import pytest

from engines.zoo import list_models
from streamer.licences import VENDOR, dependencies, is_allowed, licence_of

ROOT = Path(__file__).parents[2]
OTHER_PLATFORMS = {"cffi", "colorama", "pycparser", "httpx2-jsfetch", "tzdata"}
"""Locked for Windows, PyPy and browsers; under BSD and MIT."""
MODEL_LICENCES = {"MIT", "Apache-2.0", "none"}
"""`none`: a network that comes without weights, for those who have some."""


def locked(name: str) -> set[str]:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    return set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.MULTILINE))


def test_every_package_of_the_base_install_is_under_a_licence_that_is_allowed() -> None:
    names = locked("base")
    said = {name: licence_of(name) for name in names}
    assert {name for name, licence in said.items() if licence is None} <= OTHER_PLATFORMS
    assert {name: licence for name, licence in said.items() if licence is not None and not is_allowed(licence)} == {}
    assert len(names) > 20


def test_what_the_command_calls_dependencies_is_what_is_locked() -> None:
    assert set(dependencies()) == locked("base") - OTHER_PLATFORMS


@pytest.mark.parametrize("lock", ["dev", "engines"])
def test_extras_and_tools_bring_nothing_else_but_a_vendors_libraries(lock: str) -> None:
    """Of what is installed here: all of `dev`, and of `engines` what `make engines` installs where that was run."""
    said = {name: licence for name in locked(lock) if (licence := licence_of(name)) is not None}
    wrong = {name: licence for name, licence in said.items() if not is_allowed(licence, extra=True)}
    assert wrong == {}
    vendors = {name for name, licence in said.items() if VENDOR in licence}
    assert {name for name in vendors if not name.startswith(("nvidia-", "cuda-", "tensorrt"))} == set()


def test_the_models_are_under_licences_that_allow_every_use() -> None:
    said = {model.spec.name: model.spec.provenance.licence for model in list_models()}
    assert (said["centerface"], said["face-api"]) == ("MIT", "MIT")  # the default ones
    first_words = {name: re.split(r"[ :]", licence)[0] for name, licence in said.items()}
    assert {name: word for name, word in first_words.items() if word not in MODEL_LICENCES} == {}


@pytest.mark.parametrize(
    ("licence", "base", "extra"),
    [
        ("MIT", True, True),
        ("MIT OR GPL-3.0-only", True, True),
        ("(MIT OR GPL-3.0-only)", True, True),
        ("BSD-3-Clause AND MIT AND Zlib", True, True),
        ("BSD-3-Clause AND GPL-2.0-or-later", False, False),
        ("MIT AND (Apache-2.0 OR GPL-3.0-only)", False, False),
        ("GPL-3.0-only", False, False),
        ("AGPL-3.0-or-later", False, False),
        ("CC-BY-NC-4.0", False, False),
        ("GNU General Public License v3 (GPLv3)", False, False),
        ("not stated in its metadata", False, False),
        (VENDOR, False, True),
    ],
)
def test_what_is_allowed(licence: str, base: bool, extra: bool) -> None:
    assert (is_allowed(licence), is_allowed(licence, extra=True)) == (base, extra)
