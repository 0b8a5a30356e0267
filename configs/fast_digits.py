"""*Fast* adversarial training on digits: one attack step from a random start (Wong et al. 2020).

Their recipe: linf, a start uniform in the ball, one step of 1.25 * eps, a cyclic rate.

python -m rrjax.train --config=configs/fast_digits.py --workdir=runs/fast_digits
"""

from rrjax.configs import linf_digits


def get_config():
    config = linf_digits.get_config()
    config.optimizer.schedule = "cyclic"
    config.attack.random_start = "uniform"
    config.attack.steps = 1
    config.attack.step_size = 0.125
    config.attack.return_iterate = "last"
    return config
