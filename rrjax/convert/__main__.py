r"""Read a PyTorch checkpoint into a run folder, or write one of a run; torch is not needed.

Other conversions: configs/export_hub.py, untrained.py, pretrain.py, card.py.

python -m rrjax.convert --config=configs/import_torch.py:robust_rin \
    --config.file=RestrictedImageNet.pt --workdir=runs/madry_rin
python -m rrjax.convert --config=configs/export_torch.py --config.run=runs/robust_rin \
    --workdir=exports
"""

import sys
from collections.abc import Sequence

from ml_collections import ConfigDict

from rrjax import BadInput, cli
from rrjax.convert import hub_folder, model_card, networks

CONVERSIONS = {
    "import": networks.import_network,
    "export": networks.export_network,
    "untrained": networks.init_network,
    "backbone": networks.import_backbone,
    "pretrained": networks.export_pretrained,
    "card": model_card.write,
    "hub": hub_folder.write,
}


def main(argv: Sequence[str]) -> None:
    """Run the command with `argv`, its name first."""
    cli.run_command(run, "convert", argv, __doc__)


def run(config: ConfigDict, workdir: str) -> None:
    """Run the conversion that config.convert names.

    Raises:
      BadInput: for another one.
    """
    if config.convert not in CONVERSIONS:
        names = ", ".join(CONVERSIONS)
        raise BadInput(f"config.convert={config.convert!r}: choose one of {names}")
    CONVERSIONS[config.convert](config, workdir)


if __name__ == "__main__":
    main(sys.argv)
