"""Do gradients point at the pixels that matter? Retrain without them, and with them alone.

python -m rrjax.study --config=configs/retraining.py --workdir=runs/quickstart

It may be stopped at any time: the same command goes on.
"""

from configs import defaults


def get_config():
    config = defaults.study("retraining")
    # "gradient", "gradient x input", "integrated gradients".
    config.attributions = ("gradient", "gradient x input")
    # Of the label that the network predicts: "cross_entropy" (the paper's), "logit" or "margin".
    config.objective = "cross_entropy"
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
    return config.lock()
