"""Standard ResNet-50 on ImageNet, as torchvision trains its own, which the paper used.

python -m rrjax.train --config=configs/standard_imagenet.py --config.data.path=DATA \
  --workdir=runs/standard_imagenet

Settings: torchvision's reference script for its first ResNet-50 (90 epochs, weight decay 1e-4,
rate divided by 10 every 30, crop and flip alone). The paper's (Table 5): accuracy 76.13 %; 0.13 %
under PGD-20 at eps 3. Not trained here. DATA is made as in configs/robust_imagenet.py.
"""

from rrjax.configs import robust_imagenet


def get_config():
    config = robust_imagenet.get_config()
    config.epochs = 90
    config.data.jitter = 0.0
    config.data.lighting = 0.0
    config.optimizer.weight_decay = 1e-4
    config.optimizer.drops = (30, 60)
    config.attack.eps = 0.0
    return config
