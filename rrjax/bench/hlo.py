"""The kernels of a program that XLA compiled, and the bytes that each moves, read off its text.

What stands in a loop's body is kept apart from what surrounds the loop. A kernel moves its operands
and its results once each, of an operand that it slices the slices: less where it finds one in a
cache, more where it reads one twice. Arrays that a TPU's compiler keeps beside its cores, in VMEM,
count nothing, and neither does what tiles are filled up with.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-broadcast",
    "collective-permute",
    "ragged-all-to-all",
    "reduce-scatter",
)
# The kinds of kernels that contain one of these operations, the first that does.
_KINDS = {
    "collective": set(COLLECTIVES),
    "convolution": {"convolution"},  # of a TPU's compiler products, too
    "product": {"dot"},
    "scatter": {"scatter", "select-and-scatter"},
    "reduction": {"reduce", "reduce-window"},
}
KINDS = (*_KINDS, "elementwise", "copy", "prefetch", "other")  # prefetch: a copy beside the kernels
_SLICES = {"slice", "dynamic-slice"}
_COPIES = _SLICES | {"copy", "transpose", "reshape", "concatenate", "pad", "broadcast", "reverse"}
_COPIES |= {"dynamic-update-slice", "convert"}
# Operations that name or order values, and move none.
_NAMES = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
_NAMES |= {"after-all", "add-dependency", "opt-barrier", "partition-id", "replica-id"}
_NAMES |= {"AllocateBuffer", "ConcatBitcast"}  # of a TPU's compiler

_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128, "f8e4m3fn": 8, "f8e5m2": 8}
_BITS |= {f"{letter}{bits}": bits for letter in "suf" for bits in (2, 4, 8, 16, 32, 64)}
_ARRAY = re.compile(rf"\b({'|'.join(_BITS)})\[([\d,]*)\](\{{[^}}]*\}})?")
_BESIDE_CORES = re.compile(r"S\([1-9]\d*\)")  # the memory space of a layout, if not the main one
_HEADER = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_NAME = re.compile(r"\s*(?:ROOT )?%([\w.\-]+) = ")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|(?:branch|true|false)_computations?)=\{?((?:%[\w.\-]+(?:, )?)+)"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_TARGET = re.compile(r'custom_call_target="([^"]+)"')


@dataclass(frozen=True)
class Kernel:
    """A kernel: its kind, the bytes that it moves, and those that it sends to other devices."""

    kind: str
    bytes: int
    sent: int


@dataclass(frozen=True)
class Block:
    """The kernels of a computation, and its loops: (how often, or None if unknown; body) pairs."""

    kernels: Sequence[Kernel]
    loops: Sequence[tuple[int | None, "Block"]]


@dataclass(frozen=True)
class _Instruction:
    """An operation. line: its operands in parentheses, and its attributes."""

    shape: str
    operation: str
    operands: Sequence[str]
    line: str


_Computation = Mapping[str, _Instruction]


def read(text: str) -> Block:
    """Return the entry of a program of which this is the text, `compiled.as_text()`.

    Raises:
      ValueError: if the text has no entry.
    """
    entry, computations = _parse(text)
    return _block(entry, computations)


def heaviest_loop(entry: Block) -> Block | None:
    """Return the body of the entry's loop that moves the most bytes; None without a loop."""
    bodies = [body for _, body in entry.loops]
    return max(bodies, key=lambda body: sum(k.bytes for k in unrolled(body)), default=None)


def unrolled(block: Block, without: Block | None = None) -> list[Kernel]:
    """Return the kernels of a block as they run, those of its loops as often as they run.

    A loop whose number of rounds the text does not say counts once. The loop with the body
    `without` is left out.
    """
    kernels = list(block.kernels)
    for trips, body in block.loops:
        if body is not without:
            kernels += unrolled(body) * (1 if trips is None else trips)
    return kernels


def by_kind(kernels: Sequence[Kernel]) -> dict[str, dict[str, int]]:
    """Return {"all" or kind: {"kernels", "bytes"}}, the kinds by their bytes, the most first."""
    kinds = {"all": list(kernels)}
    for kernel in sorted(kernels, key=lambda kernel: kernel.kind):
        kinds.setdefault(kernel.kind, []).append(kernel)
    rows = {
        kind: {"kernels": len(members), "bytes": sum(kernel.bytes for kernel in members)}
        for kind, members in kinds.items()
    }
    return dict(sorted(rows.items(), key=lambda row: -row[1]["bytes"]))


def _parse(text: str) -> tuple[str, dict[str, _Computation]]:
    computations, entry, current = {}, None, None
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            current = computations[header[2]] = {}
            entry = header[2] if header[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (name := _NAME.match(line)):
            current[name[1]] = _instruction(line, name.end())
    if entry is None:
        raise ValueError("no ENTRY: this is not the text of an HLO module")
    return entry, computations


def _instruction(line: str, start: int) -> _Instruction:
    """Take "SHAPE OPERATION(OPERANDS), ATTRIBUTES" apart, from `start` on."""
    end = _closing(line, start) if line[start] == "(" else line.index(" ", start)
    opening = line.index("(", end)
    closing = _closing(line, opening)
    names = re.findall(r"%([\w.\-]+)", line[opening:closing])
    return _Instruction(line[start:end], line[end:opening].strip(), names, line[opening:])


def _closing(line: str, opening: int) -> int:
    """Return where the parenthesis that opens at `opening` has been closed."""
    depth = 0
    for i in range(opening, len(line)):
        depth += {"(": 1, ")": -1}.get(line[i], 0)
        if depth == 0:
            return i + 1
    raise ValueError(f"a parenthesis is not closed: {line.strip()[:80]}")


def _block(name: str, computations: Mapping[str, _Computation]) -> Block:
    kernels, loops = [], []
    computation = computations[name]
    for instruction in computation.values():
        operation, called = instruction.operation, _called(instruction)
        if operation == "while":
            trips = _TRIPS.search(instruction.line)
            (body,) = called
            loops.append((int(trips[1]) if trips else None, _block(body, computations)))
        elif operation in ("call", "async-start"):
            inner = _block(called[0], computations)
            kernels += inner.kernels
            loops += inner.loops
        elif operation == "conditional":  # the branch that moves the most
            branches = [_block(branch, computations) for branch in called]
            inner = max(branches, key=lambda block: sum(k.bytes for k in unrolled(block)))
            kernels += inner.kernels
            loops += inner.loops
        elif not _names_only(instruction):
            kernels.append(_kernel(instruction, computation, computations))
    return Block(tuple(kernels), tuple(loops))


def _names_only(instruction: _Instruction) -> bool:
    target = _TARGET.search(instruction.line)
    ends = instruction.operation.endswith(("-done", "-update"))
    return ends or (target[1] if target else instruction.operation) in _NAMES


def _called(instruction: _Instruction) -> list[str]:
    return [
        name
        for match in _CALLED.finditer(instruction.line)
        for name in re.findall(r"%([\w.\-]+)", match[1])
    ]


def _kernel(
    instruction: _Instruction,
    computation: _Computation,
    computations: Mapping[str, _Computation],
) -> Kernel:
    operation = instruction.operation.removesuffix("-start")
    shapes = {name: computation[name].shape for name in instruction.operands}
    written, read = _bytes(instruction.shape), dict.fromkeys(shapes, 0)
    for i, name in enumerate(instruction.operands):
        taken = _taken(i, instruction, computations)
        whole = _bytes(shapes[name])
        read[name] = max(read[name], whole if taken is None else min(whole, taken))
    # The start of all others has its operands among its results.
    if operation != instruction.operation and operation != "all-reduce":
        written -= sum(map(_bytes, shapes.values()))
    kind = _kind(operation, _operations(instruction, computations))
    if kind == "copy" and operation != instruction.operation:
        kind = "prefetch"
    sent = sum(map(_size, shapes.values())) if kind == "collective" else 0
    return Kernel(kind, sum(read.values()) + written, sent)


def _taken(
    i: int, instruction: _Instruction, computations: Mapping[str, _Computation]
) -> int | None:
    """Return the bytes of the slices that a kernel takes of its operand `i`; None: it takes all."""
    operation = instruction.operation.removesuffix("-start")
    if operation in _SLICES:  # the start of one has its operands among its results
        results = [array[0] for array in _ARRAY.finditer(instruction.shape)]
        return _size(results[operation != instruction.operation])
    if operation != "fusion":
        return None
    fused = computations[_called(instruction)[0]]
    (parameter,) = (
        name
        for name, inner in fused.items()
        if inner.operation == "parameter" and inner.line.startswith(f"({i})")
    )
    readers = [inner for inner in fused.values() if parameter in inner.operands]
    if any(reader.operation not in _SLICES for reader in readers):
        return None
    return sum(_size(reader.shape) for reader in readers)


def _operations(
    instruction: _Instruction, computations: Mapping[str, _Computation]
) -> frozenset[str]:
    """Return what a kernel does, inside of its fusion too; a library's kernel by its name."""
    target = _TARGET.search(instruction.line)
    name = target[1].lower() if target else ""
    operations = {instruction.operation.removesuffix("-start")}
    operations |= {"convolution"} if "conv" in name else set()
    operations |= {"dot"} if re.search("gemm|matmul|cublas", name) else set()
    if instruction.operation == "fusion":
        for called in _called(instruction):
            for inner in computations[called].values():
                operations |= _operations(inner, computations)
    return frozenset(operations - _NAMES - {"fusion"})


def _kind(operation: str, operations: frozenset[str]) -> str:
    for kind, members in _KINDS.items():
        if operations & members:
            return kind
    if operations <= _COPIES:
        return "copy"
    return "elementwise" if operation == "fusion" else "other"


def _bytes(shape: str) -> int:
    """Return the bytes that the arrays of a shape take in the main memory."""
    arrays = _ARRAY.finditer(shape)
    return sum(_size(array[0]) for array in arrays if not _BESIDE_CORES.search(array[3] or ""))


def _size(shape: str) -> int:
    """Return the bytes of the arrays of a shape, wherever they are."""
    sizes = (
        _BITS[dtype] * math.prod(int(side) for side in sides.split(",") if side)
        for dtype, sides, _ in _ARRAY.findall(shape)
    )
    return sum(sizes) // 8
