r"""Find the images that are not of a decoder's one class.

for name in standard robust; do for class in 0 1 2; do
  python -m rrjax.train --config=configs/autoencoder_digits.py --config.model.classes=1 \
    --config.data.groups="(('$class',),)" --config.data.group_names="('$class',)" \
    --config.model.encoder=runs/quickstart/$name --config.epochs=40 \
    --workdir=runs/quickstart/one_class/${name}_$class
done; done
python -m rrjax.study --config=configs/anomaly.py --workdir=runs/quickstart

The paper's, of decoders of configs/autoencoder_alexnet.py:anomaly, over all test images: those of
CIFAR-10's ten classes, --config=configs/anomaly.py:paper, and those of Cats and Dogs, a folder with
the classes cat and dog, --config=configs/anomaly.py:pets
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults

SETTINGS = ("small", "paper", "pets")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def get_config(settings="small"):
    defaults.check_settings("anomaly", settings, SETTINGS)
    config = ConfigDict()
    config.study = "anomaly"
    # Run folders root/NETWORK_CLASS of autoencoders that were trained on one class each.
    config.root = "runs/quickstart/one_class"
    config.networks = ("standard", "robust")
    config.classes = ("0", "1", "2")
    config.checkpoint = "latest"  # or "best"
    # Where their test data lie now; empty: where they lay in training.
    config.data = ConfigDict({"name": "", "path": ""})
    config.n = 60  # test images of all classes, drawn by the seed; 0: all
    # Of the score "sum", which the search minimizes. The paper's 2e-6 of pixels is nothing at this
    # size.
    config.pixel_weight = 0.01
    config.feature_weight = 0.01  # the paper's
    # Of the search, at first. The paper's: 0.1 and 100 steps. On training digits 50 of these end at
    # 1.2 to 1.4 times the sum that 100 of half their size end at, in half of the time.
    config.step_size = 0.6
    config.steps = 50  # 0: no search, which takes nearly all of the time
    config.batch_size = 60  # images at a time
    config.seed = 0
    defaults.precision(config)
    if settings != "small":
        config.root = "runs/decoders/one_class"
        config.classes = CIFAR10
        config.update(n=0, pixel_weight=2e-6, step_size=0.1, steps=100, batch_size=128)
    if settings == "pets":
        config.root = "runs/decoders/pets"
        config.classes = ("cat", "dog")
    return config.lock()
