"""The standard twin of robust_digits: the same run without an adversary.

python -m rrjax.train --config=configs/standard_digits.py --workdir=runs/standard_digits
"""

from configs import robust_digits


def get_config():
    config = robust_digits.get_config()
    config.attack.eps = 0.0
    return config
