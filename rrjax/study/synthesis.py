"""What pictures does a classifier make?

Santurkar et al. (2019), "Image Synthesis with a Single (Robust) Classifier": generation,
inpainting, super-resolution, translation to another class, sketches to images, painting with a
feature. All are gradient steps on an input. Numbers: whether *another* network (the standard one
for the robust one's pictures, and the other way round) sees the class that was asked for, and how
near a completed picture is to the original; before the steps, and after.

python -m rrjax.study --config=configs/synthesis.py --workdir=runs/quickstart
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from rrjax import BadInput, data, runs
from rrjax.core import attack, synthesis
from rrjax.evaluate import metrics
from rrjax.runs import figures
from rrjax.study.comparison import (
    choose_units,
    in_pairs,
    part_cache,
    publish,
    require,
    searched_images,
)

SHOWN = 10  # images a picture shows; the numbers are over all of them

# What is measured of a task's images.
IS_CLASS = "seen as the class by the other network"
PSNR = "PSNR with the original, dB"
IN_PATCH = "share of the change in the patch"

COLUMNS = {
    "task": "task",
    "network": "network",
    "measure": "measure",
    "before": "before",
    "after": "after",
    "gained": "gained",
}


class Material(NamedTuple):
    """What all networks begin from; n images each, float in [0,1].

    images: (n, H, W, C), of the test set. labels: their classes, (n,). other_labels: for each
    another class, (n,). classes: those to generate, (n,). seeds: images to generate them from,
    (n, H, W, C). patches: masks, (n, H, W, 1), 1 where an image is filled or painted.
    """

    images: np.ndarray
    labels: np.ndarray
    other_labels: np.ndarray
    classes: np.ndarray
    seeds: np.ndarray
    patches: np.ndarray


class Result(NamedTuple):
    """What a task starts from and what it makes, (n, H, W, C) each, and for which classes (n,)."""

    start: np.ndarray
    output: np.ndarray
    labels: np.ndarray


def run(config: ConfigDict, workdir: str) -> None:
    """Do every task with every network."""
    counts = ("steps", "fill_steps", "coarse_steps", "paint_steps", "grain", "coarse", "batch_size")
    require(config, n=max(2, len(config.first_images)), **dict.fromkeys(counts, 1))
    networks = runs.load_networks(config)
    trained = next(iter(networks.values())).config
    _check_sizes(config, trained.data.image_size)
    material = _material(trained, config)
    runs.make_folder(workdir)
    caches = {name: part_cache(workdir, config, name, each) for name, each in networks.items()}
    rows, firsts, pictures = [], {}, []
    for task, (perform, measure) in TASKS.items():
        for number, (name, network) in enumerate(networks.items()):
            evaluator = networks[runs.other_network(name, networks)]
            label = f"synthesis, {task}, {name}"

            def search(step, *stacks, cached=caches[name], label=label):
                return searched_images(cached, label, step, config.batch_size, *stacks)

            result = perform(network, material, config, search)
            scores = _scores(measure, result, material, evaluator)
            names = {"network": name, "task": task, "measure": measure}
            first = firsts.setdefault(task, scores)
            rows.append(names | in_pairs(scores, first, config.seed))
            grid = {"start": result.start, "output": result.output}
            if measure == PSNR:
                grid["original"] = material.images
            pictures.append(_picture(workdir, task, name, number, grid))
    publish(
        workdir, config, "Pictures made with a classifier", _text(config), rows, COLUMNS, pictures
    )


def _check_sizes(config, size: int) -> None:
    if size % config.grain or size % config.coarse or not 1 <= config.patch <= size:
        raise BadInput(
            f"grain={config.grain}, coarse={config.coarse}, patch={config.patch}: images have "
            f"{size} pixels, which the first two must divide and the third must not exceed"
        )


def _material(trained: ConfigDict, config) -> Material:
    """Draw what all networks begin from; the seed decides."""
    rng = np.random.default_rng(config.seed)
    images, labels = data.eval_examples(trained, config.n, rng, config.first_images)
    classes = np.arange(config.n) % trained.model.classes
    return Material(
        images=images,
        labels=labels,
        other_labels=(labels + 1) % trained.model.classes,
        classes=classes,
        seeds=_seeds(trained, classes, config.grain, rng),
        patches=_patches(config.n, images.shape[1], config.patch, rng),
    )


def _seeds(trained: ConfigDict, classes, grain: int, rng: np.random.Generator) -> np.ndarray:
    """Draw an image for each of the classes, from a Gaussian fitted to its training images."""
    n = min(30 * trained.model.classes, len(data.create_source(trained.data, "train")))
    pool, labels = data.examples(trained, "train", n, rng)
    seeds = [
        synthesis.seeds(pool[labels == label], 1, grain, rng)[0]
        for label in classes
        if (labels == label).sum() > 1
    ]
    if len(seeds) < len(classes):
        raise BadInput(
            f"too few of {len(pool)} training images are of some of the {trained.model.classes} "
            "classes to draw starts of each"
        )
    return np.stack(seeds)


def _patches(n: int, size: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n masks, (n, size, size, 1): 1 in a square of `side` pixels, 0 elsewhere."""
    patches = np.zeros((n, size, size, 1), np.float32)
    corners = rng.integers(0, size - side + 1, (n, 2))
    for patch, (row, column) in zip(patches, corners, strict=True):
        patch[row : row + side, column : column + side] = 1
    return patches


def _towards_class(
    network: runs.Frozen, start, labels, config, search: Callable, prefix: str = ""
) -> Result:
    options = {field: config[prefix + field] for field in ("eps", "step_size", "steps")}
    step = partial(attack.adversaries, network.apply, targeted=True, **options)
    return Result(start, search(step, start, labels), labels)


def _generation(network: runs.Frozen, material: Material, config, search: Callable) -> Result:
    return _towards_class(network, material.seeds, material.classes, config, search)


def _translation(network: runs.Frozen, material: Material, config, search: Callable) -> Result:
    return _towards_class(network, material.images, material.other_labels, config, search)


def _sketches(network: runs.Frozen, material: Material, config, search: Callable) -> Result:
    start = synthesis.sketches(material.images)
    return _towards_class(network, start, material.labels, config, search)


def _super_resolution(network: runs.Frozen, material: Material, config, search: Callable) -> Result:
    small = synthesis.coarse(material.images, config.coarse)
    start = synthesis.enlarged(small, config.coarse).astype(np.float32)
    return _towards_class(network, start, material.labels, config, search, "coarse_")


def _inpainting(network: runs.Frozen, material: Material, config, search: Callable) -> Result:
    images, patches, labels = material.images, material.patches, material.labels
    start = np.where(patches == 1, images.mean((1, 2), keepdims=True), images)
    options = {"eps": config.fill_eps, "step_size": config.fill_step_size}
    options |= {"steps": config.fill_steps, "weight": config.fill_weight}
    fill = partial(_fill, network.differentiable_apply(config.straight_through), **options)
    return Result(start, search(fill, start, patches, labels), labels)


@jax.jit
def _fill(apply, images, masks, labels, **options):
    return jax.vmap(partial(synthesis.inpaint, apply, **options))(images, masks, labels).x


def _painting(network: runs.Frozen, material: Material, config, search: Callable) -> Result:
    images, patches = material.images, material.patches
    (unit,), _ = choose_units(network, images, 1, config)
    options = {"eps": config.paint_eps, "step_size": config.paint_step_size}
    options |= {"steps": config.paint_steps}
    paint = partial(_paint, network.differentiable_apply(config.straight_through), **options)
    units = np.full(len(images), unit)
    return Result(images, search(paint, images, patches, units), material.labels)


@jax.jit
def _paint(apply, images, masks, units, **options):
    return jax.vmap(partial(synthesis.paint, apply, **options))(images, masks, units).x


TASKS = {
    "generation": (_generation, IS_CLASS),
    "translation": (_translation, IS_CLASS),
    "sketches": (_sketches, IS_CLASS),
    "super-resolution": (_super_resolution, PSNR),
    "inpainting": (_inpainting, PSNR),
    "painting": (_painting, IN_PATCH),
}


def _scores(
    measure: str, result: Result, material: Material, evaluator
) -> dict[str, metrics.Array]:
    """Measure every image before the steps of a task and after them, and what they gain, (n,)."""
    start, output, labels = result
    if measure == IN_PATCH:
        patches = material.patches
        # Of a change that is the same everywhere, the patch has its share of the pixels.
        before, after = patches.mean((1, 2, 3)), _share_in(patches, output - start)
    elif measure == IS_CLASS:
        before, after = (_is_class(evaluator, images, labels) for images in (start, output))
    else:
        before, after = (_psnr(images, material.images) for images in (start, output))
    gained = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    return {"before": before, "after": after, "gained": gained}


def _share_in(patches: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Return the share of the squared change of images (n, H, W, C) that lies in patches: (n,)."""
    squares = change**2
    return (squares * patches).sum((1, 2, 3)) / (squares.sum((1, 2, 3)) + 1e-12)


def _is_class(evaluator, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which images the evaluator, images -> (logits, reps), gives their labels: (n,)."""
    logits, _ = evaluator(images)
    return np.asarray(logits).argmax(-1) == labels


def _psnr(images: np.ndarray, originals: np.ndarray) -> metrics.Array:
    """Return the PSNR, in dB, of images (n, H, W, C) with their originals: (n,)."""
    return metrics.image_similarity(images, originals)["psnr"]


def _picture(workdir, task: str, name: str, number: int, grid: dict) -> tuple[str, str]:
    file = f"synthesis_{task.replace(' ', '_')}_{number}"
    shown = {label: images[:SHOWN] for label, images in grid.items()}
    return figures.save_grid(workdir, file, shown), f"{task}, {name}"


def _text(config) -> list[str]:
    return [
        "Gradient steps on an input: towards a class, from a Gaussian fitted to its images "
        "(generation), an image of another class (translation), the edges of an image (sketches) "
        "or a coarse image (super-resolution); within a patch, towards the image's class "
        "(inpainting) or a unit (painting).",
        f"n = {config.n}; mean and 95 % interval over images, before the steps and "
        "after. Before painting, the share is the patch's of the image.",
    ]
