"""Study: python -m rrjax.study --config=configs/inversion.py --workdir=runs/quickstart"""

from rrjax import study
from rrjax.cli import chosen, open_door

if __name__ == "__main__":
    open_door(chosen(study, "study"), kind="study")
