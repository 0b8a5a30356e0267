"""How far from the data's manifold do attacks carry an image?

python -m rrjax.train --config=configs/vaegan_digits.py --workdir=runs/quickstart/vaegan
python -m rrjax.study --config=configs/manifold.py --workdir=runs/quickstart
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("manifold")
    # A VAE-GAN's run folder; "pca": the principal components of the training images.
    config.manifold = "runs/quickstart/vaegan"
    config.dimension = 10  # of "pca"
    config.n = 0  # test images; 0: all
    # The attack whose examples are looked at, far beyond any radius of training: the paper's are 6,
    # 1 and 40, of images of 28 and 32 pixels a side.
    config.eps = 3.0  # l2, in units of pixels in [0,1]
    config.step_size = 0.5
    config.steps = 40
    config.losses = ("cross_entropy", "margin")  # of the attack
    # Where an image's point is: "projection", its encoding decoded; "nearest", searched from there;
    # "sample", one of those that its latent may stand for, as in the paper.
    config.point = "projection"
    config.refine_steps = 300  # of "nearest"
    # Only where the attack moves the standard network's prediction, as in the paper.
    config.where_standard_fails = False
    return config.lock()
