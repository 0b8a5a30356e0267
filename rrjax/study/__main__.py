"""Ask a question of trained networks.

python -m rrjax.study --config=configs/inversion.py --workdir=runs/quickstart
"""

import sys
from collections.abc import Sequence

from rrjax import cli, study


def main(argv: Sequence[str]) -> None:
    """Run the command with `argv`, its name first."""
    cli.run_command(cli.run_chosen("rrjax.study", "study", study.names()), "study", argv, __doc__)


if __name__ == "__main__":
    main(sys.argv)
