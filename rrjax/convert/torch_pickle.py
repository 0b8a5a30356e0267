"""Torch's pickles, read as plain values by a stack machine that runs and imports nothing.

`pickletools` parses the opcodes. A global stays a name; the five calls of `_CALLS` become values
of ours, every other call or object an `Inert` that remembers only what it was. Python's own
unpickler would not do even with its imports refused: it allocates what a damaged length or memo
index claims, where this machine grows with the file.
"""

import math
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from rrjax.errors import BadInput

DTYPES = {
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
    "torch.ComplexFloatStorage": np.dtype("<c8"),
    "torch.ComplexDoubleStorage": np.dtype("<c16"),
}
_MAX_RANK = 8


# Compared by identity: no comparison or hash walks into what a file holds.
@dataclass(frozen=True, eq=False)
class Global:
    """A name that a pickle would import."""

    name: str


@dataclass(frozen=True, eq=False)
class Inert:
    """What is left of an object that a pickle would have built: the name of its maker."""

    name: str


@dataclass(frozen=True, eq=False)
class Storage:
    """A run of numbers kept elsewhere in the file, under `key`.

    numel: how many numbers `key` holds; this storage is `length` of them, from `start`.
    """

    key: str
    dtype: np.dtype
    numel: int
    start: int
    length: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """A strided view of a storage, inside its bounds; offset and stride count numbers."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Pickle(NamedTuple):
    """A pickle's value and every storage that it names, those inside inert objects included."""

    value: Any
    storages: dict[str, Storage]


@dataclass
class _Machine:
    stack: list = field(default_factory=list)
    below: list = field(default_factory=list)  # the stacks under the marks
    memo: dict = field(default_factory=dict)
    storages: dict = field(default_factory=dict)


def load(file) -> Pickle:
    """Read the pickle at the place of a file, which is left behind its end.

    Dicts, lists, tuples, strings and numbers are themselves, sets are lists, tensors `Tensor`.
    file: an mmap or a BytesIO: its `read(n)` allocates no more than the file holds.
    Raises BadInput, or what a damaged pickle gives rise to: ValueError, IndexError, KeyError,
    TypeError, AttributeError.
    """
    machine = _Machine()
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "STOP":
            return Pickle(machine.stack.pop(), machine.storages)
        _step(machine, opcode.name, argument)
    raise BadInput("the pickle has no end")


def dump(value) -> tuple[bytes, list[np.ndarray]]:
    """Return the pickle of a tree of dicts, numbers, strings and arrays, and its storages.

    An array becomes a contiguous tensor; the same array in two places is one storage. torch.load
    takes the pickle with weights_only=True.
    """
    keys: dict[int, str] = {}
    storages: list[np.ndarray] = []

    def dumped(value) -> bytes:
        if isinstance(value, dict):
            items = [dumped(part) for item in value.items() for part in item]
            return b"}(" + b"".join(items) + b"u"
        if not isinstance(value, np.ndarray):
            return pickletools.optimize(pickle.dumps(value, 2))[2:-1]  # no PROTO, no STOP
        if id(value) not in keys:
            keys[id(value)] = str(len(storages))
            storages.append(value)
        stride = tuple(math.prod(value.shape[axis + 1 :]) for axis in range(value.ndim))
        maker = next(name for name, dtype in DTYPES.items() if dtype == value.dtype)
        storage = dumped("storage") + _global(maker) + dumped(keys[id(value)]) + dumped("cpu")
        storage = b"(" + storage + dumped(value.size) + b"tQ"
        view = b"".join(map(dumped, (0, value.shape, stride, False)))
        hooks = _global("collections.OrderedDict") + b")R"
        return _global("torch._utils._rebuild_tensor_v2") + b"(" + storage + view + hooks + b"tR"

    return b"\x80\x02" + dumped(value) + b".", storages


def _global(name: str) -> bytes:
    module, _, name = name.rpartition(".")
    return f"c{module}\n{name}\n".encode()


def _step(machine: _Machine, name: str, argument) -> None:
    stack = machine.stack
    if name in _LITERALS:
        stack.append(argument)
    elif name in _FRESH:
        stack.append(_FRESH[name]())
    elif name in _MARKED:
        items, machine.stack = stack, machine.below.pop()
        _MARKED[name](machine.stack, items, argument)
    elif name in _PLAIN:
        _PLAIN[name](stack, argument)
    elif name == "MARK":
        machine.below.append(stack)
        machine.stack = []
    elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
        machine.memo[argument] = stack[-1]
    elif name == "MEMOIZE":
        machine.memo[len(machine.memo)] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(machine.memo[argument])
    elif name == "BINPERSID":
        stack.append(_persistent(machine, stack.pop()))
    elif name not in ("PROTO", "FRAME"):
        raise BadInput(f"opcode {name}, which torch does not write")


def _persistent(machine: _Machine, identity):
    """Return the storage that a persistent id describes; a saved module's source is left out."""
    tag, *rest = identity
    if tag == "module":
        return rest[0]
    if tag != "storage":
        raise BadInput("a persistent id that is no storage's, which torch does not write")
    maker, key, _, numel, *view = rest
    if not isinstance(maker, Global) or maker.name not in DTYPES:
        raise BadInput(f"a storage of {kind(maker)}: only tensors of plain numbers are read")
    start, length = (0, numel) if view in ([], [None]) else view[0][1:]
    numbers = (numel, start, length)
    if type(key) is not str or not all(map(_counts, numbers)) or start + length > numel:
        raise BadInput("a storage without a key or a size")
    storage = Storage(key, DTYPES[maker.name], *numbers)
    known = machine.storages.setdefault(key, storage)
    if (known.dtype, known.numel) != (storage.dtype, numel):
        raise BadInput(f"storage {key} is two things: {known.numel} numbers {known.dtype} as well")
    return storage


def _counts(n) -> bool:
    return type(n) is int and n >= 0


def _tensor(storage, offset, size, stride, *_) -> Tensor:
    plain = isinstance(storage, Storage) and len(size) == len(stride) <= _MAX_RANK
    if not plain or not all(map(_counts, (offset, *size, *stride))):
        raise BadInput("a tensor without a storage, or of a size or stride that is no number")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.length:
        raise BadInput(
            f"a tensor of size {size}, stride {stride} and offset {offset} reaches beyond its "
            f"storage of {storage.length} numbers"
        )
    return Tensor(storage, offset, tuple(size), tuple(stride))


def _call(function, arguments):
    if isinstance(function, Global) and function.name in _CALLS:
        return _CALLS[function.name](*arguments)
    return Inert(kind(function))


def _ordered_dict(pairs=None) -> dict:
    """Take over a list of pairs, as of Python 2: copies of one would outgrow the file."""
    if pairs is None:
        return {}
    items = [part for key, value in pairs for part in (key, value)]
    pairs.clear()
    return _dict(items)


def _dict(items: list) -> dict:
    return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _key(key):
    # Hashing a tuple walks into it, and a file can nest one until the C stack ends.
    return key if isinstance(key, str | bytes | int | float | None) else Inert(kind(key))


def kind(value) -> str:
    """Name the type of a value, or the one that it would have had."""
    return value.name if isinstance(value, Global | Inert) else type(value).__name__


def _extend(target, items: list) -> None:
    if isinstance(target, list):
        target.extend(items)


def _update(target, items: list) -> None:
    if isinstance(target, dict):
        target.update(_dict(items))


def _tuple(stack: list, n: int) -> None:
    items = tuple(stack[-n:])
    if len(items) < n:
        raise IndexError("the stack is too short")
    del stack[-n:]
    stack.append(items)


def _stack_global(stack: list, _) -> None:
    name, module = stack.pop(), stack.pop()
    stack.append(Global(f"{module}.{name}"))


def _reduce(stack: list, _) -> None:
    arguments, function = stack.pop(), stack.pop()
    stack.append(_call(function, arguments))


def _build_with_keywords(stack: list, _) -> None:
    stack.pop()
    _reduce(stack, None)


def _append(stack: list, _) -> None:
    item = stack.pop()
    _extend(stack[-1], [item])


def _set_item(stack: list, _) -> None:
    value, key = stack.pop(), stack.pop()
    _update(stack[-1], [key, value])


# The opcodes whose argument is the value itself.
_KINDS = {"int", "int_or_bool", "float", "bytes", "bytearray", "str", "bytes_or_str"}
_LITERALS = {
    opcode.name
    for opcode in pickletools.opcodes
    if opcode.arg and [kind.name for kind in opcode.stack_after if kind.name in _KINDS]
}
_FRESH: dict[str, Callable] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}
# Each: the stack, and what lay above the mark.
_MARKED: dict[str, Callable] = {
    "POP_MARK": lambda stack, items, _: None,
    "TUPLE": lambda stack, items, _: stack.append(tuple(items)),
    "LIST": lambda stack, items, _: stack.append(items),
    "FROZENSET": lambda stack, items, _: stack.append(items),
    "DICT": lambda stack, items, _: stack.append(_dict(items)),
    "APPENDS": lambda stack, items, _: _extend(stack[-1], items),
    "ADDITEMS": lambda stack, items, _: _extend(stack[-1], items),
    "SETITEMS": lambda stack, items, _: _update(stack[-1], items),
    "OBJ": lambda stack, items, _: stack.append(_call(items[0], items[1:])),
    "INST": lambda stack, items, name: stack.append(_call(Global(_dotted(name)), items)),
}
_PLAIN: dict[str, Callable] = {
    "POP": lambda stack, _: stack.pop(),
    "DUP": lambda stack, _: stack.append(stack[-1]),
    "TUPLE1": lambda stack, _: _tuple(stack, 1),
    "TUPLE2": lambda stack, _: _tuple(stack, 2),
    "TUPLE3": lambda stack, _: _tuple(stack, 3),
    "GLOBAL": lambda stack, name: stack.append(Global(_dotted(name))),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _build_with_keywords,
    "BUILD": lambda stack, _: stack.pop(),  # the state of an object that stays as it is
    "APPEND": _append,
    "SETITEM": _set_item,
}
_CALLS: dict[str, Callable] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
}


def _dotted(name: str) -> str:
    return name.replace(" ", ".", 1)
