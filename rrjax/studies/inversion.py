"""Does an image's representation determine the image? Standard and robust side by side.

Engstrom et al. (2019), section 3.1, Figures 3, 6 and 13-15: starting from noise or from another
image, move an image until its representation is the target's, for test images and for images from
elsewhere. A robust network gives the target back; a standard one gives something else.

python -m rrjax.study --config=configs/inversion.py --workdir=runs/quickstart
"""

import numpy as np
from tqdm import tqdm

from rrjax import data, figures, metrics, report, representation, runs
from rrjax.data import outside
from rrjax.errors import BadInput

SHOWN = 10  # images a grid shows; the numbers are over all of them
SCORES = ("distance", "correlation", "ssim", "psnr")


def run(config, workdir: str) -> None:
    """Invert with every network of the config."""
    if config.n < 2 or config.steps < 0:
        raise BadInput(
            f"n={config.n}, steps={config.steps}: give n of at least 2, steps of 0 or more"
        )
    networks = runs.load_networks(config)
    targets, starts = _images(next(iter(networks.values())).config, config)
    runs.make_folder(workdir)
    cells = [(t, s) for t in targets for s in starts]
    bar = tqdm(total=len(networks) * len(cells), disable=None, desc="inversion", unit="grid")
    rows, shown = [], []
    with bar:
        for target, start in cells:
            grid = {"target": targets[target], "start": starts[start]}
            for name, network in networks.items():
                images, distance = representation.invert_images(
                    network.apply,
                    network.straight_through if config.straight_through else network.apply,
                    starts[start],
                    targets[target],
                    eps=config.eps,
                    step_size=config.step_size,
                    steps=config.steps,
                    keep=config.keep,
                )
                scores = {"distance": distance, **metrics.likeness(images, targets[target])}
                summary = {k: metrics.summarize(scores[k], config.seed) for k in SCORES}
                rows.append({"network": name, "target": target, "start": start, **summary})
                grid[name] = images
                bar.update()
            file = f"inversion_{target}_from_{start}".replace(" ", "_")
            grid = {label: images[:SHOWN] for label, images in grid.items()}
            caption = f"{target}, started from {start}"
            shown.append((figures.save_grid(workdir, file, grid), caption))
    runs.write_results(workdir, "inversion", {"config": config.to_dict(), "rows": rows})
    section = _section(config, rows, shown)
    report.write_report(workdir, section)
    print(report.text_table(section.header, section.rows))


def _images(trained, config) -> tuple[dict, dict]:
    """Choose targets and starts, by name, each (n, H, W, C), float in [0,1]; the seed decides."""
    rng = np.random.default_rng(config.seed)
    chosen = data.test_images(trained, 2 * config.n, rng)
    size, channels, n = chosen.shape[1], chosen.shape[-1], config.n
    targets = {
        "test images": chosen[:n],
        "photographs": outside.photographs(n, size, channels, config.seed),
        "patterns": outside.patterns(n, size, channels, config.seed),
    }
    starts = {
        "noise": representation.noise(chosen[:n].shape, rng),
        "other test images": chosen[n:],
    }
    unknown = (set(config.targets) - set(targets)) | (set(config.starts) - set(starts))
    if unknown:
        raise BadInput(
            f"inversion has no {sorted(unknown)}: targets are {sorted(targets)}, "
            f"starts are {sorted(starts)}"
        )
    return {k: targets[k] for k in config.targets}, {k: starts[k] for k in config.starts}


def _section(config, rows: list[dict], shown: list[tuple[str, str]]) -> report.Section:
    return report.Section(
        name="inversion",
        title="Representation inversion",
        text=[
            "Each column: an image is moved from its start, by normalised gradient steps alone, "
            "until its representation is the target's. Where the representation holds what people "
            "see, the target comes back; where it does not, something else has the same "
            "representation.",
            f"n = {config.n} images; {config.steps} l2 steps of {config.step_size:g}; mean and "
            "95 % bootstrap interval over images. Distance is |R(x) - R(target)| / |R(target)|; "
            "correlation, SSIM and PSNR (dB) compare pixels with the target's.",
        ],
        header=["target", "start", "network", *SCORES],
        rows=[
            [row["target"], row["start"], row["network"]]
            + [report.with_interval(row[score]) for score in SCORES]
            for row in rows
        ],
        figures=shown,
    )
