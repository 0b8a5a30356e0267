"""Pictures made with a classifier: generation, inpainting, super-resolution, translation, sketches.

python -m rrjax.study --config=configs/synthesis.py --workdir=runs/quickstart

The settings are for digits of 16 pixels; beside them those of Santurkar et al. (2019) for 224, and
in brackets for CIFAR-10.
"""

from rrjax.runs import defaults


def get_config():
    config = defaults.study("synthesis")
    config.n = 30  # images of each task
    config.steps = 60  # towards a class: generation, translation, sketches; the paper's: 60
    config.eps = 8.0  # 40 (30)
    config.step_size = 0.2  # 1 (0.5)
    config.grain = 2  # block of pixels of the starts of generation; 4 (1)
    config.patch = 6  # pixels, side of what is filled in or painted; 60
    config.fill_steps = 200  # 720
    config.fill_eps = 4.0  # 21.6
    config.fill_step_size = 0.05  # 0.1
    config.fill_weight = 10.0  # 10
    config.coarse = 2  # pixels averaged, and by which super-resolution enlarges; 8 (7)
    config.coarse_steps = 40  # 40 (50)
    config.coarse_eps = 2.0  # 8 (15)
    config.coarse_step_size = 0.1  # 1 (1)
    config.paint_steps = 140  # 140
    config.paint_eps = 8.0  # 70
    config.paint_step_size = 0.1  # 1
    return config.lock()
