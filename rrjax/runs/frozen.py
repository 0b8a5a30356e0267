"""A frozen network: what is asked of it, in images as they come, one or many."""

import dataclasses
import html
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from rrjax import BadInput, did_you_mean
from rrjax.core import attack, attribution, checks, objectives, representation, search
from rrjax.core.objectives import Apply
from rrjax.core.pgd import SearchResult
from rrjax.core.vmapped import in_local_parts
from rrjax.runs import defaults

ATTACK_STEPS = 20  # of 2.5 * eps / steps, as in the paper's Table 5
_SHOWN = 20  # classes in an error


class Prediction(NamedTuple):
    """What a network takes images for: of one image a label, its class's name and (classes,).

    Of N images each has a leading axis of N. probabilities: the softmax of the logits.
    """

    label: Any
    name: Any
    probabilities: np.ndarray


@dataclasses.dataclass(frozen=True, repr=False)
class Frozen:
    """A frozen network: a classifier in eval mode, whose parameters do not change.

    config: of its training. model, variables: the linen module and its `params` and `batch_stats`;
      the module is None in a network that `rrjax.wrap` made.
    apply: one image (H, W, C), float in [0,1] -> (logits, reps), BN folded as the model declares.
      A pytree: pass it through jit.
    straight_through: the same values, but the last ReLU passes gradients to dead coordinates,
      as inversion needs.

    The methods take one image (H, W, C), or many (N, H, W, C), float in [0,1], and return one or
    many. `rrjax.read_image` reads a photograph so. Their searches take the options of
    `rrjax.core.search.Options`.
    """

    config: ConfigDict
    model: Any
    variables: Any
    apply: Apply
    straight_through: Apply

    def differentiable_apply(self, straight_through: bool) -> Apply:
        """Return the function whose gradients a search follows."""
        return self.straight_through if straight_through else self.apply

    def at_stage(self, stage: str, channels: bool = False) -> "Frozen":
        """Return the network with another stage of it as its representation.

        stage, channels: as `core.representation.of_stage` has them.

        Raises:
          BadInput: for a stage that it does not have.
        """
        apply, through = (
            representation.of_stage(function, stage, channels)
            for function in (self.apply, self.straight_through)
        )
        jax.eval_shape(apply, jax.ShapeDtypeStruct(self._shape(None), jnp.float32))
        return dataclasses.replace(self, apply=apply, straight_through=through)

    def __call__(
        self, images: ArrayLike, stages: Sequence[str] | None = None, batch_size: int = 256
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Map images (N, H, W, C), float in [0,1], to (logits, reps), on all devices.

        Images of another size than those of its training are a warning, once.

        Args:
          images: as many as you like.
          stages: the names of the representations to return, such as ("representation",); None for
            all that the network has, whose maps may be large.
          batch_size: how many images there are at once on the devices.

        Raises:
          BadInput: for pixels outside [0,1], another number of channels, a size that the network
            cannot take, and a stage that it does not have.
        """
        images = images if isinstance(images, jax.Array) else np.asarray(images)
        self._check(images)
        return self._forward(images, None if stages is None else tuple(stages), batch_size)

    @property
    def image_size(self) -> int:
        """Return how many pixels a side the images of its training had."""
        return self.config.data.image_size

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of its classes, by label; their numbers where nobody said names."""
        data, n = self.config.data, self.config.model.classes
        named = tuple(data.class_names or data.group_names)
        return named if len(named) == n else tuple(map(str, range(n)))

    def label(self, name: str | int) -> int:
        """Return the label of a class that is given by name or by number.

        Raises:
          BadInput: if there is none, with the names that are near.
        """
        names = self.classes
        if isinstance(name, str) and name in names:
            return names.index(name)
        if isinstance(name, str) and not name.isdecimal():
            more = ", ..." if len(names) > _SHOWN else ""
            meant = did_you_mean(name, names)
            meant = meant or f"there are {', '.join(names[:_SHOWN])}{more}"
            raise BadInput(f"no class {name!r}: {meant}")
        number = int(name) if isinstance(name, str) else name
        checks.check_index("class", number, len(names), "classes")
        return int(number)

    def predict(self, images: ArrayLike) -> Prediction:
        """Return what the network takes images for.

        Raises:
          BadInput: as `__call__` does.
        """
        stack, one = self._stacked(images)
        logits, _ = self._forward(stack, ())
        labels, names = logits.argmax(-1), np.array(self.classes)
        shares = np.asarray(jax.nn.softmax(logits))
        return _unstacked(Prediction(labels, names[labels], shares), one)

    def invert(
        self, images: ArrayLike, start: ArrayLike | None = None, **options: Any
    ) -> SearchResult:
        """Find images with the representations of the given ones: `rrjax.invert` of each.

        Args:
          images: one or many.
          start: an image, or one for each, such as the paper's noise,
            `rrjax.representation.noise`; None: mid-gray, which leaves no noise in the picture.
          **options: those of `rrjax.core.search.Options`.

        Returns:
          `SearchResult`: x, the images, and value, their normalized representation distances.

        Raises:
          BadInput: as `__call__` does, and for options that are out of range.
        """
        stack, one = self._stacked(images)
        how = search.options(options)
        starts = self._starts(start, len(stack), stack.shape[1:])
        _, reps = self._forward(stack, ("representation",), how.batch_size)
        return self._search(objectives.match, starts, reps["representation"], how, one)

    def visualize(
        self,
        start: ArrayLike | None = None,
        *,
        unit: int | Sequence[int] | None = None,
        logit: str | int | Sequence[str | int] | None = None,
        channel: tuple[str, int] | None = None,
        **options: Any,
    ) -> SearchResult:
        """Grow a coordinate of the representation, a logit or a channel of a stage in an image.

        Args:
          start: an image; None: mid-gray.
          unit: a coordinate of the representation, or several: an image for each.
          logit: a class by name or number, or several.
          channel: a stage and the number of its channel, such as ("layer3", 5): the channel's mean.
          **options: those of `rrjax.core.search.Options`; as in the paper 200 steps, of which the
            last counts, and gradients pass the last ReLU, so that a unit that is zero grows too.

        Returns:
          `SearchResult`: x, the images, and value, minus what was grown.

        Raises:
          BadInput: unless one of the three is given, and for one that the network does not have.
        """
        stage, chosen, one = self._grown(unit, logit, channel)
        network, shape = self.at_stage(stage, channels=True), self._shape(start)
        _, reps = jax.eval_shape(network.apply, jax.ShapeDtypeStruct(shape, jnp.float32))
        kind = "unit" if stage == "representation" else "channel"
        checks.check_index(kind, np.array(chosen), reps["representation"].size, f"{kind}s")
        starts = self._starts(start, len(chosen), shape)
        how = search.options(options, steps=200, return_iterate="last", straight_through=True)
        targets = np.array(chosen, np.int32)
        return network._search(objectives.activate, starts, targets, how, one)

    def towards(
        self,
        name: str | int,
        images: ArrayLike | None = None,
        **options: Any,
    ) -> SearchResult:
        """Move images towards a class: its cross-entropy is minimized (Santurkar et al. 2019).

        Args:
          name: of the class, or its number.
          images: one or many; None: one, mid-gray.
          **options: those of `rrjax.core.search.Options`; 60 steps, as the paper's.

        Returns:
          `SearchResult`: x, the images, and value, the cross-entropies, in nats.

        Raises:
          BadInput: as `__call__` does, and for a class that there is not.
        """
        label, how = self.label(name), search.options(options, steps=60)
        if images is None:
            stack, one = self._starts(None, 1, self._shape(None)), True
        else:
            stack, one = self._stacked(images)
        labels = np.full(len(stack), label, np.int32)
        return self._search(objectives.cross_entropy, stack, labels, how, one)

    def attack(
        self,
        images: ArrayLike,
        labels: Any = None,
        *,
        eps: float | None = None,
        batch_size: int = 32,
        **options: Any,
    ) -> np.ndarray:
        """Return adversarial examples: `rrjax.attack.adversary` of each image.

        Args:
          images: one or many.
          labels: of each, a class's name or number; None: what the network takes it for. With
            `targeted` what to move to.
          eps: the radius, in units of [0,1] pixels; None: that of the network's training, in the
            norm of which it is.
          batch_size: images at once, over all devices.
          **options: those of `rrjax.attack.Options`; 20 steps of 2.5 * eps / steps, and the norm of
            the network's training. A random start is drawn by `key`, jax.random.key(0).

        Raises:
          BadInput: as `rrjax.attack.adversary` does; without `eps` for a network of standard
            training and for another norm than that of training; for `targeted` without labels.
        """
        stack, one = self._stacked(images)
        trained = self.config.attack
        made: dict[str, Any] = {"norm": trained.norm, "steps": ATTACK_STEPS} | options
        if eps is None and made["norm"] != trained.norm:
            raise BadInput(
                f"norm={made['norm']!r} without eps: the network was trained with {trained.norm}, "
                "give the radius in the other norm"
            )
        if labels is None and made.get("targeted"):
            raise BadInput("targeted without labels: give the classes to move to")
        made["eps"] = trained.eps if eps is None else eps
        if not made["eps"]:
            raise BadInput("eps=0: give the radius of the attack, in units of pixels in [0,1]")
        checks.check_sizes("", made["norm"], made["eps"], 1, made["steps"])
        made = {"step_size": 2.5 * made["eps"] / max(made["steps"], 1)} | made
        keys = jax.random.split(made.pop("key", jax.random.key(0)), len(stack))
        labels = self._labels(stack, labels)
        adversaries = partial(attack.adversaries, self.apply, **made)
        return _unstacked(in_local_parts(adversaries, batch_size, stack, labels, keys), one)

    def saliency(
        self,
        images: ArrayLike,
        labels: Any = None,
        method: str = "gradient",
        batch_size: int = 32,
    ) -> np.ndarray:
        """Return what the logit of a class depends on in images: a map each, of their shape.

        Args:
          images: one or many.
          labels: the class of each, by name or number; None: what the network takes it for.
          method: "gradient", "gradient_x_input", "integrated_gradients", "deep_lift", "lrp" or
            "grad_cam" (`rrjax.attribution`); Grad-CAM's maps have one channel.
          batch_size: images at once, over all devices.

        Raises:
          BadInput: as `__call__` does, and for another method or class.
        """
        if method not in attribution.METHODS:
            raise BadInput(f"method={method!r}: choose from {', '.join(attribution.METHODS)}")
        stack, one = self._stacked(images)
        labels = self._labels(stack, labels)
        mean = np.array(self.config.model.mean, np.float32)
        maps = partial(_attributed, self.apply, mean, method=method)
        return _unstacked(in_local_parts(maps, batch_size, stack, labels), one)

    def _grown(
        self, unit: Any, logit: Any, channel: tuple[str, int] | None
    ) -> tuple[str, list[int], bool]:
        """Return the stage, which coordinates of it are to grow, and whether one was asked for."""
        if sum(given is not None for given in (unit, logit, channel)) != 1:
            raise BadInput("give one of unit=, logit= and channel=, such as logit='dog'")
        if channel is not None:
            if isinstance(channel, str) or len(channel) != 2:
                raise BadInput(
                    f"channel={channel!r}: give a stage and a number, such as ('layer3', 0)"
                )
            return channel[0], [channel[1]], True
        chosen, one = _listed(unit if logit is None else logit)
        if logit is not None:
            return "logits", [self.label(name) for name in chosen], one
        return "representation", chosen, one

    def _facts(self) -> dict[str, str]:
        model, size = self.config.model, self.image_size
        return {
            "network": model.module or model.name,
            "classes": str(len(self.classes)),
            "images": f"{size}x{size}x{len(model.mean)}",
            "trained against": defaults.trained_against(self.config),
        }

    def __repr__(self) -> str:
        """Say in one line what the network is."""
        network, classes, images, adversary = self._facts().values()
        return (
            f"<Frozen {network}, {classes} classes, images {images}; trained against: {adversary}>"
        )

    def _repr_html_(self) -> str:
        """Say the same, with the classes' names, as a notebook shows it."""
        names = ", ".join(self.classes[:20]) + (", ..." if len(self.classes) > 20 else "")
        n = sum(np.size(x) for x in jax.tree.leaves(self.variables))
        facts = self._facts() | {"names": names, "numbers": f"{n:,}"}
        rows = (f"<tr><th>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
        return f"<table>{''.join(rows)}</table>"

    def _forward(
        self, stack: np.ndarray | jax.Array, stages: tuple[str, ...] | None, batch_size: int = 256
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return in_local_parts(partial(_forward, self.apply, stages=stages), batch_size, stack)

    def _labels(self, stack: np.ndarray, labels: Any) -> np.ndarray:
        """Return the label of each image: as given, by name or number, or as it is predicted."""
        if labels is None:
            return self._forward(stack, ())[0].argmax(-1)
        given, _ = _listed(labels)
        if len(given) != len(stack):
            raise BadInput(f"{len(given)} labels for {len(stack)} images: give one for each")
        return np.array([self.label(name) for name in given])

    def _search(
        self,
        objective: search.ObjectiveOf,
        starts: np.ndarray,
        targets: np.ndarray,
        how: search.Options,
        one: bool,
    ) -> SearchResult:
        apply = self.differentiable_apply(how.straight_through)
        return _unstacked(search.search(apply, objective, starts, targets, how), one)

    def _shape(self, start: ArrayLike | None) -> tuple[int, ...]:
        """Return the shape of one image: the start's, or that of the training."""
        if start is None:
            return (self.image_size, self.image_size, len(self.config.model.mean))
        return self._stacked(start)[0].shape[1:]

    def _starts(self, start: ArrayLike | None, n: int, shape: tuple[int, ...]) -> np.ndarray:
        """Return `n` starts of a shape: mid-gray, or what was given, once or for each."""
        if start is None:
            return np.full((n, *shape), 0.5, np.float32)
        stack, _ = self._stacked(start)
        if len(stack) not in (1, n) or stack.shape[1:] != shape:
            raise BadInput(f"a start of shape {np.shape(start)}: give one of {shape}, or {n}")
        return np.broadcast_to(stack, (n, *shape))

    def _stacked(self, images: ArrayLike) -> tuple[np.ndarray, bool]:
        """Return images as (N, H, W, C), and whether it was one."""
        if isinstance(images, str):
            raise BadInput(f"{images!r} is a text: read it by rrjax.read_image(path, network)")
        try:
            stack = np.asarray(images)
        except ValueError as error:
            raise BadInput(
                "images of several shapes: give one shape, as rrjax.read_image reads them"
            ) from error
        one = stack.ndim == 3
        stack = stack[None] if one else stack
        self._check(stack)
        return stack.astype(np.promote_types(stack.dtype, np.float32)), one

    def _check(self, images: np.ndarray | jax.Array) -> None:
        channels = len(self.config.model.mean)
        if images.ndim != 4 or images.shape[-1] != channels:
            raise BadInput(
                f"images of shape {images.shape}: this network takes (N, H, W, {channels})"
            )
        checks.check_pixels("images", images)
        if images.shape[1:3] != (self.image_size, self.image_size):
            sides = f"images of {images.shape[1]} by {images.shape[2]} pixels"
            size = f"{self.image_size} by {self.image_size}"
            if not takes(self.apply, images.shape[1:]):
                raise BadInput(f"{sides}: this network takes {size}")
            warnings.warn(f"{sides}: this network learned {size}", stacklevel=3)


def takes(function: Callable, shape: tuple[int, ...]) -> bool:
    """Return whether a network's function of one image can take one of this shape."""
    try:
        outputs = jax.eval_shape(function, jax.ShapeDtypeStruct(shape, jnp.float32))
    except (FlaxError, ZeroDivisionError, TypeError, ValueError):
        return False
    return all(0 not in x.shape for x in jax.tree.leaves(outputs))  # an AlexNet's of 32 pixels


def _unstacked(tree: Any, one: bool) -> Any:
    return jax.tree.map(lambda x: x[0], tree) if one else tree


def _listed(value: Any) -> tuple[list, bool]:
    one = isinstance(value, str) or np.ndim(value) == 0
    return ([value] if one else list(value)), one


@partial(jax.jit, static_argnames="stages")
def _forward(apply: Apply, images: jax.Array, *, stages: tuple[str, ...] | None):
    logits, reps = jax.vmap(apply)(images)
    unknown = sorted(set(stages or ()) - set(reps))
    if unknown:
        raise BadInput(f"stages={unknown}: this network has {', '.join(sorted(reps))}")
    return logits, reps if stages is None else {stage: reps[stage] for stage in stages}


@partial(jax.jit, static_argnames="method")
def _attributed(apply: Apply, mean: Any, images: jax.Array, labels: jax.Array, *, method: str):
    def one(image: jax.Array, label: jax.Array) -> jax.Array:
        return attribution.of_logit(method, apply, label, image, mean)

    return jax.vmap(one)(images, labels)
