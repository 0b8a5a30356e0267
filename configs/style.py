r"""Give images the style of others through a standard and a robust network's features.

for stage in layer4 layer2 layer1; do
  python -m rrjax.train --config=configs/autoencoder_cifar10.py --config.data.path=DATA \
    --config.model.encoder=cifar10_robust_l2_eps05 --config.model.stage=$stage \
    --workdir=runs/style/robust_$stage
done    # and cifar10_standard, into runs/style/standard_$stage
python -m rrjax.study --config=configs/style.py --workdir=runs/style

The paper's levels are AlexNet's conv5, conv2 and conv1, at 224 pixels (autoencoder_alexnet.py, with
:conv2 and :conv1): --config=configs/style.py:paper, with folders of images as --config.contents and
--config.styles; the paper's are not published.
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults

SETTINGS = ("small", "paper")


def get_config(settings="small"):
    defaults.check_settings("style", settings, SETTINGS)
    config = ConfigDict()
    config.study = "style"
    # Levels: run folders of autoencoders of one encoder, the deepest first; (): none.
    config.standard = tuple(f"runs/style/standard_layer{i}" for i in (4, 2, 1))
    config.robust = tuple(f"runs/style/robust_layer{i}" for i in (4, 2, 1))
    config.checkpoint = "latest"  # or "best"
    # "photographs", two that come with scikit-learn; "patterns", drawn here; or a folder of images.
    config.contents = "photographs"
    config.styles = "photographs"
    config.n = 16  # pairs
    config.image_size = 0  # pixels a side, a multiple of every decoder's stride; 0: the training's
    config.alpha = 1.0  # from the content, 0, to the style; this and the next: the paper's
    config.ridge = 1.0  # added to the variances
    config.batch_size = 8  # pairs at a time
    config.seed = 0
    defaults.precision(config)
    if settings == "paper":
        levels = ("conv5", "conv2", "conv1")
        config.standard = tuple(f"runs/decoders/standard_{stage}" for stage in levels)
        config.robust = tuple(f"runs/decoders/robust_{stage}" for stage in levels)
    return config.lock()
