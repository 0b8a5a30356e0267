"""Gradient steps on an input towards a representation: pgd + objective, one image each."""

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from rrjax import BadInput
from rrjax.core import checks, objectives
from rrjax.core.direction import unit
from rrjax.core.pgd import SearchResult, Stop, l2_search


def invert(
    apply: objectives.Apply,
    start: jax.Array,
    target: jax.Array,
    *,
    eps: float = 1000.0,
    step_size: float = 1.0,
    steps: int = 10_000,
    return_iterate: str = "best",
    begin: jax.Array | None = None,
    record: int = 0,
) -> SearchResult:
    """Find an image near `start` whose representation is `target`.

    Engstrom et al. (2019), 4.1, A.6 (the defaults): l2 steps on the normalized distance.

    Args:
      apply: image -> (logits, reps); the paper's is `Frozen.straight_through`.
      start: (H, W, C), float in [0,1]; the center of the ball.
      target: the representation to reach, as `reps["representation"]`.
      eps: l2 radius in units of [0,1] pixels; 1000 never binds at 224 pixels.
      step_size: the l2 length of a step in the same units.
      steps: the number of steps.
      return_iterate: "best", or "last" as in the paper's notebook.
      begin: the first iterate, if it is not `start`.
      record: how many snapshots to return, (record, H, W, C), after equal shares of the steps.

    Returns:
      `SearchResult`: the image x (H, W, C); as value its normalized representation distance.

    Raises:
      BadInput: for what is out of range, and a target of another shape, of norm 0 or not finite.

    >>> import rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> start, goal = outside.photographs(2, 32, 3, seed=0)
    >>> target = network(goal[None])[1]["representation"][0]
    >>> result = rrjax.invert(network.apply, start, target, step_size=0.1, steps=100)
    >>> bool(result.value < 0.4)  # 0.87 at the start
    True
    """
    begin = start if begin is None else begin
    checks.check_search({"start": start, "begin": begin}, eps, step_size, steps)
    options = {"steps": steps, "return_iterate": return_iterate, "record": record}
    return l2_search(objectives.match(apply, target), start, begin, eps, step_size, **options)


def interpolate(
    apply: objectives.Apply,
    left: jax.Array,
    right: jax.Array,
    weight: jax.Array,
    *,
    eps: float = 1000.0,
    step_size: float = 1.0,
    steps: int = 10_000,
) -> SearchResult:
    """Find an image whose representation lies between those of two images.

    Engstrom et al. (2019), sections 4.1, A.5 and A.6 (the defaults): the inversion of
    (1 - weight) R(left) + weight R(right), from the same mixture of the pixels.

    Args:
      apply: image -> (logits, reps).
      left: (H, W, C), float in [0,1].
      right: an image of the same shape.
      weight: 0 is left, 1 is right.
      eps: l2 radius about the mixture, in units of [0,1] pixels.
      step_size: the l2 length of a step in the same units.
      steps: the number of steps.

    Returns:
      `SearchResult`: the image x (H, W, C); as value its normalized representation distance.

    Raises:
      BadInput: for pixels outside [0,1].

    >>> import jax, jax.numpy as jnp, rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> left, right = outside.photographs(2, 32, 3, seed=0)
    >>> between = lambda weight: rrjax.interpolate(
    ...     network.apply, left, right, weight, step_size=0.1, steps=10
    ... )
    >>> jax.vmap(between)(jnp.linspace(0, 1, 5)).x.shape
    (5, 32, 32, 3)
    """
    checks.check_pixels("left", left)
    checks.check_pixels("right", right)
    checks.check_mixture(left, right, weight)
    (_, first), (_, second) = apply(left), apply(right)
    target = _mixed(first["representation"], second["representation"], weight)
    start = _mixed(left, right, weight)
    return invert(apply, start, target, eps=eps, step_size=step_size, steps=steps)


def _mixed(left: jax.Array, right: jax.Array, weight: jax.Array) -> jax.Array:
    return (1 - weight) * left + weight * right


def visualize(
    apply: objectives.Apply,
    start: jax.Array,
    unit: jax.Array,
    *,
    eps: float = 1000.0,
    step_size: float = 1.0,
    steps: int = 200,
    return_iterate: str = "last",
    record: int = 0,
) -> SearchResult:
    """Grow one coordinate of the representation, from an image or from noise.

    Engstrom et al. (2019), section 4.2 and appendix A.6 (the defaults).

    Args:
      apply: image -> (logits, reps); with the straight-through last ReLU a unit that is zero
        grows too.
      start: (H, W, C), float in [0,1]; the center of the ball.
      unit: which coordinate.
      eps: l2 radius in units of [0,1] pixels.
      step_size: the l2 length of a step in the same units.
      steps: the number of steps.
      return_iterate: "last", or "best" for the iterate of largest R(x)[unit].
      record: how many snapshots to return, (record, H, W, C), after equal shares of the steps.

    Returns:
      `SearchResult`: the image x (H, W, C); as value -R(x)[unit].

    Raises:
      BadInput: for what is out of range: pixels, unit, sizes.

    >>> import rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> (image,) = outside.photographs(1, 32, 3, seed=0)
    >>> result = rrjax.visualize(network.apply, image, 7, step_size=0.1, steps=30)
    >>> before = network(image[None])[1]["representation"][0, 7]
    >>> bool(-result.value > 2 * before)
    True
    """
    checks.check_search({"start": start}, eps, step_size, steps)
    options = {"steps": steps, "return_iterate": return_iterate, "record": record}
    return l2_search(objectives.activate(apply, unit), start, start, eps, step_size, **options)


STOPS = ("largest", "threshold")


def manipulate(
    apply: objectives.Apply,
    image: jax.Array,
    unit: jax.Array,
    *,
    stop: str = "largest",
    threshold: float = 1.0,
    eps: float = 1000.0,
    step_size: float = 0.1,
    steps: int = 800,
) -> SearchResult:
    """Add a feature to an image: grow one coordinate of its representation until it is enough.

    Engstrom et al. (2019), section 4.2.1.

    Args:
      apply: image -> (logits, reps).
      image: (H, W, C), float in [0,1]; the center of the ball.
      unit: which coordinate.
      stop: "largest", the paper's: it exceeds all others; or "threshold", its code's.
      threshold: for that `stop`, in units of the representation.
      eps: l2 radius in units of [0,1] pixels.
      step_size: the l2 length of a step in the same units.
      steps: the largest number of steps.

    Returns:
      `SearchResult`: x (H, W, C); as value -R(x)[unit]; steps, below `steps` if it stopped early.

    Raises:
      BadInput: for another `stop`, and for what is out of range: pixels, unit, sizes.

    >>> import rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> (image,) = outside.photographs(1, 32, 3, seed=0)
    >>> result = rrjax.manipulate(network.apply, image, 7)
    >>> reached = network(result.x[None])[1]["representation"]
    >>> int(reached.argmax()), bool(result.steps < 800)  # it exceeds all others
    (7, True)
    """
    checks.check_search({"image": image}, eps, step_size, steps)
    enough = _enough(apply, unit, stop, threshold)
    options = {"steps": steps, "return_iterate": "last", "stop": enough}
    return l2_search(objectives.activate(apply, unit), image, image, eps, step_size, **options)


def _enough(apply: objectives.Apply, unit: jax.Array, stop: str, threshold: float) -> Stop:
    """Make the rule, image -> bool, by which `manipulate` stops."""
    if stop not in STOPS:
        raise BadInput(f"stop={stop!r}: choose one of {STOPS}")

    return lambda x: is_enough(apply(x)[1]["representation"], unit, stop, threshold)


def is_enough(representation: jax.Array, unit: jax.Array, stop: str, threshold: float) -> jax.Array:
    """Say whether a unit of a representation (D,) has grown as far as a rule of `STOPS` asks."""
    if stop == "threshold":
        return representation[unit] >= threshold
    others = jnp.where(jnp.arange(len(representation)) == unit, -jnp.inf, representation)
    return representation[unit] > others.max()


def distance(apply: objectives.Apply, image: jax.Array, other: jax.Array) -> jax.Array:
    """Return how far apart two images look to a network, a robust one above all.

    The l2 distance of their representations, each of length 1 (or 0), from 0 to 2: as LPIPS (Zhang
    et al. 2018), but of the last representation alone, and without weights learned from people.
    Images of one robust representation look alike (Engstrom et al. 2019), of a standard one not.

    Args:
      apply: image -> (logits, reps), such as a `Frozen` network's.
      image: (H, W, C), float in [0,1].
      other: an image of the same shape.
    """
    one, two = (unit(apply(x)[1]["representation"]) for x in (image, other))
    return jnp.linalg.norm((one - two).ravel())


def of_features(encode: Callable[[jax.Array], Any]) -> objectives.Apply:
    """Make features, a pytree of arrays, the representation that the searches here work on.

    Args:
      encode: image -> features, a pytree, as an autoencoder's.

    Returns:
      apply: image -> (None, reps): there are no logits.
    """
    return jax.tree_util.Partial(_features, encode)


def _features(
    encode: Callable[[jax.Array], Any], image: jax.Array
) -> tuple[None, dict[str, jax.Array]]:
    return None, {"representation": ravel_pytree(encode(image))[0]}


def of_stage(apply: objectives.Apply, stage: str, channels: bool = False) -> objectives.Apply:
    """Make another stage of a network the representation that the searches here work on.

    Args:
      apply: image -> (logits, reps).
      stage: a key of reps, such as "layer3", or "logits"; "representation" is the paper's.
      channels: of a stage that is a map (h, w, C), take the channels' means over the map, (C,), in
        place of all its values, (h * w * C,).

    Returns:
      apply: image -> (logits, reps), whose "representation" is that stage, a vector.

    Raises:
      BadInput: where it is called, for a stage that the network does not have.

    >>> import rrjax
    >>> from rrjax.data import outside
    >>> network = rrjax.load("cifar10_robust_l2_eps05")
    >>> (image,) = outside.photographs(1, 32, 3, seed=0)
    >>> channels = rrjax.representation.of_stage(network.apply, "layer2", channels=True)
    >>> result = rrjax.visualize(channels, image, 7, step_size=0.1, steps=30)
    >>> bool(-result.value > channels(image)[1]["representation"][7])
    True
    """
    if stage == "representation":
        return apply
    return jax.tree_util.Partial(_stage(stage, channels), checks.as_pytree(apply))


@cache  # one function a stage, so that jit finds the program that it compiled before
def _stage(stage: str, channels: bool) -> Callable:
    def choose(apply: objectives.Apply, image: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        logits, reps = apply(image)
        stages = reps | {"logits": logits}
        if stage not in stages:
            raise BadInput(f"stage={stage!r}: this network has {', '.join(sorted(stages))}")
        x = stages[stage]
        x = x.mean((0, 1)) if channels and x.ndim == 3 else x.ravel()
        return logits, reps | {"representation": x}

    return choose


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw the paper's starts: a standard normal / 20 about mid-gray, float32 clipped to [0,1]."""
    return np.clip(0.5 + rng.standard_normal(shape) / 20, 0, 1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class NoiseRows:
    """Many starts of noise, each drawn when it is asked for: rows of what `noise` draws at once.

    shape: of one. states: of the generator, before it draws each.
    """

    shape: tuple[int, ...]
    states: list[Any]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.states)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Draw a slice of the rows."""
        return np.stack([self._drawn(state) for state in self.states[rows]])

    def _drawn(self, state: Any) -> np.ndarray:
        rng = np.random.default_rng()
        rng.bit_generator.state = state
        return noise(self.shape, rng)


def noise_rows(n: int, shape: tuple[int, ...], rng: np.random.Generator) -> NoiseRows:
    """Make n rows of noise of a shape each; the generator then is where `noise` would leave it."""
    states = []
    for _ in range(n):
        states.append(rng.bit_generator.state)
        noise(shape, rng)
    return NoiseRows(shape, states)
