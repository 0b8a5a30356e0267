"""ResNet-18 on Restricted ImageNet at 64 pixels: nine groups of Tiny ImageNet's classes.

python -m rrjax.train --config=configs/rin64.py:l2,1 --config.data.path=DATA \
  --workdir=runs/rin64/l2_1

DATA holds Tiny ImageNet as it is published, or that part of it which is used. Written as one set
that reads faster: rrjax.prepare (configs/prepare_folder.py), then --config.data.name=NAME. The same
classes of ImageNet itself, 46,000 photographs, scaled to 64 pixels as they are read:
--config.data.name=imagenet2012 (configs/prepare_imagenet.py).
Behind the colon: the norm, and eps in units of pixels in [0,1]: l2,1 or linf,4/255; l2,0 is
standard training. One attack step of 1.25 * eps from a random start and a cyclic rate (Wong et al.
2020), as the small CIFAR-10 networks. `rin64_robust_l2_eps1` and `rin64_standard`, of 40 epochs,
come with rrjax; their cards have their accuracies.
"""

from fractions import Fraction

from rrjax.configs import robust_rin
from rrjax.data import imagenet


def get_config(strength="l2,1"):
    norm, _, eps = strength.partition(",")
    if norm not in ("l2", "linf") or not eps:
        raise ValueError(f"--config=...py:{strength}: give norm and eps, such as l2,1")
    config = robust_rin.get_config()
    config.epochs = 30
    config.batch_size = 128
    config.log_every = 20
    config.eval_every = 10

    config.model.name = "resnet18"
    config.model.width = 32

    config.data.name = "folder"
    config.data.groups = tuple(imagenet.RESTRICTED_64.values())
    config.data.group_names = tuple(imagenet.RESTRICTED_64)
    config.data.image_size = 64
    config.data.resize = 64
    config.data.crop_scale = (0.35, 1.0)
    config.data.workers = 0

    config.optimizer.learning_rate = 0.2
    config.optimizer.schedule = "cyclic"

    config.attack.norm = norm
    config.attack.eps = float(Fraction(eps))  # "4/255" is a number too
    config.attack.step_size = 1.25 * config.attack.eps
    config.attack.steps = 1
    config.attack.random_start = "uniform"
    config.attack.return_iterate = "last"
    return config
