"""A run's network as one of those that come with rrjax: NAME.safetensors and NAME.json.

python -m rrjax.convert --config=configs/pretrain.py --config.run=runs/small_cifar10 \
  --config.name=cifar10_robust_l2_eps05 --config.time="44 minutes on 2 CPU cores, 2026-11-22" \
  --workdir=rrjax/runs/pretrained
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.convert = "pretrained"
    config.run = "runs/quickstart/robust"
    config.checkpoint = "latest"
    config.name = "network"
    config.time = ""  # of the training, with hardware and date: for its card
    return config.lock()
