"""The standard twin of robust_digits: without an adversary, and in 5 epochs, which suffice.

python -m rrjax.train --config=configs/standard_digits.py --workdir=runs/standard_digits
"""

from configs import robust_digits


def get_config():
    config = robust_digits.get_config()
    config.attack.eps = 0.0
    config.epochs = 5
    return config
