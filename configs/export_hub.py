r"""A network as a folder for the Hugging Face Hub: model.safetensors, config.json, README.md.

python -m rrjax.convert --config=configs/export_hub.py --config.run=runs/robust_rin \
    --config.repository=OWNER/NAME --config.license=mit --workdir=exports/robust_rin

`hf upload OWNER/NAME exports/robust_rin` puts it there; `rrjax.load("hf:OWNER/NAME")`, and
`rrjax.load("exports/robust_rin")`, read it again. The weights have PyTorch's names.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.convert = "hub"
    config.run = ""  # a run folder, or what else `rrjax.load` takes
    config.checkpoint = "latest"  # or "best"
    config.repository = ""  # where it will lie, OWNER/NAME
    config.license = ""  # of the weights, by the hub's name for it, as "mit" or "cc-by-4.0"
    config.tags = ("image-classification", "adversarial-robustness", "jax", "flax")
    return config.lock()
