"""Prepare a data set for reading; --workdir is TFDS' data_dir.

python -m rrjax.prepare --config=configs/prepare_imagenet.py --config.tars=FOLDER --workdir=DATA_DIR
"""

import sys
from collections.abc import Sequence

from ml_collections import ConfigDict

from rrjax import BadInput, cli
from rrjax.prepare import folder, imagenet


def main(argv: Sequence[str]) -> None:
    """Run the command with `argv`, its name first."""
    cli.run_command(run, "prepare", argv, __doc__)


def run(config: ConfigDict, workdir: str) -> None:
    """Prepare the data set that config.prepare names.

    Raises:
      BadInput: for another one, or an empty workdir.
    """
    if not workdir:
        raise BadInput("--workdir is empty: name the folder to write")
    if config.prepare == "imagenet2012":
        imagenet.prepare(config.tars, workdir, config.partial)
    elif config.prepare == "folder":
        folder.prepare_folder(config.folder, workdir, config.name)
    else:
        raise BadInput(f"config.prepare={config.prepare!r}: choose imagenet2012 or folder")


if __name__ == "__main__":
    main(sys.argv)
