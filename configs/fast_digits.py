"""*Fast* adversarial training on digits: one attack step from a random start (Wong et al. 2020).

Their recipe is linf, a start uniform in the ball and one step of 1.25 * eps; here the ball is
robust_digits' l2 one, which is our analogue, not the paper's. Their rate is cyclic.

python -m rrjax.train --config=configs/fast_digits.py --workdir=runs/fast_digits
"""

from configs import robust_digits


def get_config():
    config = robust_digits.get_config()
    config.eval_attack_steps = 20
    config.optimizer.schedule = "cyclic"
    config.attack.random_start = "uniform"
    config.attack.steps = 1
    config.attack.step_size = 2.5  # 1.25 * eps
    config.attack.keep = "last"
    return config
