"""The safetensors format (huggingface.co/docs/safetensors): a JSON header, then the numbers.

It has no checksums. That every byte of the body belongs to exactly one tensor is checked.
"""

import json
import math
import struct

import ml_dtypes
import numpy as np

from rrjax.errors import BadInput

_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def loads(content: bytes) -> dict[str, np.ndarray]:
    """Read a file's tensors, as views.

    Raises BadInput, or what a damaged header gives rise to: ValueError, LookupError, TypeError,
    AttributeError, RecursionError, struct.error.
    """
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise BadInput(f"truncated: a header of {length:,} bytes in a file of {len(content):,}")
    header = json.loads(content[8 : 8 + length], object_pairs_hook=_once)
    header.pop("__metadata__", None)
    state, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape = _DTYPES.get(entry["dtype"]), entry["shape"]
        start, stop = entry["data_offsets"]
        if dtype is None:
            raise BadInput(f"key {name} is of {entry['dtype']}: only plain numbers are read")
        if any(type(n) is not int or n < 0 for n in (start, stop, *shape)):
            raise BadInput(f"key {name}: a size or place that is no number")
        count = math.prod(shape)
        if start != end or stop - start != count * dtype.itemsize:
            raise BadInput(f"key {name} of shape {tuple(shape)} is not at bytes {start} to {stop}")
        if 8 + length + stop > len(content):
            raise BadInput(f"truncated: key {name} ends beyond the file; fetch it again")
        end = stop
        state[name] = np.frombuffer(content, dtype, count, 8 + length + start).reshape(shape)
    if 8 + length + end != len(content):
        raise BadInput("bytes after its last tensor")
    return state


def _once(pairs: list) -> dict:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise BadInput("a header that says a name twice")
    return names


def dump(state: dict[str, np.ndarray], file) -> None:
    """Write arrays by name to a binary file."""
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, array in state.items():
        place = [end, end + array.nbytes]
        header[name] = {
            "dtype": names[array.dtype],
            "shape": array.shape,
            "data_offsets": place,
        }
        end = place[1]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for array in state.values():
        file.write(array.tobytes())
