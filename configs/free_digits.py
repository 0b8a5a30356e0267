"""*Free* adversarial training on digits (Shafahi et al. 2019).

Their recipe: linf, steps of eps, PGD's epochs (linf_digits' 20) divided by the replays.

python -m rrjax.train --config=configs/free_digits.py --workdir=runs/free_digits
"""

from rrjax.configs import linf_digits


def get_config():
    config = linf_digits.get_config()
    config.replays = 8
    config.epochs = 3
    config.attack.step_size = 0.1
    return config
