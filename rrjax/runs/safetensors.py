"""The safetensors format, read and written by the package `safetensors`.

Added here: BF16, which numpy lacks, and the refusal of a header that gives a name twice. The format
has no checksums; the package checks that every byte of the body belongs to exactly one tensor.
"""

import json
import struct
from collections.abc import Mapping
from typing import BinaryIO

import ml_dtypes
import numpy as np

from rrjax import BadInput

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
    """Return the tensors of a safetensors file by their names.

    Raises:
      BadInput: for a file that is truncated or damaged, for numbers of a type that numpy and
        ml_dtypes lack, and for a header that gives a name twice.
    """
    # Imported here: what needs no such file works where the package is missing.
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(content)
    except (SafetensorError, ValueError) as error:
        raise BadInput(f"damaged or truncated ({error}); fetch it again") from error
    _check_names(content)
    state = {}
    for name, tensor in tensors:
        dtype = _DTYPES.get(tensor["dtype"])
        if dtype is None:
            raise BadInput(f"key {name} is of {tensor['dtype']}: only plain numbers are read")
        state[name] = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    return state


def _check_names(content: bytes) -> None:
    """Refuse a header with a name in it twice, of which the package takes the last."""

    def once(pairs: list[tuple]) -> dict:
        if len(dict(pairs)) != len(pairs):
            raise BadInput("a header that says a name twice")
        return dict(pairs)

    (length,) = struct.unpack("<Q", content[:8])
    json.loads(content[8 : 8 + length], object_pairs_hook=once)


def dump(state: Mapping[str, np.ndarray], file: BinaryIO) -> None:
    """Write arrays by name to a binary file; the same arrays give the same bytes."""
    from safetensors.numpy import save

    contiguous = {name: np.asarray(array, order="C") for name, array in state.items()}
    file.write(save(contiguous, metadata={"format": "pt"}))
