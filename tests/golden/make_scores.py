"""Write scores.npz for test_interpretability.py: `python tests/golden/make_scores.py`.

Needs quantus (made with 0.6.0; it runs without torch). Of importance maps, float32 (N, H, W): their
Sparseness and Complexity. Of images (N, H, W, C), maps, labels and the kernel of the network
softmax(tanh(image . kernel)): PixelFlipping, two pixels at a time, to 0.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import quantus

QUIET = {"disable_warnings": True}


def scores_of_maps(rng, size):
    maps = rng.random((3, size, size)).astype(np.float32) ** 4
    scores = {"sparseness": quantus.Sparseness(**QUIET), "complexity": quantus.Complexity(**QUIET)}
    found = {
        name: metric.evaluate_batch(x_batch=None, a_batch=maps.astype(np.float64))
        for name, metric in scores.items()
    }
    return {"maps": maps} | found


def flipping(rng, channels):
    images = rng.random((2, 6, 6, channels)).astype(np.float32)
    maps = rng.random((2, 6, 6)).astype(np.float32)
    kernel = rng.standard_normal((images[0].size, 3)).astype(np.float32)
    labels = np.array([2, 0])

    def predict(x):
        scores = np.exp(np.tanh(x.transpose(0, 2, 3, 1).reshape(len(x), -1) @ kernel))
        return scores / scores.sum(1, keepdims=True)

    # All that PixelFlipping asks of a network; it takes (N, C, H, W).
    network = SimpleNamespace(predict=predict, shape_input=lambda x, shape, **_: x.reshape(shape))
    # It flips the elements of a map as wide as the image, and is silent on the whole image.
    metric = quantus.PixelFlipping(features_in_step=2 * channels, perturb_baseline=0.0, **QUIET)
    curves = metric.evaluate_batch(
        model=network,
        x_batch=images.transpose(0, 3, 1, 2).astype(np.float64),
        y_batch=labels,
        a_batch=maps[:, None],
    )
    return {"images": images, "maps": maps, "kernel": kernel, "labels": labels, "curves": curves}


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    cases = {f"maps{size}": scores_of_maps(rng, size) for size in (8, 28)}
    cases |= {f"flipping{channels}": flipping(rng, channels) for channels in (1, 3)}
    arrays = {f"{case}/{k}": v for case, found in cases.items() for k, v in found.items()}
    np.savez_compressed(Path(__file__).with_name("scores.npz"), **arrays)
