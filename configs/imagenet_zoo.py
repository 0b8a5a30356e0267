"""Accuracy over radii of the published ResNet-50 of rising l2 radius (docs/published.md).

python -m rrjax.evaluate --config=configs/imagenet_zoo.py --config.data.path=DATA

DATA holds val/<wnid>/<image>, ImageNet's 1,000 folders of validation images; those that
configs/prepare_imagenet.py has prepared in DATA: --config.data.name=imagenet2012 too. Each network
is downloaded at its first use, 100 MB.
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults


def get_config():
    config = ConfigDict()
    config.standard = "resnet50_l2_eps0"
    config.robust = "resnet50_l2_eps3"
    config.more = tuple(f"resnet50_l2_eps{eps}" for eps in (0.01, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 5))
    config.checkpoint = "latest"
    config.data = ConfigDict({"name": "", "path": ""})  # the name: folder
    config.norm = "l2"
    config.eps = (0.0, 0.5, 1.0, 3.0)  # in units of pixels in [0,1]
    config.steps = (20,)  # each of size 2.5 * eps / steps
    config.random_start = "none"
    config.restarts = 1
    config.n = 5000  # validation images, drawn by the seed; 0: all 50,000
    config.record = 8  # validation images drawn under the attack of every eps; 0: none
    config.batch_size = 128
    config.seed = 0
    defaults.precision(config)
    return config.lock()
