"""The licences of the packages this software stands on, and whether they may be in what is shipped."""

from __future__ import annotations

import re
from importlib import metadata

NAME = "affect-streamer"
ALLOWED = frozenset(
    (
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "HPND",
        "ISC",
        # Libraries that are loaded as they come and can be exchanged: crc32c; FFmpeg, as PyAV's wheels bring it.
        "LGPL-2.1-or-later",
        "MIT",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
        "Unlicense",
        "Zlib",
    )
)
"""SPDX ids. No GPL or AGPL, which would want the whole under them, and nothing that forbids a kind of use."""

VENDOR = "LicenseRef-Proprietary"
"""Not free, and taken by whoever asks for the extra that needs it: NVIDIA's libraries. Never in the base install."""

_SAID = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "LicenseRef-NVIDIA-Proprietary": VENDOR,
    "NVIDIA Proprietary Software": VENDOR,
    "Other/Proprietary License": VENDOR,
    "Proprietary": VENDOR,
}
_UNSAID = {"cuda-toolkit": VENDOR}
_READ = {"docutils": "BSD-2-Clause AND PSF-2.0", "pympi-ling": "MIT"}
"""Read in the package itself. Of docutils only an editor's mode is under the GPL, which is not in what pip installs."""
_LONGEST = 160  # more is the text of the licence, not its name


def licence_of(package: str) -> str | None:
    """What an installed package says of its licence, as an SPDX expression where it can be read; None without it."""
    try:
        about = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return None
    if package in _READ:
        return _READ[package]
    stated = [*(about.get_all("License-Expression") or ()), *(about.get_all("License") or ())]
    if stated and len(stated[0]) <= _LONGEST and stated[0].strip():
        return _SAID.get(str(stated[0]).strip(), str(stated[0]).strip())
    classifiers = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or () if c.startswith("License")]
    said = " AND ".join(dict.fromkeys(_SAID.get(name, name) for name in classifiers))
    return said or _UNSAID.get(package, "not stated in its metadata")


def is_allowed(licence: str, *, extra: bool = False) -> bool:
    """Whether a package under it may be depended on: every part of `A AND B`, one of `A OR B`.

    `extra`: by an extra that people choose, which may need a vendor's own libraries.
    """
    if " OR " in licence and " AND " not in licence:
        return any(is_allowed(part, extra=extra) for part in licence.strip("()").split(" OR "))
    parts = [part.strip(" ()") for part in re.split(r" AND | OR ", licence)]
    return all(part in ALLOWED or (extra and part == VENDOR) for part in parts)


def dependencies() -> list[str]:
    """The installed packages that the base install needs, and what they need in turn, by name."""
    found: set[str] = set()
    waiting = [NAME]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform
        found.add(name)
        waiting += [canonical(need) for need in needs if "extra ==" not in need]
        # crc32c is wanted as an extra of kafka-python's.
        waiting += ["crc32c"] if name == "kafka-python" else []
    return sorted(found - {NAME})


def canonical(requirement: str) -> str:
    """The name of the package in a requirement, as an index spells it."""
    name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    assert name is not None, "metadata names what it requires"
    return re.sub(r"[-_.]+", "-", name[0]).lower()
