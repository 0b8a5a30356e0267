"""*Fast* adversarial training on digits: one attack step from a random start (Wong et al. 2020).

Their recipe: linf, a start uniform in the ball, one step of 1.25 * eps, a cyclic rate. Here the
ball is robust_digits' l2 one, our analogue: a uniform start lies near the sphere and almost across
the gradient, so it takes up most of the ball, and what one step finds is weak. So it trains with
2.5 times the radius that it is judged by, and averages; the README says how far that goes.

python -m rrjax.train --config=configs/fast_digits.py --workdir=runs/fast_digits
"""

from configs import robust_digits


def get_config():
    config = robust_digits.get_config()
    config.epochs = 24
    config.eval_attack_steps = 20
    config.ema_decay = 0.98
    config.optimizer.schedule = "cyclic"
    config.attack.eps_schedule = ((0, 2.5),)  # 5.0 in training
    config.attack.random_start = "uniform"
    config.attack.steps = 1
    config.attack.step_size = 6.25  # 1.25 times that
    config.attack.keep = "last"
    return config
