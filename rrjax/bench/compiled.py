"""Which batch fits on an accelerator, what moves there, and how fast can it be at best?

JAX_PLATFORMS=cpu python -m rrjax.bench --config=configs/bench_compiled.py --workdir=runs/compiled

The accelerator need not be there: its own compiler runs on this machine (pip install
'rrjax[aot-cuda]', 'rrjax[aot-tpu]') and says what its program needs. What is not known without the
chip is time; a rate that is printed is a bound.
"""

import copy
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import product
from typing import Any

import jax
from ml_collections import ConfigDict

from rrjax import BadInput, runs
from rrjax.bench import cases, chips, hlo, programs
from rrjax.runs import report
from rrjax.runs.page import write_report

NAME = "compiled"  # of its part of results.json and of report.html
# What rows have in common that are made together; they take the place of older ones of the same.
KEY = ("kind", "name", "variant", "size", "steps", "dtype", "chip", "devices")

Row = dict[str, Any]


def run(config: ConfigDict, workdir: str) -> None:
    """Compile every case for every chip; write results.json, report.html and a document's table.

    Rows that the folder has already stay, unless the same program is compiled again: chips may be
    done one after another, and without cases the document's table is made again.

    Raises:
      BadInput: for a case, a chip, a dtype or a number that is none, without a compiler, and for a
        document without a place for the tables.
    """
    chosen = _cases(config)
    runs.make_folder(workdir)
    rows = runs.read_results(workdir).get(NAME, {}).get("rows", [])
    _write_document(config, rows)  # before long work: it may be no document
    for case, dtype, chip, devices in product(chosen, config.dtypes, config.chips, config.devices):
        made = _measured(config, case, dtype, chip, devices)
        rows = [old for old in rows if _key(old) != _key(made[0])] + made
        for row in made:
            print(" ".join(_cells(row)), flush=True)
        runs.write_results(workdir, NAME, {"config": config.to_dict(), "rows": rows})
    _write_document(config, rows)
    write_report(workdir, _kernels_section(rows))
    runs.publish(workdir, config, _section(config, rows), {"rows": rows})


def _write_document(config: ConfigDict, rows: Sequence[Row]) -> None:
    if config.document:
        sections = _section(config, rows), _kernels_section(rows)
        tables = [report.markdown(section.header, section.rows) for section in sections]
        report.replace_table(config.document, config.table, "\n\n".join(tables))


def _cases(config: ConfigDict) -> list[cases.Case]:
    if not all(1 <= devices <= chips.NODE for devices in config.devices):
        raise BadInput(f"--config.devices={config.devices}: give numbers from 1 to {chips.NODE}")
    if set(config.dtypes) - {"bfloat16", "float32"}:
        raise BadInput(f"--config.dtypes={config.dtypes}: choose from bfloat16, float32")
    if config.most_images < 0 or not 0 < config.gpu_memory_share <= 1:
        raise BadInput(
            f"--config.most_images={config.most_images}, "
            f"gpu_memory_share={config.gpu_memory_share}: the first must be at least 0, the second "
            "above 0 and at most 1"
        )
    chosen = cases.read(config)
    if chosen:
        chips.check(config.chips)
    return chosen


def _measured(
    config: ConfigDict, case: cases.Case, dtype: str, chip: str, devices: int
) -> list[Row]:
    """Compile a case for a node: with its own number of images a device, and the most that fit."""
    config = copy.deepcopy(config)
    config.training.dtype = dtype
    compiled = cache(partial(_program, config, case, chip, devices))
    n = case["n"]
    most = None
    if config.most_images:
        most = largest(lambda n: compiled(n)["fits"], n, config.most_images)
    return [
        compiled(n) | {"most_images": most, "sought_to": config.most_images}
        for n in dict.fromkeys((n, most or n))
    ]


def largest(fits: Callable[[int], bool], start: int, limit: int) -> int:
    """Return the largest number of images that fits, of `start` by powers of two; 0 if none does.

    It doubles up to `limit`, or halves down to 1.
    """
    n = start
    while n and not fits(n):
        n //= 2
    if n == start:
        while 2 * n <= limit and fits(2 * n):
            n *= 2
    return n


def bound(moved: float, flops: float, chip: chips.Chip, dtype: str) -> tuple[float, str]:
    """Return the least seconds that a program takes on a chip, and what limits it.

    moved, flops: bytes of the memory, and floating point operations.
    """
    seconds = {"memory": moved / chip.bandwidth, "arithmetic": flops / chip.flops[dtype]}
    limit = max(seconds, key=lambda name: seconds[name])
    return seconds[limit], limit


def _program(config: ConfigDict, case: cases.Case, name: str, devices: int, n: int) -> Row:
    """Compile a case with `n` images a device: what the compiler says of it."""
    case, chip = case | {"n": n}, chips.CHIPS[name]
    steps, dtype = cases.search_steps(config, case), config.training.dtype
    row = {**case, "steps": steps, "dtype": dtype, "chip": name, "devices": devices}
    lowered = programs.lower(config, case, chips.mesh(chip, devices))
    begun = time.perf_counter()
    compiled = chips.compiled(chip, lowered)
    row["compile_seconds"] = time.perf_counter() - begun
    if compiled is None:
        return row | {"fits": False}
    text, needed = _text_and_memory(compiled)
    contents, flops = _contents(text, steps), cases.flops(config, case)
    moved = contents["rest"]["all"]["bytes"] + steps * contents["iteration"]["all"]["bytes"]
    seconds, limit = bound(moved, flops, chip, dtype)
    return row | {
        **contents,
        "flops": flops,
        "fits": needed <= chips.usable(chip, config.gpu_memory_share),
        "needed_bytes": needed,
        "most_images_per_second": devices * n / seconds,
        "limit": limit,
    }


def _contents(text: str, steps: int) -> Row:
    """Return what an iteration of the search and the rest of a program consist of, by kind."""
    entry = hlo.read(text)
    body = hlo.heaviest_loop(entry) if steps else None
    iteration = hlo.unrolled(body) if body else []
    rest = hlo.unrolled(entry, without=body)
    sent = [kernel.sent for kernel in iteration * steps + rest if kernel.kind == "collective"]
    return {
        "iteration": hlo.by_kind(iteration),
        "rest": hlo.by_kind(rest),
        "collectives": {"number": len(sent), "bytes": sum(sent)},
    }


def _text_and_memory(compiled: jax.stages.Compiled) -> tuple[str, int]:
    """Return a program's text, and the bytes that it needs on each device."""
    text, memory = compiled.as_text(), compiled.memory_analysis()
    if text is None or memory is None:
        raise RuntimeError("this compiler says not what a program consists of, or what it needs")
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes
    # An argument that is donated lies where its result will.
    return text, held - memory.alias_size_in_bytes + memory.temp_size_in_bytes


def _key(row: Row) -> list:
    return [row[field] for field in KEY]


def _most(row: Row) -> str:
    """Return the largest number of images that fits, as far as it was sought."""
    if row["most_images"] is None:
        return ""
    more = 2 * row["most_images"] > row["sought_to"]
    return f"{row['most_images']}" + (" or more" if more else "")


def _name(row: Row) -> list[str]:
    steps = f", {row['steps']} steps" if row["steps"] else ""
    program = f"{row['kind']} {row['name']} {row['size']}, {row['dtype']}{steps}"
    return [program, f"{row['devices']} x {row['chip']}", f"{row['n']}"]


def _moves(sums: dict | None) -> str:
    return f"{sums['bytes'] / 1e9:.2f} ({sums['kernels']})" if sums else ""


def _cells(row: Row) -> list[str]:
    start, seconds = [*_name(row), _most(row)], f"{row['compile_seconds']:.0f}"
    if "needed_bytes" not in row:  # the compiler gave up
        return [*start, "does not fit", *[""] * 5, seconds]
    collectives = row["collectives"]
    return [
        *start,
        f"{row['needed_bytes'] / 1e9:.1f}" + ("" if row["fits"] else ", does not fit"),
        _moves(row["iteration"]["all"]) if row["steps"] else "",
        _moves(row["rest"]["all"]),
        f"{row['flops'] / 1e12:.1f}",
        f"{collectives['number']} ({collectives['bytes'] / 1e6:.1f})",
        f"{row['most_images_per_second']:,.0f}, {row['limit']}",
        seconds,
    ]


def _section(config: ConfigDict, rows: Sequence[Row]) -> report.Section:
    return report.Section(
        name=NAME,
        title="Compiled for accelerators",
        text=[
            "By the accelerators' own compilers, on a machine without them; nothing was timed, and "
            f"no kernel was tuned. jax {jax.__version__}. A program fits if it needs no more than "
            f"its memory, on a GPU {config.gpu_memory_share} of it, which jax reserves; what "
            "libraries reserve beside it is not counted. The most images that fit were sought by "
            "powers of two.",
            "A kernel moves its operands and its results once each. Images/s at best are a bound "
            "and no measurement: for all devices, by the bandwidth of the memory and the dense "
            "FLOP/s that the maker states, whichever limits.",
        ],
        header=[
            "program",
            "chip",
            "images a device",
            "most that fit",
            "memory, GB",
            "an iteration, GB (kernels)",
            "the rest, GB (kernels)",
            "TFLOP a device",
            "collectives (MB)",
            "images/s at best",
            "compiled in, s",
        ],
        rows=[_cells(row) for row in rows],
        figures=[],
    )


def _kernels_section(rows: Sequence[Row]) -> report.Section:
    parts = [
        [*_name(row), title, *(_moves(row[part].get(kind)) for kind in hlo.KINDS)]
        for row in rows
        for part, title in (("iteration", "an iteration"), ("rest", "the rest"))
        if part in row and row[part]["all"]["kernels"]
    ]
    return report.Section(
        name=f"{NAME}_kernels",
        title="Kernels of these programs",
        text=[
            "GB (kernels). A kernel that does several things is of the kind that comes first here; "
            "a TPU's compiler writes products as convolutions, too."
        ],
        header=["program", "chip", "images a device", "part", *hlo.KINDS],
        rows=parts,
        figures=[],
    )
