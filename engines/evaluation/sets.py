"""The sets that a file names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from engines.data.config import DataConfig, data_config
from engines.errors import WrongUse


def read_sets(path: Path) -> tuple[DataConfig, ...]:
    """One set, or a list of them, from YAML. Raises `WrongUse`."""
    try:
        plain: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongUse(f"{path} cannot be read ({error.strerror}); name a YAML file with a set") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WrongUse(f"{path} is not YAML: {error}") from error
    items = plain if isinstance(plain, list) else [plain]
    if not items:
        raise WrongUse(f"{path} names no set")
    try:
        return tuple(data_config(item) for item in items)
    except WrongUse as error:
        raise WrongUse(f"{path}: {error}") from error
