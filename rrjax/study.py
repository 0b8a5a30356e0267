"""Study: python -m rrjax.study --config=configs/inversion.py --workdir=runs/quickstart"""

import importlib
import pkgutil

from rrjax import studies
from rrjax.door import open_door
from rrjax.errors import BadInput


def main(config, workdir: str) -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(studies.__path__))
    if config.study not in names:
        raise BadInput(f"config.study={config.study!r}: choose one of {', '.join(names)}")
    importlib.import_module(f"rrjax.studies.{config.study}").run(config, workdir)


if __name__ == "__main__":
    open_door(main, kind="study")
