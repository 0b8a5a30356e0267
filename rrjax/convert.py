r"""Read a PyTorch checkpoint into a run folder, or write one of a run; torch is not needed.

python -m rrjax.convert --config=configs/import_torch.py:robust_rin \
    --config.file=RestrictedImageNet.pt --workdir=runs/madry_rin
python -m rrjax.convert --config=configs/export_torch.py --config.run=runs/robust_rin \
    --workdir=exports
"""

from rrjax import cards, conversion
from rrjax.door import open_door
from rrjax.errors import BadInput


def main(config, workdir: str) -> None:
    if config.convert == "import":
        conversion.import_network(config, workdir)
    elif config.convert == "export":
        conversion.export_network(config, workdir)
    elif config.convert == "pretrained":
        conversion.export_pretrained(config, workdir)
    elif config.convert == "card":
        cards.write(config, workdir)
    else:
        choices = "import, export, pretrained or card"
        raise BadInput(f"config.convert={config.convert!r}: choose {choices}")


if __name__ == "__main__":
    open_door(main, kind="convert")
