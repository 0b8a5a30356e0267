"""Files that several processes write: locked, or replaced at once; the checksum of one."""

import errno
import hashlib
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rrjax import BadInput

# What a file system without flock answers (a Lustre without -o flock, some network mounts).
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP)


@contextmanager
def locked(path: Path, refusal: str) -> Generator[None, None, None]:
    """Hold the lock file `path`.

    The kernel releases the lock when its holder ends, however it ends. On a file system without
    locks a warning says so, once a process, and nothing is locked.

    Raises:
      BadInput: with the text `refusal`, if another process holds the lock.
    """
    lock = _file_lock(path)
    try:
        _acquire(lock, blocking=False)
    except Timeout as error:
        raise BadInput(refusal) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def in_turn(path: Path) -> Generator[None, None, None]:
    """Hold the lock file `path` once no other process does; otherwise as `locked`."""
    lock = _file_lock(path)
    _acquire(lock, blocking=True)
    try:
        yield
    finally:
        lock.release()


def _file_lock(path: Path) -> FileLock:
    # No fallback to a file that marks the holder: a killed one would leave it behind.
    return FileLock(path, fallback_to_soft=False)


def _acquire(lock: FileLock, blocking: bool) -> None:
    try:
        lock.acquire(blocking=blocking)
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        # One text from one line: Python shows it once a process.
        warnings.warn(
            "this file system has no locks: let no two commands write one folder at a time",
            RuntimeWarning,
            stacklevel=1,
        )


def replace_text(path: Path, text: str) -> None:
    """Write a whole file at once, so that a kill leaves the old one or the new one."""
    draft = path.with_name(f".{path.name}.draft")
    # A path in it may be no text: a name of bytes that are no UTF-8.
    draft.write_text(text, encoding="utf-8", errors="backslashreplace")
    draft.replace(path)


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
