"""What pictures does a classifier make?

Santurkar et al. (2019), "Image Synthesis with a Single (Robust) Classifier": generation,
inpainting, super-resolution, translation to another class, sketches to images, painting with a
feature. All are gradient steps on an input. Numbers: whether *another* network (the standard one
for the robust one's pictures, and the other way round) sees the class that was asked for, and how
near a completed picture is to the original; before the steps, and after.

python -m rrjax.study --config=configs/synthesis.py --workdir=runs/quickstart
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from rrjax import data, runs
from rrjax.core import attack, synthesis, vmapped
from rrjax.core.vmapped import in_parts
from rrjax.errors import BadInput
from rrjax.evaluate import metrics
from rrjax.runs import figures, report

SHOWN = 10  # images a picture shows; the numbers are over all of them
SEEN = "seen as the class by the other network"
NEAR = "PSNR with the original, dB"
INSIDE = "share of the change in the patch"


def run(config, workdir: str) -> None:
    """Do every task with every network."""
    networks = runs.load_networks(config)
    size = next(iter(networks.values())).config.data.image_size
    _check(config, size)
    rng = np.random.default_rng(config.seed)
    material = _material(next(iter(networks.values())).config, config, rng)
    runs.make_folder(workdir)
    rows, shown = [], []
    bar = tqdm(total=len(networks) * len(TASKS), disable=None, desc="synthesis", unit="task")
    with bar:
        for name, network in networks.items():
            judge = networks[runs.other_network(name, networks)]
            for task, make in TASKS.items():
                start, made, label = make(network, material, config)
                measure, scores = _scores(task, start, made, label, material, judge)
                summary = {k: metrics.summarize(v, config.seed) for k, v in scores.items()}
                rows.append({"network": name, "task": task, "measure": measure, **summary})
                file = f"synthesis_{task.replace(' ', '_')}_{list(networks).index(name)}"
                grid = {"start": start[:SHOWN], "made": made[:SHOWN]}
                if measure == NEAR:
                    grid["original"] = material["images"][:SHOWN]
                shown.append((figures.save_grid(workdir, file, grid), f"{task}, {name}"))
                bar.update()
    runs.publish(workdir, config, _section(config, rows, shown), {"rows": rows})


def _check(config, size: int) -> None:
    counts = ("steps", "fill_steps", "coarse_steps", "paint_steps", "grain", "coarse", "batch_size")
    wrong = [f"{field}={config[field]}" for field in counts if config[field] < 1]
    if config.n < 2 or wrong:
        raise BadInput(f"n={config.n} (at least 2), {', '.join(wrong)} (at least 1)")
    if size % config.grain or size % config.coarse or not 1 <= config.patch <= size:
        raise BadInput(
            f"grain={config.grain}, coarse={config.coarse}, patch={config.patch}: images have "
            f"{size} pixels, which the first two must divide and the third must not exceed"
        )


def _material(trained, config, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw what all networks begin from: images, labels, starts, patches."""
    images, labels = data.eval_examples(trained, config.n, rng)
    classes = np.arange(config.n) % trained.model.classes
    pool, kinds = data.examples(trained, "train", 30 * trained.model.classes, rng)
    starts = [
        synthesis.seeds(pool[kinds == kind], 1, config.grain, rng)[0]
        for kind in classes
        if (kinds == kind).sum() > 1
    ]
    if len(starts) < config.n:
        raise BadInput(
            f"too few of {len(pool)} training images are of some of the {trained.model.classes} "
            "classes to draw starts of each"
        )
    size = images.shape[1]
    mask = np.zeros((config.n, size, size, 1), np.float32)
    corners = rng.integers(0, size - config.patch + 1, (config.n, 2))
    for i, (row, column) in enumerate(corners):
        mask[i, row : row + config.patch, column : column + config.patch] = 1
    return {
        "images": images,
        "labels": labels,
        "classes": classes,
        "other": (labels + 1) % trained.model.classes,
        "starts": np.stack(starts),
        "mask": mask,
    }


def _moved(network, start, label, config, prefix: str = ""):
    options = {field: config[prefix + field] for field in ("eps", "step_size", "steps")}
    move = partial(attack.adversaries, network.apply, targeted=True, **options)
    return start, in_parts(move, config.batch_size, start, label), label


def _generation(network, material, config):
    return _moved(network, material["starts"], material["classes"], config)


def _translation(network, material, config):
    return _moved(network, material["images"], material["other"], config)


def _sketches(network, material, config):
    start = synthesis.sketches(material["images"])
    return _moved(network, start, material["labels"], config)


def _super_resolution(network, material, config):
    small = synthesis.coarse(material["images"], config.coarse)
    start = synthesis.enlarged(small, config.coarse).astype(np.float32)
    return _moved(network, start, material["labels"], config, "coarse_")


@jax.jit
def _filled(apply, images, masks, labels, **options):
    return jax.vmap(partial(synthesis.inpaint, apply, **options))(images, masks, labels).x


def _inpainting(network, material, config):
    images, mask = material["images"], material["mask"]
    start = np.where(mask == 1, images.mean((1, 2), keepdims=True), images)
    options = {"eps": config.fill_eps, "step_size": config.fill_step_size}
    options |= {"steps": config.fill_steps, "weight": config.fill_weight}
    fill = partial(_filled, network.apply, **options)
    return start, in_parts(fill, config.batch_size, start, mask, material["labels"]), None


@jax.jit
def _painted(apply, images, masks, units, **options):
    return jax.vmap(partial(synthesis.paint, apply, **options))(images, masks, units).x


def _painting(network, material, config):
    images = material["images"]
    _, known = vmapped.represent_images(network.apply, images, config.batch_size)
    unit = vmapped.alive_units(known, 1, np.random.default_rng(config.seed))[0]
    options = {"eps": config.paint_eps, "step_size": config.paint_step_size}
    paint = partial(_painted, network.apply, steps=config.paint_steps, **options)
    units = np.full(len(images), unit)
    return images, in_parts(paint, config.batch_size, images, material["mask"], units), None


TASKS = {
    "generation": _generation,
    "translation": _translation,
    "sketches": _sketches,
    "super-resolution": _super_resolution,
    "inpainting": _inpainting,
    "painting": _painting,
}


def _scores(task: str, start, made, label, material, judge) -> tuple[str, dict]:
    """Measure a task before and after its steps."""
    if task in ("generation", "translation", "sketches"):
        return SEEN, {
            when: np.asarray(judge(images)[0]).argmax(-1) == label
            for when, images in (("before", start), ("after", made))
        }
    if task == "painting":
        change = (made - start) ** 2
        inside = (change * material["mask"]).sum((1, 2, 3)) / (change.sum((1, 2, 3)) + 1e-12)
        return INSIDE, {"before": material["mask"].mean((1, 2, 3)), "after": inside}
    original = jnp.asarray(material["images"])
    return NEAR, {
        when: metrics.image_similarity(jnp.asarray(images), original)["psnr"]
        for when, images in (("before", start), ("after", made))
    }


def _section(config, rows: list[dict], shown: list) -> report.Section:
    return report.Section(
        name="synthesis",
        title="Pictures made with a classifier",
        text=[
            "Gradient steps on an input: towards a class, from a Gaussian fitted to its images "
            "(generation), an image of another class (translation), the edges of an image "
            "(sketches) or a coarse image (super-resolution); within a patch, towards the image's "
            "class (inpainting) or a unit (painting).",
            f"n = {config.n}; mean and 95 % bootstrap interval over images, before the steps and "
            "after. Before painting, the share is the patch's of the image.",
        ],
        header=["task", "network", "measure", "before", "after"],
        rows=[
            [row["task"], row["network"], row["measure"]]
            + [report.with_interval(row[when]) for when in ("before", "after")]
            for row in sorted(rows, key=lambda row: list(TASKS).index(row["task"]))
        ],
        figures=shown,
    )
