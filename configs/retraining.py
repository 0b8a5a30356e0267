"""Do gradients point at the pixels that matter? Retrain without them, and with them alone.

python -m rrjax.study --config=configs/retraining.py --workdir=runs/quickstart

It may be stopped at any time: the same command goes on. For CIFAR-10, the reduced protocol of
configs/retraining.py:cifar10: the networks of configs/kim_cifar10.py at 0, 1/4, 1/2 and all of the
paper's largest radii, 20,000 training images, networks of the paper's kind; 327 trainings, for an
accelerator (on two cores add --config.model=tiny --config.epochs=5). `launch/reproduce.sh
gradients` makes all of it.

`:paper` is the paper's protocol: its 81 networks, five fractions and all 50,000 images.
`:proposals` is that for what it proposes: other global attributions, of 7 of these networks, and
penalties on gradients in place of an adversary, of 6 more. `launch/reproduce.sh gradients-paper`
makes both.
"""

from rrjax.runs import defaults

ROOT = "runs/gradients"  # where launch/reproduce.sh puts the networks
PAPER_ROOT = "runs/gradients_paper/cifar10"
SETTINGS = ("small", "cifar10", "paper", "proposals")
# Radii of training in the paper's units, pixels in [-1,1]; by both losses: its "xent" and "cw".
L2 = [f"l2_{0.08 * i:g}" for i in range(1, 21)]
LINF = [f"linf_{0.002 * i:g}" for i in range(1, 21)]
PAPER = [f"{each}{loss}" for loss in ("", "_margin") for each in (*L2, *LINF)]
LADDER = ["l2_0.4", "l2_0.8", "l2_1.6", "linf_0.01", "linf_0.02", "linf_0.04"]
# Weights of the penalties of configs/kim_cifar10.py; which of them suit has not been measured.
PENALIZED = [f"penalty_{weight}" for weight in (0.01, 0.1, 1)]
PENALIZED += [f"alignment_{weight}" for weight in (0.1, 0.3, 1)]


def get_config(settings="small"):
    config = defaults.study("retraining", settings, SETTINGS)
    # "gradient", "gradient x input", "integrated gradients"; of the logit whatever the objective
    # is "DeepLIFT", "LRP", "Grad-CAM".
    config.attributions = ("gradient", "gradient x input")
    # Of the label that the network predicts: "cross_entropy" (the paper's), "logit" or "margin".
    config.objective = "cross_entropy"
    # ROAR alone takes half of the time, and so does KAR.
    config.scores = ("ROAR", "KAR", "DiffROAR")
    # Edges and blurred maps beside the networks' attributions; False: random pixels alone.
    config.controls = True
    config.percents = (10, 50, 90)  # of the pixels; the paper's: 10, 30, 50, 70, 90
    config.seeds = (0, 1, 2)  # a network each; the paper: 3
    config.model = "tiny"  # what is retrained; the paper's for CIFAR-10: "cifar_cnn"
    config.train_n = 0  # training images; 0: all
    config.test_n = 0
    config.epochs = 20  # the paper's
    config.train_batch_size = 100  # the paper's
    config.learning_rate = 0.005  # of Adam; the paper's: 0.001
    # Networks trained side by side: more on an accelerator; on a CPU 1 is the fastest.
    config.at_once = 1
    config.blur = 1.0  # pixels, of the blurred controls
    if settings == "small":
        return config.lock()
    config.update(model="cifar_cnn", learning_rate=0.001, batch_size=100)
    if settings == "cifar10":
        config.update(standard=f"{ROOT}/l2_0", robust="", train_n=20_000)
        config.more = tuple(f"{ROOT}/{name}" for name in LADDER)
        return config.lock()
    config.update(standard=f"{PAPER_ROOT}/l2_0", robust="", percents=(10, 30, 50, 70, 90))
    config.more = tuple(f"{PAPER_ROOT}/{name}" for name in PAPER)
    if settings == "proposals":
        config.more = tuple(f"{PAPER_ROOT}/{name}" for name in (*LADDER, *PENALIZED))
        config.attributions = (
            *("gradient", "gradient x input", "integrated gradients"),
            *("DeepLIFT", "LRP", "Grad-CAM"),
        )
    return config.lock()
