"""The small CIFAR-10 network of Kim, Seo and Jeon (2019), with the settings of their code.

python -m rrjax.train --config=configs/kim_cifar10.py:l2,0.4 --config.data.path=DATA \
  --workdir=runs/kim_cifar10/l2_0.4

DATA holds the TFDS set cifar10 as array_record; for a tree DATA/{train,test}/<class>/*.png add
--config.data.name=folder. Behind the colon: the norm, and eps in the paper's units, pixels in
[-1,1]; l2,0 is the standard network. Theirs: l2 to 1.6 and linf to 0.04, in twentieths, each also
with their loss "cw", which is l2,0.4,margin. `penalty,0.1` and `alignment,0.1` have no adversary,
but the penalty on input gradients that section 3.2 suggests, with that weight. The standard
network's accuracy as they publish it: 0.737. Their batches come in one order always, ours in a new
one each epoch. Not trained here.
"""

from rrjax.runs import defaults

UNIT = 0.5  # of the paper's pixels, in [-1,1], in ours
STEP_SIZES = {"l2": 2.0, "linf": 0.02}  # in the paper's units
PENALTIES = {"penalty": "gradient_penalty", "alignment": "alignment_penalty"}  # fields of loss


def get_config(strength="l2,0.4"):
    kind, _, rest = strength.partition(",")
    amount, _, loss = rest.partition(",")
    losses = ("", "margin") if kind in STEP_SIZES else ("",)
    if kind not in {**STEP_SIZES, **PENALTIES} or not amount or loss not in losses:
        raise ValueError(
            f"--config=...py:{strength}: give norm and eps, such as l2,0.4 or l2,0.4,margin, or "
            "penalty,WEIGHT or alignment,WEIGHT"
        )
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

    norm = kind if kind in STEP_SIZES else "l2"
    config.attack.norm = norm
    config.attack.eps = UNIT * float(amount) if kind in STEP_SIZES else 0.0
    config.attack.step_size = UNIT * STEP_SIZES[norm]
    config.attack.steps = 40
    config.attack.return_iterate = "last"
    if loss:
        config.attack.loss = loss
    if kind in PENALTIES:
        config.loss[PENALTIES[kind]] = float(amount)
    return config
