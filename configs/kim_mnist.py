"""The MNIST and Fashion-MNIST network of Kim, Seo and Jeon (2019), with the settings of their code.

python -m rrjax.train --config=configs/kim_mnist.py:l2,2 --config.data.path=DATA \
  --workdir=runs/kim_mnist/l2_2

DATA holds the four idx files of MNIST or Fashion-MNIST (Debian: package dataset-fashion-mnist); for
TFDS' set there --config.data.name=fashion_mnist. Behind the colon as in configs/kim_cifar10.py;
theirs: l2 of 1, 2 and 4, linf of 0.05, 0.1 and 0.2, each with both losses. They train on 55,000 of
the 60,000 images. Not trained here.
"""

from rrjax.configs import kim_cifar10


def get_config(strength="l2,2"):
    config = kim_cifar10.get_config(strength)
    config.epochs = 5

    config.model.name = "mnist_cnn"
    config.model.mean = (0.5,)
    config.model.std = (0.5,)

    config.data.name = "idx"
    config.data.image_size = 28
    config.data.resize = 28
    return config
