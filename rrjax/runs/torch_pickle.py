"""Torch's pickles, read as plain values by a stack machine that runs and imports nothing.

`pickletools` parses the opcodes. A global stays a name; the five calls of `_CALLS` become values
of this module, every other call or object an `Inert` that holds only its name. Python's own
unpickler is not safe even with its imports refused: it allocates as much as a damaged length or
memo index states, where this machine grows with the file.
"""

import math
import mmap
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple, cast

import ml_dtypes
import numpy as np

from rrjax import BadInput

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


# Compared by identity, so that no comparison or hash descends into a file's objects.
@dataclass(frozen=True, eq=False)
class Global:
    """A name that a pickle would import."""

    name: str


@dataclass(frozen=True, eq=False)
class Inert:
    """An object that a pickle would have built, of which only the name of its maker is read."""

    name: str


@dataclass(frozen=True, eq=False)
class Storage:
    """A sequence of numbers stored elsewhere in the file, under `key`.

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


def load(file: BinaryIO | mmap.mmap) -> Pickle:
    """Read the pickle at the position of a file, which is then behind the pickle's end.

    Dicts, lists, tuples, strings and numbers are themselves, sets are lists, tensors `Tensor`.

    Args:
      file: an mmap or a BytesIO: its `read(n)` allocates no more than the file holds.

    Raises:
      BadInput: for a pickle that torch does not write. A damaged one may also raise ValueError,
        IndexError, KeyError, TypeError or AttributeError.
    """
    machine = _Machine()
    # An mmap has the methods of a file that this calls.
    for opcode, argument, _ in pickletools.genops(cast(BinaryIO, file)):
        if opcode.name == "STOP":
            return Pickle(machine.stack.pop(), machine.storages)
        _step(machine, opcode.name, argument)
    raise BadInput("the pickle has no end")


def dump(value: Any) -> tuple[bytes, list[np.ndarray]]:
    """Return the pickle of a tree of dicts, numbers, strings and arrays, and its storages.

    An array becomes a contiguous tensor; the same array twice is one storage. torch.load
    takes the pickle with weights_only=True.
    """
    keys: dict[int, str] = {}
    storages: list[np.ndarray] = []

    def dumped(value: Any) -> bytes:
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


def _step(machine: _Machine, name: str, argument: Any) -> None:
    """Run one opcode."""
    if name in _LITERALS:
        machine.stack.append(argument)
    elif name in _FRESH:
        machine.stack.append(_FRESH[name]())
    elif name in _MARKED:
        items, machine.stack = machine.stack, machine.below.pop()
        _MARKED[name](machine.stack, items, argument)
    elif name in _PLAIN:
        _PLAIN[name](machine.stack, argument)
    elif name in _MACHINE:
        _MACHINE[name](machine, argument)
    elif name not in ("PROTO", "FRAME"):
        raise BadInput(f"opcode {name}, which torch does not write")


def _mark(machine: _Machine, _: Any) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _put(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _memoize(machine: _Machine, _: Any) -> None:
    _put(machine, len(machine.memo))


def _get(machine: _Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


def _load_persistent(machine: _Machine, _: Any) -> None:
    machine.stack.append(_persistent(machine, machine.stack.pop()))


def _persistent(machine: _Machine, identity: Any) -> Any:
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
    first = machine.storages.setdefault(key, storage)
    if (first.dtype, first.numel) != (storage.dtype, numel):
        raise BadInput(f"storage {key} is two things: {first.numel} numbers {first.dtype} as well")
    return storage


def _counts(n: Any) -> bool:
    return type(n) is int and n >= 0


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
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


def _call(function: Any, arguments: Any) -> Any:
    if isinstance(function, Global) and function.name in _CALLS:
        return _CALLS[function.name](*arguments)
    return Inert(kind(function))


def _ordered_dict(pairs: list | None = None) -> dict:
    """Empty a list of pairs, as of Python 2, into a dict: copies of one would outgrow the file."""
    if pairs is None:
        return {}
    items = [part for key, value in pairs for part in (key, value)]
    pairs.clear()
    return _dict(items)


def _dict(items: list) -> dict:
    return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _key(key: Any) -> Any:
    # Hashing a tuple descends into it, and a file can nest one until the C stack ends.
    return key if isinstance(key, str | bytes | int | float | None) else Inert(kind(key))


def kind(value: Any) -> str:
    """Name the type of a value, or the one that it would have had."""
    return value.name if isinstance(value, Global | Inert) else type(value).__name__


def _extend(target: Any, items: list) -> None:
    if isinstance(target, list):
        target.extend(items)


def _update(target: Any, items: list) -> None:
    if isinstance(target, dict):
        target.update(_dict(items))


def _tuple(stack: list, n: int) -> None:
    items = tuple(stack[-n:])
    if len(items) < n:
        raise IndexError("the stack is too short")
    del stack[-n:]
    stack.append(items)


def _stack_global(stack: list, _: Any) -> None:
    name, module = stack.pop(), stack.pop()
    stack.append(Global(f"{module}.{name}"))


def _reduce(stack: list, _: Any) -> None:
    arguments, function = stack.pop(), stack.pop()
    stack.append(_call(function, arguments))


def _build_with_keywords(stack: list, _: Any) -> None:
    stack.pop()
    _reduce(stack, None)


def _append(stack: list, _: Any) -> None:
    item = stack.pop()
    _extend(stack[-1], [item])


def _set_item(stack: list, _: Any) -> None:
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
# Each: the stack, and the items above the mark.
_MARKED: dict[str, Callable] = {
    "POP_MARK": lambda _stack, _items, _: None,
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
_MACHINE: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _mark,
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": _memoize,
    "GET": _get,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "BINPERSID": _load_persistent,
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
