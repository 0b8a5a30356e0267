"""A run folder: config.json, metrics.jsonl, checkpoints/, results.json, figures/, report.html."""

from rrjax.runs.folder import claim, flat, make_folder, one_writer, read_config
from rrjax.runs.networks import (
    Autoencoder,
    Frozen,
    another,
    keep,
    load,
    load_autoencoder,
    load_autoencoders,
    load_manifold,
    load_networks,
    reconstruct,
)
from rrjax.runs.results import disk_cache, publish, read_results, write_results

__all__ = [
    "Autoencoder",
    "Frozen",
    "another",
    "claim",
    "disk_cache",
    "flat",
    "keep",
    "load",
    "load_autoencoder",
    "load_autoencoders",
    "load_manifold",
    "load_networks",
    "make_folder",
    "one_writer",
    "publish",
    "read_config",
    "read_results",
    "reconstruct",
    "write_results",
]
