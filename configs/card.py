"""The model card of a pretrained model, NAME.md, with the accuracies of its evaluations.

python -m rrjax.convert --config=configs/card.py --config.name=cifar10_robust_l2_eps05 \
  --workdir=runs/evaluations/cards

`DATA=... bash launch/evaluate_pretrained.sh cifar10 NAME` makes the evaluations, then the card.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.convert = "card"
    config.name = "cifar10_robust_l2_eps05"
    config.evaluations = "runs/evaluations"  # folders NAME/.../ that hold evaluations
    return config.lock()
