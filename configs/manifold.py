"""How far from the data's manifold do attacks carry an image?

python -m rrjax.train --config=configs/vaegan_digits.py --workdir=runs/quickstart/vaegan
python -m rrjax.study --config=configs/manifold.py --workdir=runs/quickstart

With the paper's settings, of the networks and the VAE-GAN that `launch/reproduce.sh
gradients-paper` trains: --config=configs/manifold.py:mnist, :fashion_mnist or :cifar10.
"""

from rrjax.runs import defaults

ROOT = "runs/gradients_paper"  # where launch/reproduce.sh puts the networks: cifar10/l2_0.4, ...
# The radii of training: weak, middle and strong, in the paper's units, pixels in [-1,1].
OF_MNIST = ("l2_1", "l2_2", "l2_4", "linf_0.05", "linf_0.1", "linf_0.2")
STRENGTHS = {
    "mnist": OF_MNIST,
    "fashion_mnist": OF_MNIST,
    "cifar10": ("l2_0.1", "l2_0.4", "l2_1.6", "linf_0.005", "linf_0.01", "linf_0.02"),
}


def get_config(settings="digits"):
    if settings not in ("digits", *STRENGTHS):
        names = ", ".join(("digits", *STRENGTHS))
        raise ValueError(f"configs/manifold.py:{settings}: choose from {names}")
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
    # Of gradients in the figure, below and above which all have one color; the paper's.
    config.percentiles = (0.5, 99.5)
    if settings != "digits":
        root = f"{ROOT}/{settings}"
        config.update(standard=f"{root}/l2_0", robust="", manifold=f"{root}/vaegan")
        # Trained by both losses: the paper's "xent" and "cw".
        names = [f"{each}{loss}" for loss in ("", "_margin") for each in STRENGTHS[settings]]
        config.more = tuple(f"{root}/{name}" for name in names)
        config.update(eps=6.0, step_size=1.0, point="sample", where_standard_fails=True)
        config.batch_size = 100
    return config.lock()
