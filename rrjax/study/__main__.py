"""Ask a question of trained networks, on all devices.

Several processes are given the same command, and --distributed (SLURM, TPU pods) or --coordinator,
--processes and --process: each looks at its share of the images, the first writes.

python -m rrjax.study --config=configs/inversion.py --workdir=runs/quickstart
"""

import sys
from collections.abc import Sequence

from rrjax import cli, study


def main(argv: Sequence[str]) -> None:
    """Run the command with `argv`, its name first."""
    run = cli.run_chosen("rrjax.study", "study", study.names())
    cli.run_command(run, "study", argv, __doc__, cli.process_flags())


if __name__ == "__main__":
    main(sys.argv)
