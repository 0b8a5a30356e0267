"""Standard ResNet-50 on CIFAR-10: the published settings of MadryLab/robustness.

python -m rrjax.train --config=configs/standard_cifar10.py --config.data.path=DATA \
  --workdir=runs/standard_cifar10

As configs/robust_cifar10.py without an adversary. Accuracy as the package's README publishes it:
95.25 %; 0.28 % under PGD-20 at eps 0.5. Not trained here.
"""

from rrjax.configs import robust_cifar10


def get_config():
    config = robust_cifar10.get_config()
    config.attack.eps = 0.0
    return config
