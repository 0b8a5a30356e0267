r"""Read a PyTorch checkpoint into a run folder, or write one of a run; torch is not needed.

Other conversions: configs/untrained.py, pretrain.py, card.py.

python -m rrjax.convert --config=configs/import_torch.py:robust_rin \
    --config.file=RestrictedImageNet.pt --workdir=runs/madry_rin
python -m rrjax.convert --config=configs/export_torch.py --config.run=runs/robust_rin \
    --workdir=exports
"""

from rrjax.cli import open_door
from rrjax.convert import model_card, networks
from rrjax.errors import BadInput

MADE = {
    "import": networks.import_network,
    "export": networks.export_network,
    "untrained": networks.draw_network,
    "trunk": networks.import_trunk,
    "pretrained": networks.export_pretrained,
    "card": model_card.write,
}


def main(config, workdir: str) -> None:
    if config.convert not in MADE:
        raise BadInput(f"config.convert={config.convert!r}: choose one of {', '.join(MADE)}")
    MADE[config.convert](config, workdir)


if __name__ == "__main__":
    open_door(main, kind="convert")
