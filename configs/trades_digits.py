"""TRADES on digits: CE(clean) + beta * KL(clean || adversarial) (Zhang et al. 2019).

python -m rrjax.train --config=configs/trades_digits.py --workdir=runs/trades_digits
"""

from rrjax.configs import robust_digits


def get_config():
    config = robust_digits.get_config()
    config.eval_attack_steps = 20
    config.loss.name = "trades"
    config.attack.loss = "kl"
    config.attack.random_start = "gaussian"
    config.attack.return_iterate = "last"
    return config
