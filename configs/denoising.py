r"""Take noise away with decoders that were trained to.

for name in standard robust; do
  python -m rrjax.train --config=configs/autoencoder_digits.py --config.noise=50 \
    --config.model.encoder=runs/quickstart/$name --workdir=runs/quickstart/${name}_denoiser
done
python -m rrjax.study --config=configs/denoising.py --workdir=runs/quickstart

The paper's, of decoders of configs/autoencoder_alexnet.py:denoising, at its one level of noise:
--config=configs/denoising.py:paper --config.images=CBSD68, a folder of the 68 images
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    defaults.check_settings("denoising", settings, SETTINGS)
    config = ConfigDict()
    config.study = "denoising"
    # Run folders of autoencoders; without skips, as an ablation: one with another decoder.
    config.networks = ("runs/quickstart/standard_denoiser", "runs/quickstart/robust_denoiser")
    config.checkpoint = "latest"  # or "best"
    # Where the first network's test data lie now; empty: where they lay in training.
    config.data = ConfigDict({"name": "", "path": ""})
    # "test images", the first network's; "photographs", two that come with scikit-learn;
    # "patterns", drawn here; or a folder of images, each at its own size.
    config.images = "test images"
    config.n = 64  # of them, drawn by the seed; 0: all
    config.sigmas = (50.0, 25.0, 15.0)  # standard deviations of the noise, in units of 1/255
    config.lpips = "vgg16"  # the paper's; or "alexnet", in a tenth of the time
    config.seed = 0
    defaults.precision(config)
    if settings == "paper":
        config.networks = ("runs/decoders/standard_denoiser", "runs/decoders/robust_denoiser")
        config.update(images="CBSD68", n=0, sigmas=(50.0,))
    return config.lock()
