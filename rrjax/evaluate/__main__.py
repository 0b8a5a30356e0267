"""Evaluate networks under attack, on all devices.

Several processes are given the same command, and --distributed (SLURM, TPU pods) or --coordinator,
--processes and --process: each evaluates its share of the images, the first writes.

python -m rrjax.evaluate --config=configs/evaluate.py --workdir=runs/quickstart
"""

import sys
from collections.abc import Sequence

from rrjax import cli
from rrjax.evaluate import accuracy


def main(argv: Sequence[str]) -> None:
    """Run the command with `argv`, its name first."""
    cli.run_command(accuracy.run, "random_start", argv, __doc__, cli.process_flags())


if __name__ == "__main__":
    main(sys.argv)
