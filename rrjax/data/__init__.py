"""Records on the host become batches (`datasets`), which the device augments (`augment`).

The functions of `datasets` are reached as `data.create(config)`. They are imported at their first
use: a training step needs `augment` alone, where TFDS, Grain and Pillow may not be installed.
"""

import importlib
from typing import Any

_DATASETS = (
    "Data",
    "create",
    "create_source",
    "examples",
    "other_examples",
    "eval_batches",
    "eval_examples",
    "eval_images",
    "has_labels",
    "unseen_examples",
)


def __getattr__(name: str) -> Any:
    if name not in _DATASETS:
        raise AttributeError(f"module 'rrjax.data' has no attribute {name!r}")
    return getattr(importlib.import_module("rrjax.data.datasets"), name)
