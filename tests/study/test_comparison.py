"""What studies share: differences in pairs of examples."""

import numpy as np
import pytest

from rrjax.study import comparison


def test_differences_are_in_pairs_with_the_first_network():
    first = {"psnr": np.arange(8.0), "right": np.arange(8) < 4}
    second = {"psnr": np.arange(8.0) + 1, "right": np.arange(8) < 6}
    row = comparison.in_pairs(second, first, 0)
    # Each is more by 1, whatever they are: the interval of the pairs has no width.
    more = row["psnr_more"]
    assert [more[key] for key in ("mean", "low", "high")] == pytest.approx([1, 1, 1])
    assert row["psnr"]["high"] - row["psnr"]["low"] > 3
    assert row["right_more"]["mean"] == 0.25 and row["right_more"]["interval"] == "t"
    assert comparison.in_pairs(first, first, 0).keys() == {"psnr", "right"}
