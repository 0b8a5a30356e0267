"""Images from features: decoders of a standard and a robust network, side by side.

for name in standard robust; do
  python -m rrjax.train --config=configs/autoencoder_digits.py \
    --config.model.encoder=runs/quickstart/$name --workdir=runs/quickstart/${name}_decoder
done
python -m rrjax.study --config=configs/reconstruction.py --workdir=runs/quickstart

A ladder of eps: give its other decoders as --config.more.
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("reconstruction")
    # Autoencoders' run folders.
    config.standard = "runs/quickstart/standard_decoder"
    config.robust = "runs/quickstart/robust_decoder"
    config.n = 256  # test images
    config.photographs = 32  # of each size; 0: none
    config.times = (1.0, 1.5, 2.0, 4.0)  # the size of training, to multiples of the stride
    # How many of the test images are inverted by gradient steps on the image too; 0: none.
    config.searched = 32
    config.step_size = 0.1
    config.steps = 500
    return config.lock()
