r"""Read a PyTorch checkpoint into a run folder, or write one of a run; torch is not needed.

python -m rrjax.convert --config=configs/import_torch.py:robust_rin \
    --config.file=RestrictedImageNet.pt --workdir=runs/madry_rin
python -m rrjax.convert --config=configs/export_torch.py --config.run=runs/robust_rin \
    --workdir=exports
"""

from rrjax import conversion
from rrjax.door import open_door
from rrjax.errors import BadInput


def main(config, workdir: str) -> None:
    if config.convert == "import":
        conversion.import_network(config, workdir)
    elif config.convert == "export":
        conversion.export_network(config, workdir)
    elif config.convert == "pretrained":
        conversion.export_pretrained(config, workdir)
    elif config.convert == "trunk":
        conversion.import_trunk(config, workdir)
    else:
        raise BadInput(
            f"config.convert={config.convert!r}: choose import, export, pretrained or trunk"
        )


if __name__ == "__main__":
    open_door(main, kind="convert")
