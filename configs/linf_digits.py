"""robust_digits in the linf ball, where *Fast* and *Free* are at home: what they are measured by.

python -m rrjax.train --config=configs/linf_digits.py --workdir=runs/linf_digits
"""

from rrjax.configs import robust_digits


def get_config():
    config = robust_digits.get_config()
    config.eval_attack_steps = 20
    config.attack.norm = "linf"
    config.attack.eps = 0.1
    config.attack.step_size = 0.025
    return config
