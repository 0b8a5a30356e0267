"""What benches of speed work on: training steps, evaluations and inversions of classifiers."""

import copy
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from rrjax import BadInput, models

FIELDS = ("kind", "name", "variant", "size", "n")
KINDS = ("adversarial", "standard", "evaluation", "inversion")

Case = dict[str, Any]  # by FIELDS


def read(config: ConfigDict) -> list[Case]:
    """Return the cases of `config.cases`, tuples of FIELDS.

    Raises:
      BadInput: for one that is none.
    """
    cases = []
    for fields in config.cases:
        if len(fields) != len(FIELDS) or fields[0] not in KINDS or fields[-1] < 1:
            raise BadInput(
                f"--config.cases: {fields!r}: give ({', '.join(FIELDS)}), a kind of "
                f"{', '.join(KINDS)}, and at least 1 image"
            )
        cases.append(dict(zip(FIELDS, fields, strict=True)))
        models.create(training(config, cases[-1]).model)
    return cases


def training(config: ConfigDict, case: Case) -> ConfigDict:
    """Return the training config of a case: `config.training`, with its network and its size."""
    changed = copy.deepcopy(config.training)
    changed.batch_size = case["n"]
    changed.model.name, changed.model.variant = case["name"], case["variant"]
    changed.model.dtype = changed.dtype
    changed.data.image_size = case["size"]
    changed.data.jitter = changed.data.lighting = 0.0
    if case["kind"] == "standard":
        changed.attack.eps = 0.0
    if case["kind"] == "evaluation":
        changed.eval_attack_steps = config.evaluation_steps
    return changed


def search_steps(config: ConfigDict, case: Case) -> int:
    """Return how many gradient steps on an image a case's search takes: an attack, an inversion."""
    return {
        "standard": 0,
        "adversarial": config.training.attack.steps,
        "evaluation": config.evaluation_steps,
        "inversion": config.inversion_steps,
    }[case["kind"]]


def flops(config: ConfigDict, case: Case) -> float:
    """Return the floating point operations of a case, those of a forward pass as XLA counts them.

    A gradient of the image costs a forward pass more, one of the network too. A search: a forward
    and the image's gradient a step, and a forward for its last iterate.
    """
    beside = {"standard": 3, "adversarial": 1 + 3, "evaluation": 1 + 1 + 1, "inversion": 1 + 1}
    passes = 2 * search_steps(config, case) + beside[case["kind"]]
    return passes * _forward_flops(training(config, case)) * case["n"]


def _forward_flops(training: ConfigDict) -> float:
    model = models.create(training.model)
    size = training.data.image_size
    image = jax.ShapeDtypeStruct((size, size, 3), jnp.float32)
    variables = jax.eval_shape(partial(models.init, model, jax.random.key(0), image.shape))
    forward = jax.jit(lambda v, x: models.frozen(model, v)(x)[0])
    costs = forward.lower(variables, image).cost_analysis()
    if costs is None:
        raise RuntimeError("XLA counts no operations for this kind of device")
    return costs["flops"]
