"""Checkpoint files, read and written without PyTorch: torch's zip and older stream, safetensors.

A file is not trusted: nothing in it is run, and no size that it states is allocated before it is
compared with the file's. Of the three only the zip has checksums, and they are checked; in the
others a changed weight cannot be detected.
"""

import math
import mmap
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeGuard

import numpy as np

from rrjax import BadInput
from rrjax.runs import safetensors, torch_pickle

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MOST_LEVELS = 3  # of dicts, one in another, around a state dict
SUFFIXES = (".pth", ".pt", ".safetensors")
# The errors that a damaged file causes in the pickle machine, zipfile, json and numpy.
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RuntimeError,
    EOFError,
    OSError,
    struct.error,
    zipfile.BadZipFile,
)


class Contents(NamedTuple):
    """What a checkpoint file holds.

    state: names to arrays in torch's layout, views into read-only storages.
    facts: the epoch and the scores that the file states, if it does.
    checked: whether the arrays were compared with checksums.
    name: of the state dict in the file, "" if it is all of the file.
    """

    state: dict[str, np.ndarray]
    facts: dict[str, float]
    checked: bool
    name: str


def read(path: str | Path, weights: str = "") -> Contents:
    """Read a state dict of a .pt, .pth, .ckpt or .safetensors file, of whatever name.

    Args:
      path: the file.
      weights: which one, where the file has several (`choose`).

    Raises:
      BadInput: naming the path, for a file that is none of these, holds no state dict or several,
        or is damaged, truncated or hostile.
    """
    path = Path(path)
    reader = _reader(path)
    try:
        contents = reader(path, weights)
    except BadInput as error:
        raise BadInput(f"{path}: {_shown(error)}") from error
    except _DAMAGE as error:
        reason = _shown(f"{type(error).__name__}: {error}")
        raise BadInput(f"{path}: damaged ({reason}); fetch it again") from error
    for name in contents.state:
        if _shown(name) != name:
            raise BadInput(f"{path}: {_shown(name)} is no name of a tensor")
    return contents


def _shown(text: object) -> str:
    """Make what a file says fit for a terminal: one short line, no control characters."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:300])


def choose(weights: str, names: Iterable[str]) -> str:
    """Return the one of `names` that `weights` says: it, or the only one with `weights` in it.

    Raises:
      BadInput: with all names, if there are several and `weights` is empty, or it says none or more
        than one of them.
    """
    names = list(names)
    fitting = [name for name in names if name == weights] or [n for n in names if weights in n]
    if len(fitting) == 1:
        return fitting[0]
    flags = " or ".join(f"weights={name}" for name in names)
    chosen = f", and not one that {weights!r} means" if weights else ""
    raise BadInput(
        f"holds the weights of {', '.join(names)}{chosen}: choose by {flags} (of rrjax.load; "
        "--config.weights of rrjax.convert)"
    )


def _reader(path: Path) -> Callable[[Path, str], Contents]:
    """Choose the reader of a file by its first bytes."""
    if (path / ".metadata").exists() or path.suffix == ".distcp":
        raise BadInput(
            f"{path}: is a checkpoint of torch.distributed: make one file of its folder, by "
            "torch.distributed.checkpoint.format_utils.dcp_to_torch_save(FOLDER, 'network.pt')"
        )
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    if head.startswith(b"PK\x03\x04"):
        return _read_zip
    # A pickle's mark, 0x80, may be the first byte of the length of a header too.
    whole = int.from_bytes(head[:8], "little") <= path.stat().st_size - 8
    if head[8:9] == b"{" and (whole or not head.startswith(b"\x80")):
        return lambda path, _: Contents(safetensors.loads(path.read_bytes()), {}, False, "")
    if head.startswith(b"\x80"):
        return _read_stream
    raise BadInput(f"{path}: {_other_kind(head)}")


def _other_kind(head: bytes) -> str:
    """Say what a file is that is no checkpoint, by its first bytes."""
    if not head:
        return "is empty; fetch it again"
    if head.lstrip().startswith(b"<"):
        return "is a web page, not a checkpoint: the download went wrong"
    if head.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the file: run git lfs pull"
    if head.startswith(b"\x1f\x8b"):
        return "is compressed by gzip: unpack it first"
    if head[257:262] == b"ustar":
        return "is a tar, which torch before 0.2 wrote: save it again with a newer torch"
    return f"is neither torch's nor safetensors: it begins with {head[:8]!r}"


def _read_zip(path: Path, weights: str) -> Contents:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        _refuse_programs(archive)
        members = _members(archive, size)
        pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise BadInput(f"a zip with {len(pickles)} data.pkl in it: torch.save writes one")
        root = pickles[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        _check_order(order not in members or archive.read(order) == b"little")
        loaded = torch_pickle.load(BytesIO(archive.read(pickles[0])))
        # zipfile compares each member with its checksum.
        entries, rest, name = _state_dict(loaded.value, weights)
        numbers = _storages(
            loaded, lambda storage: archive.read(members[f"{root}data/{storage.key}"])
        )
        state = _arrays(entries, numbers, size)
        return Contents(state, _facts(rest, numbers, size), True, name)


def _refuse_programs(archive: zipfile.ZipFile) -> None:
    """Raise BadInput, with what to type in torch, for the zips of torch that hold a program."""
    loaders = {
        "constants.pkl": ("TorchScript", "torch.jit.load(FILE).state_dict()"),
        "archive_format": ("torch.export", "torch.export.load(FILE).state_dict"),
        "serialized_exported_program.json": ("torch.export", "torch.export.load(FILE).state_dict"),
    }
    for name in archive.namelist():
        if name.rpartition("/")[2] in loaders:
            kind, state = loaders[name.rpartition("/")[2]]
            raise BadInput(
                f"is a program of {kind}, not a state dict: in torch, "
                f"torch.save({state}, 'network.pth')"
            )


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Map names to members that are stored as they are and, in sum, no larger than the file."""
    members = {}
    for member in archive.infolist():
        if member.filename in members:
            raise BadInput(f"two members of the name {member.filename}")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise BadInput(f"{member.filename} is compressed, which torch.save never does")
        if member.flag_bits & 0x1:
            raise BadInput(f"{member.filename} is encrypted")
        members[member.filename] = member
    if sum(member.file_size for member in members.values()) > size:
        raise BadInput("its members are larger than the file")
    return members


def _check_order(little: bool) -> None:
    if not little:
        raise BadInput("written on a big-endian machine: save it again on a little-endian one")


def _read_stream(path: Path, weights: str) -> Contents:
    """Read what torch wrote before 1.6: five pickles, then each storage after its length."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if torch_pickle.load(mapped).value != _MAGIC:
            raise BadInput("a pickle, but not one that torch.save wrote")
        protocol = torch_pickle.load(mapped).value
        if protocol != _PROTOCOL:
            raise BadInput("a torch file of an unknown protocol")
        _check_order(torch_pickle.load(mapped).value["little_endian"] is True)
        loaded = torch_pickle.load(mapped)
        spans = _spans(mapped, torch_pickle.load(mapped).value, loaded.storages)
        entries, rest, name = _state_dict(loaded.value, weights)
        numbers = _storages(loaded, lambda storage: mapped[spans[storage.key]])
        state = _arrays(entries, numbers, len(mapped))
        return Contents(state, _facts(rest, numbers, len(mapped)), False, name)


def _spans(
    mapped: mmap.mmap, keys: Iterable[str], storages: dict[str, torch_pickle.Storage]
) -> dict[str, slice]:
    """Return each storage's bytes in a stream."""
    spans = {}
    for key in keys:
        storage = storages[key]
        (numel,) = struct.unpack("<q", mapped.read(8))
        start = mapped.tell()
        stop = start + numel * storage.dtype.itemsize
        if numel != storage.numel:
            raise BadInput(
                f"storage {key} is of {storage.numel} numbers, but of {numel} at its place"
            )
        if stop > len(mapped):
            raise BadInput(
                f"truncated: storage {key} ends at byte {stop:,}, the file at {len(mapped):,}; "
                "fetch it again"
            )
        spans[key] = slice(start, stop)
        mapped.seek(stop)
    return spans


def _storages(loaded: torch_pickle.Pickle, fetch: Callable) -> Callable[[str], np.ndarray]:
    """Return storages by their keys, each read once."""
    return cache(lambda key: np.frombuffer(fetch(loaded.storages[key]), loaded.storages[key].dtype))


def _state_dict(value: Any, weights: str) -> tuple[dict, dict, str]:
    """Return the state dict in a file's object, what lies beside it, and its name."""
    networks = dict(_networks(value, {}, ""))
    if networks:
        name = choose(weights, networks) if len(networks) > 1 else next(iter(networks))
        return *networks[name], name
    if not isinstance(value, dict):
        raise BadInput(
            f"holds an object of {torch_pickle.kind(value)}, not a state dict: save "
            "model.state_dict()"
        )
    return value, {}, ""


def _networks(value: Any, beside: dict, name: str) -> Iterator[tuple[str, tuple[dict, dict]]]:
    """Yield the name of each dict with a layer's weight in it, the dict, and what lies beside it.

    Plain values in the dict itself lie beside it too; a loss's own `weight` is no layer's.
    """
    if not isinstance(value, dict) or name.count(".") >= _MOST_LEVELS:
        return
    keys = [key for key in value if isinstance(key, str)]
    if any(key.endswith(".weight") and _is_tensor(value[key]) for key in keys):
        plain = {
            key: value[key] for key in keys if isinstance(value[key], int | float | str | None)
        }
        own = {key: part for key, part in value.items() if key not in plain}
        yield name, (own, beside | plain)
        return
    for key in keys:
        yield from _networks(value[key], value, f"{name}.{key}" if name else key)


def _is_tensor(value: Any) -> TypeGuard[torch_pickle.Tensor]:
    return isinstance(value, torch_pickle.Tensor)


def _arrays(entries: dict, numbers: Callable, size: int) -> dict[str, np.ndarray]:
    """Read the tensors of a state dict."""
    state = {}
    for name, value in entries.items():
        if not isinstance(name, str):
            raise BadInput(f"a key of its state dict is an object of {torch_pickle.kind(name)}")
        if not _is_tensor(value):
            maker = torch_pickle.kind(value)
            raise BadInput(
                f"key {name} is an object of {maker}, not a tensor: no state dict; save "
                "model.state_dict()"
            )
        state[name] = _array(name, value, numbers, size)
    return state


def _facts(rest: dict, numbers: Callable, size: int) -> dict[str, float]:
    """Return the numbers that a file states beside its weights."""
    facts = {}
    for name in ("epoch", "nat_prec1", "adv_prec1"):
        value = rest.get(name)
        if _is_tensor(value) and math.prod(value.size) == 1:
            value = _array(name, value, numbers, size).item()
        if isinstance(value, int | float) and math.isfinite(value):
            facts[name] = value
    return facts


def _array(name: str, tensor: torch_pickle.Tensor, numbers: Callable, size: int) -> np.ndarray:
    """View a tensor's storage by its offset, size and stride."""
    storage = tensor.storage
    if math.prod(tensor.size) > size:
        raise BadInput(f"key {name} would have {tensor.size} numbers, more than the file bytes")
    flat = numbers(storage.key)
    if flat.size != storage.numel:
        raise BadInput(f"key {name}: its storage has {flat.size} numbers of {storage.numel}")
    # An axis of length 1 is never stepped along, whatever its stride claims.
    steps = [
        flat.itemsize * (n > 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True)
    ]
    start = (storage.start + tensor.offset) * (math.prod(tensor.size) > 0)
    return np.lib.stride_tricks.as_strided(flat[start:], tensor.size, steps, writeable=False)


def write(path: str | Path, value: dict[str, Any]) -> None:
    """Write a tree of dicts, numbers, strings and arrays as torch.save does, or as safetensors.

    The suffix decides: .pth and .pt, a zip that torch.load(weights_only=True) takes; .safetensors,
    for a flat dict of arrays. If the process is killed no partial file is left. The same arrays
    give the same bytes.

    Raises:
      BadInput: for another suffix, or a folder that cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise BadInput(f"{path}: the suffix says the format; choose {', '.join(SUFFIXES)}")
    fill = safetensors.dump if path.suffix == ".safetensors" else _write_zip
    draft = path.with_name(f".{path.name}")
    try:
        with draft.open("wb") as file:
            fill(value, file)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BadInput(f"{path}: cannot be written ({error.strerror})") from error


def _write_zip(value: dict[str, Any], file: BinaryIO) -> None:
    pickled, storages = torch_pickle.dump(value)
    with zipfile.ZipFile(file, "w") as archive:

        def add(name: str, content: bytes) -> None:
            # The date of writing would make two exports of a network differ.
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)

        add("data.pkl", pickled)
        add("byteorder", b"little")
        for key, array in enumerate(storages):
            add(f"data/{key}", array.tobytes())
        add("version", b"3\n")
