"""Images from features: decoders of a standard and a robust network, side by side.

for name in standard robust; do
  python -m rrjax.train --config=configs/autoencoder_digits.py \
    --config.model.encoder=runs/quickstart/$name --workdir=runs/quickstart/${name}_decoder
done
python -m rrjax.study --config=configs/reconstruction.py --workdir=runs/quickstart

A ladder of eps: give its other decoders as --config.more. The paper's, decoders of AlexNet's conv5
(configs/autoencoder_alexnet.py) over all test images: --config=configs/reconstruction.py:paper
"""

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    config = defaults.study("reconstruction", settings, SETTINGS)
    # Autoencoders' run folders.
    config.standard = "runs/quickstart/standard_decoder"
    config.robust = "runs/quickstart/robust_decoder"
    config.n = 256  # test images; 0: all
    config.photographs = 32  # of each size; 0: none
    config.times = (1.0, 1.5, 2.0, 4.0)  # the size of training, to multiples of the stride
    # How many of the test images are inverted by gradient steps on the image too; 0: none.
    config.searched = 32
    config.step_size = 0.1
    config.steps = 500
    # A network, as `rrjax.load` takes it, that says how far apart images look: by the distance of
    # their representations, each of length 1. Best a robust one that no decoder is of; empty: none.
    config.perceptual = ""
    if settings == "paper":
        config.standard = "runs/decoders/standard_conv5"
        config.robust = "runs/decoders/robust_conv5"
        config.update(n=0, batch_size=128)
        # The search is that of Engstrom et al. (2019). How many images the paper searched is not
        # known. scikit-learn's photographs have 427 rows: no size larger than about that.
        config.update(searched=128, step_size=1.0, steps=10_000, times=(1.0, 2.0))
    return config.lock()
