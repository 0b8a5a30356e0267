"""Evaluate: python -m rrjax.evaluate --config=configs/evaluate.py --workdir=runs/quickstart"""

from rrjax.cli import open_door
from rrjax.evaluate import accuracy

if __name__ == "__main__":
    open_door(accuracy.run, kind="random_start")
