"""Bench: python -m rrjax.bench --config=configs/bench_data.py --workdir=runs/bench"""

import importlib
import pkgutil

from rrjax import benches
from rrjax.door import open_door
from rrjax.errors import BadInput


def main(config, workdir: str) -> None:
    names = sorted(module.name for module in pkgutil.iter_modules(benches.__path__))
    if config.bench not in names:
        raise BadInput(f"config.bench={config.bench!r}: choose one of {', '.join(names)}")
    importlib.import_module(f"rrjax.benches.{config.bench}").run(config, workdir)


if __name__ == "__main__":
    open_door(main, kind="bench")
