"""Run folders: config.json, metrics.jsonl, checkpoints/, results.json, figures/, report.html."""

from rrjax.runs.folder import create_run_dir, flat, make_folder, one_writer, read_config
from rrjax.runs.networks import (
    Autoencoder,
    Frozen,
    load,
    load_autoencoder,
    load_autoencoders,
    load_manifold,
    load_networks,
    other_network,
    reconstruct,
    save_network,
)
from rrjax.runs.results import disk_cache, publish, read_results, write_results

__all__ = [
    "Autoencoder",
    "Frozen",
    "create_run_dir",
    "disk_cache",
    "flat",
    "load",
    "load_autoencoder",
    "load_autoencoders",
    "load_manifold",
    "load_networks",
    "make_folder",
    "one_writer",
    "other_network",
    "publish",
    "read_config",
    "read_results",
    "reconstruct",
    "save_network",
    "write_results",
]
