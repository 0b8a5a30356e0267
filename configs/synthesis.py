"""Pictures made with a classifier: generation, inpainting, super-resolution, translation, sketches.

python -m rrjax.study --config=configs/synthesis.py --workdir=runs/quickstart

The settings are for digits of 16 pixels. Those of Santurkar et al. (2019), for networks of 224
pixels: --config=configs/synthesis.py:paper; for CIFAR-10: --config=configs/synthesis.py:cifar10.
Their unit to paint belongs to their own network, and so do others: give --config.first_units.
"""

from rrjax.runs import defaults

SETTINGS = ("small", "paper", "cifar10")


def get_config(settings="small"):
    config = defaults.study("synthesis", settings, SETTINGS)
    config.n = 30  # images of each task
    config.first_images = ()  # as in configs/visualization.py
    config.first_units = ()  # the unit to paint with; (): one is drawn
    config.steps = 60  # towards a class: generation, translation, sketches; the paper's
    config.eps = 8.0
    config.step_size = 0.2
    config.grain = 2  # block of pixels of the starts of generation
    config.patch = 6  # pixels, side of what is filled in or painted
    config.fill_steps = 200
    config.fill_eps = 4.0
    config.fill_step_size = 0.05
    config.fill_weight = 10.0  # the paper's
    config.coarse = 2  # pixels averaged, and by which super-resolution enlarges
    config.coarse_steps = 40
    config.coarse_eps = 2.0
    config.coarse_step_size = 0.1
    config.paint_steps = 140  # the paper's
    config.paint_eps = 8.0
    config.paint_step_size = 0.1
    # Of inpainting and painting: whether the last ReLU passes gradients to dead units.
    config.straight_through = False
    if settings == "paper":
        config.n = 90  # 10 of each of the nine classes
        # Theirs translates with networks of two classes, in steps of 0.5 within 80, 200 of them:
        # for such networks set eps, step_size and steps.
        config.update(eps=40.0, step_size=1.0, grain=4, patch=60, straight_through=True)
        config.update(fill_steps=720, fill_eps=21.6, fill_step_size=0.1)
        config.update(coarse=8, coarse_eps=8.0, coarse_step_size=1.0)
        config.update(paint_eps=70.0, paint_step_size=1.0)
        config.first_units = (768,)  # the first of three that they paint with
    if settings == "cifar10":
        config.n = 100  # 10 of each class
        config.update(eps=30.0, step_size=0.5, grain=1, straight_through=True)
        # Theirs enlarges CIFAR-10 by 7 for a network of 224 pixels; 4 is chosen, of those that
        # divide 32. Patches, and what is filled and painted, they did for 224 pixels alone: the
        # patch is as much of the image, radii and steps are the small ones.
        config.update(coarse=4, coarse_steps=50, coarse_eps=15.0, coarse_step_size=1.0, patch=8)
        config.update(fill_steps=720)
    return config.lock()
