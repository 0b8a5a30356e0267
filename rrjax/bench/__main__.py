"""Measure speed beside peers.

python -m rrjax.bench --config=configs/bench_cpu.py --workdir=runs/bench
"""

import sys
from collections.abc import Sequence

from rrjax import bench, cli


def main(argv: Sequence[str]) -> None:
    """Run the command with `argv`, its name first."""
    cli.run_command(cli.run_chosen("rrjax.bench", "bench", bench.NAMES), "bench", argv, __doc__)


if __name__ == "__main__":
    main(sys.argv)
