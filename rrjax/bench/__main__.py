"""Bench: python -m rrjax.bench --config=configs/bench_cpu.py --workdir=runs/bench"""

import importlib.util
import sys
from pathlib import Path

if not importlib.util.find_spec("ml_collections"):
    # A bare GPU image has JAX and PyTorch, and is where speed matters: it is measured as it is.
    sys.path.append(str(Path(__file__).parent / "benches/bare"))

from rrjax import bench
from rrjax.cli import chosen, open_door

if __name__ == "__main__":
    open_door(chosen(bench, "bench"), kind="bench")
