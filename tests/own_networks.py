"""Networks of a user's own, in a file that tests import by name: "own_networks:NAME"."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

import rrjax

SHAPE = (1, 16, 16, 1)
CLASSES = tuple("0123456789")
GRAY = {"image_size": 16, "mean": (0.3,), "std": (0.35,), "classes": CLASSES}
STAGES = {"representation": "features", "map": "conv"}


class Linen(nn.Module):
    """Logits alone, with BN and dropout."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(4, (3, 3), strides=2, name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dense(16, name="features")(nn.relu(x).reshape(len(x), -1))
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
        return nn.Dense(10, name="head")(x)


class Nnx(nnx.Module):
    """The same, of nnx."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.features = nnx.Linear(256, 16, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x):
        x = self.features(nnx.relu(self.norm(self.conv(x))).reshape(len(x), -1))
        return self.head(self.dropout(nnx.relu(x)))


class Trained(nn.Module):
    """What --config.model.module takes: (logits, reps); its images are standardized."""

    classes: int
    width: int = 4

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(self.width, (3, 3), strides=4)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        representation = x.reshape(len(x), -1)
        return nn.Dense(self.classes)(representation), {"representation": representation}


class LogitsAlone(nn.Module):
    """A module that cannot be trained: it has no representation."""

    classes: int

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


def linen():
    variables = jax.jit(lambda key: Linen().init(key, jnp.zeros(SHAPE), False))(jax.random.key(0))
    return rrjax.wrap(Linen(), variables, stages=STAGES, **GRAY)


def of_nnx():
    return rrjax.wrap(Nnx(nnx.Rngs(0)), stages=STAGES, **GRAY)


def function():
    """Weights that the function holds, inside jit."""
    keys = jax.random.split(jax.random.key(0))
    first, second = (
        jax.random.normal(key, shape) / shape[0] ** 0.5
        for key, shape in zip(keys, ((256, 16), (16, 10)), strict=True)
    )

    @jax.jit
    def logits(images):
        features = jax.nn.relu(images.reshape(len(images), -1) @ first)
        return features @ second, {"representation": features}

    return rrjax.wrap(logits, **GRAY)


number = 3
