"""Data sets in their official layouts, and what is drawn from them. Nothing here needs torch."""

from engines.data.augmentation import Change, Strength, apply_change, augment, draw_change
from engines.data.config import Annotations, Crops, DataConfig, OnError, SetKind, Split, data_config
from engines.data.findings import Cause, Findings
from engines.data.frames import NOT_ANNOTATED, AnnotatedFrames, Pictures
from engines.data.joining import concatenate, take
from engines.data.opening import open_all, open_frames, open_with_findings
from engines.data.sampling import (
    balanced_epoch,
    block_indices,
    class_counts,
    first_rows,
    logit_adjustment,
    shuffled_epoch,
)
from engines.data.stretches import Stretches, lanes_epoch, stretches_epoch

__all__ = [
    "NOT_ANNOTATED",
    "AnnotatedFrames",
    "Annotations",
    "Cause",
    "Change",
    "Crops",
    "DataConfig",
    "Findings",
    "OnError",
    "Pictures",
    "SetKind",
    "Split",
    "Strength",
    "Stretches",
    "apply_change",
    "augment",
    "balanced_epoch",
    "block_indices",
    "class_counts",
    "concatenate",
    "data_config",
    "draw_change",
    "first_rows",
    "lanes_epoch",
    "logit_adjustment",
    "open_all",
    "open_frames",
    "open_with_findings",
    "shuffled_epoch",
    "stretches_epoch",
    "take",
]
