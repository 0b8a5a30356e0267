"""The VAE-GAN: its tables' sizes, and that each of its networks takes its own turn."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from rrjax import BadInput
from rrjax.configs import vaegan_digits
from rrjax.models import vaegan
from rrjax.train.tasks import vaegan as task

COMMON = {"width": 64, "latent": 10, "dtype": "float32", "param_dtype": "float32"}


@pytest.mark.parametrize(
    ("variant", "size", "mean"),
    [("mnist", 28, (0.5,)), ("cifar", 32, (0.5,) * 3), ("cifar", 16, (0.5,))],
)
def test_an_image_goes_to_a_latent_and_back(variant, size, mean):
    networks = vaegan.create(ConfigDict({**COMMON, "variant": variant, "mean": mean}), size)
    variables = jax.eval_shape(partial(vaegan.init, networks), jax.random.key(0))
    widths = [x["kernel"].shape for k, x in variables["params"]["encoder"].items() if "conv" in k]
    kernel = 4 if variant == "mnist" else 5
    assert [(w[0], w[-1]) for w in widths] == [(kernel, 64), (kernel, 128), (kernel, 256)]
    image = jax.ShapeDtypeStruct((size, size, len(mean)), jnp.float32)

    def shapes(variables, image):
        encode, decode, deviation = vaegan.frozen(networks, variables)
        own = {kind: trees["discriminator"] for kind, trees in variables.items()}
        logits = networks["discriminator"].apply(own, image[None], train=False)
        return encode(image), deviation(image), decode(encode(image)), logits

    outputs = [x.shape for x in jax.eval_shape(shapes, variables, image)]
    assert outputs == [(10,), (10,), image.shape, (1,)]


def test_a_size_that_a_table_has_not_is_refused():
    for variant, size in (("mnist", 32), ("cifar", 20)):
        with pytest.raises(BadInput, match=f"image_size={size}"):
            vaegan.create(ConfigDict({**COMMON, "variant": variant, "mean": (0.5,)}), size)


@pytest.mark.slow
def test_in_a_network_s_turn_no_other_moves():
    config = vaegan_digits.get_config()
    config.model.width, config.model.latent, config.data.image_size = 2, 2, 8
    networks, adam = vaegan.create(config.model, 8), optax.adam(1e-3)
    state = task.create(config).init()
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(4, 8, 8, 1)), jnp.float32)

    def objective(run):
        return task.generator_loss(run, images, jax.random.key(0), 0.01)

    def turn(state):
        return task.step_one_network(networks, adam, state, "generator", objective)

    device = jax.vmap(turn, None, 0, "batch", 1)
    after = jax.tree.map(lambda x: x[0], jax.jit(device)(state)[0])
    for part in ("params", "batch_stats", "opt_state"):
        for name in networks:
            before, now = (getattr(s, part)[name] for s in (state, after))
            same = jax.tree.map(lambda a, b: bool((a == b).all()), before, now)
            assert all(jax.tree.leaves(same)) == (name != "generator"), (name, part)
