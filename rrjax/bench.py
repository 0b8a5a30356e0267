"""Bench: python -m rrjax.bench --config=configs/bench_data.py --workdir=runs/bench"""

from rrjax import benches
from rrjax.door import chosen, open_door

if __name__ == "__main__":
    open_door(chosen(benches, "bench"), kind="bench")
