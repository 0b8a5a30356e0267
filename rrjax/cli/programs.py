"""Compiled programs on disk: every command, and every process of a user, shares them."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from filelock import FileLock
from jax.experimental.compilation_cache import compilation_cache

CACHE_BYTES = 2 * 2**30  # of compiled programs, those last used


def enable_compilation_cache() -> None:
    """Keep compiled programs in ~/.cache/rrjax or JAX_COMPILATION_CACHE_DIR, and read them there.

    Processes share this folder: it is locked while it is read and written. It holds CACHE_BYTES at
    most, or JAX_COMPILATION_CACHE_MAX_SIZE. Without a home folder that can be written there is no
    cache.
    """
    folder = jax.config.values["jax_compilation_cache_dir"] or cache_folder("programs")
    if folder is None:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if jax.config.values["jax_compilation_cache_max_size"] == -1:
        jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    _remove_half_written(Path(folder))


def cache_folder(name: str) -> Path | None:
    """Return ~/.cache/rrjax/NAME, which exists; None without a home folder that can be written.

    Not ~/.cache/rrjax itself, where rrjax 0.1 left programs without the time of their use.
    """
    try:
        folder = Path.home() / ".cache/rrjax" / name
        folder.mkdir(parents=True, exist_ok=True)
    except (RuntimeError, OSError):  # no home folder, or one that this user may not write
        return None
    return folder if os.access(folder, os.W_OK) else None


def _remove_half_written(folder: Path) -> None:
    """Remove the programs of writers that were killed: jax would warn about them at every use."""
    try:
        with FileLock(folder / ".lockfile", timeout=10):
            for program in folder.glob("*-cache"):
                if not program.with_name(f"{program.name.removesuffix('-cache')}-atime").exists():
                    program.unlink()
    except (OSError, NotImplementedError):  # no such folder, not this user's, or without locks
        return


@contextmanager
def cache_setting(name: str, value: Any) -> Generator[None, None, None]:
    """Give a setting of jax's cache of compiled programs another value for a while."""
    before = jax.config.values[name]
    try:
        jax.config.update(name, value)
        compilation_cache.reset_cache()
        yield
    finally:
        jax.config.update(name, before)
        compilation_cache.reset_cache()
