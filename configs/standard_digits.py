"""The standard twin of robust_digits: the same network and data without an adversary.

10 epochs at a tenth of the learning rate suffice. The rate matters: at robust_digits' 0.1 a
standard network is as accurate, but a little robust by itself.

python -m rrjax.train --config=configs/standard_digits.py --workdir=runs/standard_digits
"""

from rrjax.configs import robust_digits


def get_config():
    config = robust_digits.get_config()
    config.attack.eps = 0.0
    config.epochs = 10
    config.optimizer.learning_rate = 0.01
    return config
