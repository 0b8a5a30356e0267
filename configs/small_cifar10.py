"""The small CIFAR-10 networks that come with rrjax: a ResNet-18 of a quarter's width, l2.

python -m rrjax.train --config=configs/small_cifar10.py --config.data.path=DATA \
  --workdir=runs/small_cifar10

DATA is a tree DATA/{train,test}/<class>/*.jpg. `launch/train_pretrained.sh` trains all of them.
Settings for few epochs on two cores: one attack step of 1.25 * eps from a random start and a cyclic
rate (Wong et al. 2020). Trained on 45,000 of the training images, on the other 5,000: accuracy
0.773, under PGD-20 at eps 0.5 0.550 (seed 0, 36 minutes, 2026-11-22). Nothing else was tried.
"""

from rrjax.configs import robust_cifar10


def get_config():
    config = robust_cifar10.get_config()
    config.epochs = 10
    config.log_every = 50
    config.eval_every = 10

    config.model.name = "resnet18"
    config.model.width = 16

    config.data.name = "folder"
    config.data.jitter = 0.0
    config.data.rotation = 0.0

    config.optimizer.learning_rate = 0.2
    config.optimizer.schedule = "cyclic"

    config.attack.eps = 0.5
    config.attack.random_start = "uniform"
    config.attack.steps = 1
    config.attack.step_size = 0.625
    config.attack.return_iterate = "last"
    return config
