"""How much memory a study takes: images that do not exist before they are read, and a bound."""

import gc
import tracemalloc

import numpy as np

from rrjax.configs import robust_digits
from rrjax.data import sources
from rrjax.data.datasets import Images


def synthetic(n):
    """Make n images of 64 pixels, 48 KB each as pixels, none of which exists before it is read."""
    config = robust_digits.get_config()
    config.data.update(image_size=64, resize=64)
    image = np.zeros((64, 64, 3), np.uint8)
    source = sources.Source("synthetic", lambda i: image + np.uint8(i % 251), np.zeros(n), ("a",))
    return Images(source, config.data, np.arange(n))


def grows_less(limit, function, few, many, *arguments):
    """Say whether a call takes less than `limit` bytes more, at once, of many images than of few.

    What JAX still holds of the last part, when the next is begun, differs from call to call: one of
    five of many has to, beside the least of five of few.
    """
    least = min(_peak(function, few, *arguments) for _ in range(5))
    return any(_peak(function, many, *arguments) - least < limit for _ in range(5))


def _peak(function, *arguments):
    gc.collect()
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
