"""The configs say what the papers and the reference say."""

import importlib

import pytest

from rrjax.configs import anomaly

PAPER = {"batch_size": 256, "optimizer.learning_rate": 0.1, "optimizer.momentum": 0.9}
ATTACK = {"attack.norm": "l2", "attack.eps": 3.0, "attack.step_size": 0.5, "attack.steps": 7}
ATTACK |= {"attack.random_start": "none", "attack.return_iterate": "best"}
IMAGENET = {"data.image_size": 224, "data.resize": 256, "data.crop_scale": (0.08, 1.0)}
IMAGENET |= {"data.flip": True, "data.crop_padding": 0, "data.rotation": 0.0}
COLORS = {"data.jitter": 0.1, "data.lighting": 0.05}
RIN = {"data.name": "restricted_imagenet", "model.classes": 9}
RIN |= {"model.mean": (0.4717, 0.4499, 0.3837), "model.std": (0.26, 0.2516, 0.2575)}
# Engstrom et al. (2019), Table 3.
LONG = {"epochs": 110, "optimizer.weight_decay": 5e-4, "optimizer.gamma": 0.1}
# torchvision's reference script.
TORCHVISION = {"epochs": 90, "optimizer.weight_decay": 1e-4, "optimizer.drops": (30, 60)}
CIFAR10 = {"data.name": "cifar10", "data.image_size": 32, "data.resize": 32, "data.crop_scale": ()}
CIFAR10 |= {"data.crop_padding": 4, "data.jitter": 0.25, "data.rotation": 2.0, "data.flip": True}
CIFAR10 |= {"data.lighting": 0.0, "epochs": 150, "batch_size": 128, "model.variant": "cifar"}
CIFAR10 |= {"optimizer.drops": (50, 100), "optimizer.weight_decay": 5e-4, "model.classes": 10}
PLAIN = {"attack.eps": 0.0}
BN = {"model.name": "vgg16_bn"}
# Kim, Seo and Jeon (2019), their code; its units, pixels in [-1,1], are twice ours.
KIM = {"batch_size": 100, "optimizer.name": "adam", "optimizer.learning_rate": 1e-3}
KIM |= {"optimizer.weight_decay": 0.0, "optimizer.drops": (), "model.variant": "cifar"}
KIM |= {"attack.steps": 40, "attack.return_iterate": "last", "attack.random_start": "none"}
KIM |= {"data.flip": False, "data.crop_scale": (), "data.crop_padding": 0, "data.jitter": 0.0}
KIM |= {"data.lighting": 0.0, "data.rotation": 0.0, "loss.clean_weight": 0.0}
KIM_CIFAR10 = KIM | {"epochs": 20, "model.name": "cifar_cnn", "data.image_size": 32}
KIM_VAEGAN = {"batch_size": 100, "model.name": "vaegan", "model.width": 64, "data.flip": False}
KIM_MANIFOLD = {"eps": 6.0, "step_size": 1.0, "steps": 40, "point": "sample", "n": 0}
KIM_MANIFOLD |= {"losses": ("cross_entropy", "margin"), "where_standard_fails": True}
KIM_MNIST = KIM | {"epochs": 5, "model.name": "mnist_cnn", "data.image_size": 28}

# Engstrom et al. (2019), appendix A.6 and the notebooks of their code.
SEARCH = {"step_size": 1.0, "straight_through": True, "stage": "representation"}
# Santurkar et al. (2019): their code, at 224 pixels.
PICTURES = {"eps": 40.0, "step_size": 1.0, "steps": 60, "grain": 4, "patch": 60}
PICTURES |= {"fill_eps": 21.6, "fill_step_size": 0.1, "fill_steps": 720, "fill_weight": 10.0}
PICTURES |= {"coarse": 8, "coarse_eps": 8.0, "coarse_step_size": 1.0, "coarse_steps": 40}
PICTURES |= {"paint_eps": 70.0, "paint_step_size": 1.0, "paint_steps": 140}

# Rojas-Gomez et al. (2021): the scripts of their code.
DECODER = {"epochs": 90, "batch_size": 128, "data.image_size": 224, "data.flip": False}
DECODER |= {"loss.norm": "l1", "loss.pixel": 2e-6, "loss.feature": 0.01, "loss.adversarial": 100.0}
DECODER |= {"loss.discriminator": 100.0, "loss.discriminator_stride": 4, "noise": 0.0}
DECODER |= {"optimizer.learning_rate": 3e-4, "optimizer.discriminator_rate": 1.2e-3}
DECODER |= {"optimizer.b1": 0.0, "optimizer.b2": 0.9, "optimizer.discriminator_b1": 0.0}
DECODER |= {"optimizer.discriminator_b2": 0.9, "optimizer.schedule": "step"}
DECODER |= {"optimizer.drops": (30, 60), "optimizer.gamma": 0.1, "data.name": "imagenet2012"}
CONV5 = {"model.stage": "conv5", "model.encoder_norm": "scale", "loss.stage": "conv5"}
CONV5 |= {"model.decoder": "conv5_transposed"}
ANOMALY = {"n": 0, "pixel_weight": 2e-6, "feature_weight": 0.01, "step_size": 0.1, "steps": 100}
LAST = {"model.decoder": "mirror", "model.encoder_norm": "standardize"}

EXPECTED = {
    "autoencoder_alexnet": DECODER | CONV5,
    "autoencoder_alexnet:inversion": DECODER | CONV5,
    "autoencoder_alexnet:denoising": DECODER
    | CONV5
    | {"loss.norm": "l2", "loss.pixel": 2e-3, "noise": 50.0, "model.decoder": "wavelet"},
    "autoencoder_alexnet:anomaly": DECODER
    | CONV5
    | {"loss.pixel": 2e-3, "optimizer.b1": 0.9, "optimizer.b2": 0.999, "data.name": "cifar10"}
    | {"data.groups": (("airplane",),), "model.classes": 1},
    "autoencoder_alexnet:conv2": DECODER
    | CONV5
    | {"model.stage": "conv2", "model.decoder": "conv2"},
    "autoencoder_alexnet:conv1": DECODER
    | CONV5
    | {"model.stage": "conv1", "model.decoder": "conv1"},
    "autoencoder_imagenet:resnet50": DECODER
    | LAST
    | {"model.stage": "layer4", "loss.stage": "layer4", "model.encoder": "resnet50_l2_eps3"},
    "autoencoder_imagenet:vgg16_bn": DECODER
    | LAST
    | {"model.stage": "block5", "loss.stage": "block5", "model.encoder": "vgg16_bn_l2_eps3"},
    "reconstruction:paper": {"n": 0, "step_size": 1.0, "steps": 10_000},
    "denoising:paper": {"images": "CBSD68", "n": 0, "sigmas": (50.0,), "lpips": "vgg16"},
    "anomaly:paper": ANOMALY | {"classes": anomaly.CIFAR10},
    "anomaly:pets": ANOMALY | {"classes": ("cat", "dog")},
    "style:paper": {"alpha": 1.0, "ridge": 1.0}
    | {"robust": tuple(f"runs/decoders/robust_{stage}" for stage in ("conv5", "conv2", "conv1"))},
    "inversion:paper": SEARCH | {"eps": 1000.0, "steps": 10_000, "return_iterate": "last"},
    "interpolation:paper": SEARCH | {"steps": 10_000, "points": 10},
    "visualization:paper": SEARCH | {"steps": 200, "n": 2, "units": 5},
    "proximity:paper": {"free_step_size": 1.0, "free_steps": 10_000, "straight_through": True},
    "manipulation:paper": {"first_units": (200, 500, 760), "n": 10, "step_size": 0.1}
    | {"steps": 800, "threshold": 1.0, "straight_through": True},
    "activations:paper": {"n": 0, "shown": 3, "eps": 500.0, "step_size": 0.5, "steps": 1500},
    "regularized:paper": {"first_units": (0, 1, 2, 3), "units": 4, "step_size": 1.0}
    | {"steps": 200, "regularized_steps": 512, "learning_rate": 0.05},
    "evaluate:paper": {"eps": (0.0, 0.5, 1.0, 2.0, 3.0), "steps": (20, 100), "norm": "l2"},
    "synthesis:paper": PICTURES | {"straight_through": True},
    "synthesis:cifar10": {"eps": 30.0, "step_size": 0.5, "steps": 60, "grain": 1}
    | {"coarse_eps": 15.0, "coarse_step_size": 1.0, "coarse_steps": 50},
    "robust_imagenet": PAPER | LONG | ATTACK | IMAGENET | COLORS | {"optimizer.drops": (100,)},
    "robust_rin": PAPER | LONG | ATTACK | IMAGENET | COLORS | RIN | {"optimizer.drops": (30, 60)},
    "standard_rin": PAPER | LONG | PLAIN | IMAGENET | COLORS | RIN | {"optimizer.drops": (30, 60)},
    "vgg16_rin": PAPER | LONG | PLAIN | IMAGENET | COLORS | RIN | BN,
    "standard_imagenet": PAPER | TORCHVISION | PLAIN | IMAGENET | {"data.jitter": 0.0},
    "vgg16_imagenet": TORCHVISION | PLAIN | IMAGENET | BN | {"optimizer.learning_rate": 0.01},
    "robust_alexnet": ATTACK
    | TORCHVISION
    | IMAGENET
    | COLORS
    | {"model.name": "alexnet"}
    | {"batch_size": 128, "optimizer.learning_rate": 0.1, "optimizer.momentum": 0.9}
    | {"optimizer.schedule": "step", "optimizer.gamma": 0.1},
    "robust_cifar10": CIFAR10 | {"attack.eps": 0.5, "attack.step_size": 0.1, "attack.steps": 7},
    "standard_cifar10": CIFAR10 | PLAIN,
    "retraining:cifar10": {"train_n": 20_000, "percents": (10, 50, 90), "seeds": (0, 1, 2)}
    | {"model": "cifar_cnn", "epochs": 20, "train_batch_size": 100, "learning_rate": 1e-3}
    | {"attributions": ("gradient", "gradient x input"), "objective": "cross_entropy"},
    "kim_cifar10:l2,1.6": KIM_CIFAR10 | {"attack.eps": 0.8, "attack.step_size": 1.0},
    "kim_cifar10:linf,0.04": KIM_CIFAR10 | {"attack.eps": 0.02, "attack.step_size": 0.01},
    "kim_cifar10:l2,0": KIM_CIFAR10 | PLAIN,
    "kim_mnist:l2,4": KIM_MNIST | {"attack.eps": 2.0, "attack.step_size": 1.0},
    "kim_mnist:linf,0.2": KIM_MNIST | {"attack.norm": "linf", "attack.eps": 0.1},
    "kim_cifar10:linf,0.002,margin": KIM_CIFAR10
    | {"attack.eps": 0.001, "attack.step_size": 0.01, "attack.loss": "margin"},
    "kim_cifar10:penalty,0.1": KIM_CIFAR10 | PLAIN | {"loss.gradient_penalty": 0.1},
    "kim_cifar10:alignment,0.3": KIM_CIFAR10 | PLAIN | {"loss.alignment_penalty": 0.3},
    "retraining:paper": {"train_n": 0, "test_n": 0, "percents": (10, 30, 50, 70, 90)}
    | {"model": "cifar_cnn", "epochs": 20, "train_batch_size": 100, "learning_rate": 1e-3}
    | {"attributions": ("gradient", "gradient x input"), "objective": "cross_entropy"}
    | {"seeds": (0, 1, 2)},
    "vaegan:mnist": KIM_VAEGAN
    | {"model.variant": "mnist", "model.latent": 10, "loss.reconstruction": 5e-3}
    | {"optimizer.learning_rate": 5e-4, "optimizer.b1": 0.5, "optimizer.b2": 0.9, "epochs": 30}
    | {"loss.discriminator_steps": 1, "data.image_size": 28},
    "vaegan:fashion_mnist": KIM_VAEGAN
    | {"model.variant": "mnist", "model.latent": 10, "loss.reconstruction": 5e-4}
    | {"optimizer.learning_rate": 5e-4, "optimizer.b1": 0.5, "optimizer.b2": 0.9, "epochs": 60}
    | {"loss.discriminator_steps": 1, "data.image_size": 28},
    "vaegan:cifar10": KIM_VAEGAN
    | {"model.variant": "cifar", "model.latent": 128, "loss.reconstruction": 1e-2}
    | {"optimizer.learning_rate": 2e-4, "optimizer.b1": 0.0, "optimizer.b2": 0.9, "epochs": 150}
    | {"loss.discriminator_steps": 5, "data.image_size": 32},
    "manifold:mnist": KIM_MANIFOLD,
    "manifold:cifar10": KIM_MANIFOLD,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_config_is_the_papers(name):
    file, *argument = name.split(":")
    config = importlib.import_module(f"configs.{file}").get_config(*argument)
    for field, value in EXPECTED[name].items():
        room, _, leaf = field.rpartition(".")
        found = (config[room] if room else config)[leaf]
        assert found == value, f"{field} is {found}, not {value}"
