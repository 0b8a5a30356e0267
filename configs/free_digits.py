"""*Free* adversarial training on digits (Shafahi et al. 2019), in robust_digits' l2 ball.

Their rule is PGD's epochs divided by the replays, 2.5 here; 5 was chosen on held-out digits.

python -m rrjax.train --config=configs/free_digits.py --workdir=runs/free_digits
"""

from configs import robust_digits


def get_config():
    config = robust_digits.get_config()
    config.replays = 8
    config.epochs = 5
    config.eval_attack_steps = 20
    config.attack.step_size = 2.0  # eps, as in the paper
    return config
