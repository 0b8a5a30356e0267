"""The card of a network that comes with rrjax: NAME.md, with what evaluations have found.

python -m rrjax.convert --config=configs/card.py --config.name=cifar10_robust_l2_eps05 \
  --workdir=runs/judged/cards

`DATA=... bash launch/judge_cifar10.sh NAME` makes the evaluations, then the card.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.convert = "card"
    config.name = "cifar10_robust_l2_eps05"
    config.judged = "runs/judged"  # folders NAME/.../ that hold evaluations
    return config.lock()
