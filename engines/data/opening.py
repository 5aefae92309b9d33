"""From settings to pictures with annotations: the one place where every kind of set is opened."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engines.data.config import DataConfig
from engines.data.findings import Findings
from engines.data.frames import AnnotatedFrames
from engines.data.joining import concatenate, take
from engines.data.pictures import unreadable
from engines.errors import BadData, WrongUse

_LOG = logging.getLogger(__name__)


def open_frames(config: DataConfig) -> AnnotatedFrames:
    """The set that the settings describe. What was skipped is logged as a warning, one line a cause.

    Raises `BadData` when nothing is left, or something is damaged and `on_error` is `refuse`; `WrongUse` when the
    folder is not there.
    """
    frames, findings = open_with_findings(config)
    for cause, found in findings.damage.items():
        _LOG.warning("%s: skipped %s: %s", frames.name, cause, found.text())
    return frames


def open_with_findings(config: DataConfig) -> tuple[AnnotatedFrames, Findings]:
    """As `open_frames`, with what was skipped and left out instead of a log."""
    frames, findings = read_frames(config)
    if config.check_images:
        damaged = unreadable(frames.pictures, range(len(frames)), n_threads=os.cpu_count() or 1)
        for text in damaged.values():
            findings.damaged("unreadable pictures", text.partition(";")[0])
        if damaged:
            frames = take(frames, np.setdiff1d(np.arange(len(frames)), np.fromiter(damaged, np.int64)))
    findings.settle(frames.name, config.on_error)
    if len(frames) == 0:
        raise BadData(f"{frames.name}: no picture is left to use; `engines data check` says what is missing")
    if config.limit is not None and len(frames) > config.limit:
        frames = take(frames, np.arange(config.limit))
    return frames, findings


def open_all(configs: Sequence[DataConfig], name: str | None = None) -> AnnotatedFrames:
    """All the sets as one (`concatenate`)."""
    return concatenate([open_frames(config) for config in configs], name)


def read_frames(config: DataConfig) -> tuple[AnnotatedFrames, Findings]:
    """The set as its reader gives it, damage skipped and counted, `on_error`, `check_images` and `limit` not applied.

    Raises `WrongUse` when the folder, or the part of the set, is not there.
    """
    if config.kind == "synthetic":
        from engines.data.synthetic import SyntheticConfig, synthetic_frames

        return synthetic_frames(config.synthetic or SyntheticConfig(), config.split), Findings()
    root = Path(config.path or "")
    if not root.is_dir():
        raise WrongUse(f"{root} is no folder: path names the folder {config.kind} was unpacked to")
    if config.kind == "affectnet":
        from engines.data.affectnet import read_affectnet

        return read_affectnet(root, config.split)
    if config.kind == "raf-db":
        from engines.data.rafdb import read_rafdb

        return read_rafdb(root, config.split, aligned=config.crops != "cropped")
    from engines.data.affwild2 import read_affwild2

    return read_affwild2(
        root,
        config.split,
        annotations=config.annotations,
        aligned=config.crops == "aligned",
        test_list=None if config.test_list is None else Path(config.test_list),
    )
