r"""Read a PyTorch checkpoint into a run folder, or write one of a run; torch is not needed.

Other conversions: configs/untrained.py, pretrain.py, card.py.

python -m rrjax.convert --config=configs/import_torch.py:robust_rin \
    --config.file=RestrictedImageNet.pt --workdir=runs/madry_rin
python -m rrjax.convert --config=configs/export_torch.py --config.run=runs/robust_rin \
    --workdir=exports
"""

from rrjax import cards, conversion
from rrjax.door import open_door
from rrjax.errors import BadInput

MADE = {
    "import": conversion.import_network,
    "export": conversion.export_network,
    "untrained": conversion.draw_network,
    "trunk": conversion.import_trunk,
    "pretrained": conversion.export_pretrained,
    "card": cards.write,
}


def main(config, workdir: str) -> None:
    if config.convert not in MADE:
        raise BadInput(f"config.convert={config.convert!r}: choose one of {', '.join(MADE)}")
    MADE[config.convert](config, workdir)


if __name__ == "__main__":
    open_door(main, kind="convert")
