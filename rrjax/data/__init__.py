"""Records on the host become batches (`datasets`), which the device augments (`augment`).

The functions of `datasets` are reached as `data.create(config)`. They are imported at their first
use: a training step needs `augment` alone, where TFDS, Grain and Pillow may not be installed.
"""

import importlib
from typing import Any

_DATASETS = (
    "Data",
    "Images",
    "class_names",
    "create",
    "create_source",
    "eval_batches",
    "eval_examples",
    "eval_images",
    "examples",
    "open_examples",
    "open_images",
    "open_other",
    "open_split",
    "open_unseen",
)


def __getattr__(name: str) -> Any:
    if name not in _DATASETS:
        raise AttributeError(f"module 'rrjax.data' has no attribute {name!r}")
    return getattr(importlib.import_module("rrjax.data.datasets"), name)
