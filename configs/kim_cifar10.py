"""The small CIFAR-10 network of Kim, Seo and Jeon (2019), with the settings of their code.

python -m rrjax.train --config=configs/kim_cifar10.py:l2,0.4 --config.data.path=DATA \
  --workdir=runs/kim_cifar10/l2_0.4

DATA holds the TFDS set cifar10 as array_record; for a tree DATA/{train,test}/<class>/*.png add
--config.data.name=folder. Behind the colon: the norm, and eps in the paper's units, pixels in
[-1,1]; l2,0 is the standard network. Theirs: l2 to 1.6 and linf to 0.04, in twentieths;
--config.attack.loss=margin for their "cw". The standard network's accuracy as they publish it:
0.737. Their batches come in one order always, ours in a new one each epoch. Not trained here.
"""

from rrjax.runs import defaults

UNIT = 0.5  # of the paper's pixels, in [-1,1], in ours
STEP_SIZES = {"l2": 2.0, "linf": 0.02}  # in the paper's units


def get_config(strength="l2,0.4"):
    norm, _, eps = strength.partition(",")
    if norm not in STEP_SIZES or not eps:
        raise ValueError(f"--config=...py:{strength}: give norm and eps, such as l2,0.4")
    config = defaults.get_config()
    config.epochs = 20
    config.batch_size = 100
    config.log_every = 100

    config.model.name = "cifar_cnn"
    config.model.variant = "cifar"
    config.model.classes = 10
    config.model.mean = (0.5, 0.5, 0.5)  # so that the network takes pixels in [-1,1]
    config.model.std = (0.5, 0.5, 0.5)

    config.data.name = "cifar10"
    config.data.image_size = 32
    config.data.resize = 32
    config.data.crop_scale = ()
    config.data.flip = False
    config.data.jitter = 0.0
    config.data.lighting = 0.0

    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 0.0
    config.optimizer.drops = ()

    config.attack.norm = norm
    config.attack.eps = UNIT * float(eps)
    config.attack.step_size = UNIT * STEP_SIZES[norm]
    config.attack.steps = 40
    config.attack.return_iterate = "last"
    return config
