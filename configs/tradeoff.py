"""What does interpretability cost in accuracy? From the numbers of configs/retraining.py.

python -m rrjax.study --config=configs/retraining.py --workdir=W --config.more=...  # three or more
python -m rrjax.study --config=configs/tradeoff.py --workdir=W
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.study = "tradeoff"
    config.scores = ("ROAR", "KAR", "DiffROAR")
    return config.lock()
