"""Every plot of lines or points has labeled axes with units, a legend, and intervals."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from rrjax.evaluate import accuracy
from rrjax.runs import figures, training_curves
from rrjax.runs.report import spread
from rrjax.study import (
    boundary,
    manifold,
    masking,
    proximity,
    reconstruction,
    retraining,
    tradeoff,
    training_eps,
)


def summary(mean):
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 9, "interval": "t"}


NETWORKS = ("standard", "robust")
FITTED = [
    {
        "attribution": "gradient",
        "norm": "l2",
        "eps": eps,
        "network": f"eps {eps}",
        "accuracy": summary(0.9 - 0.1 * eps),
        "roar": spread([0.1, 0.2, 0.1 * eps]),
    }
    for eps in (0.0, 1.0, 2.0)
]


def draw_accuracy(workdir):
    config = ConfigDict({"norm": "l2", "eps": (0.0, 1.0), "steps": (20,), "record": 0})
    config.update(random_start="none", standard="a", robust="b")
    cells = [{"steps": 20, "eps": eps, **summary(0.9 - eps / 2)} for eps in config.eps]
    accuracy._section(config, dict.fromkeys(NETWORKS, cells), {}, workdir)


def draw_proximity(workdir):
    rows = [
        {"network": name, "radius": radius, "distance": summary(1 / radius)}
        for name in NETWORKS
        for radius in (0.5, 1.0, proximity.FREE)
    ]
    proximity._curves(workdir, rows)


def draw_masking(workdir):
    result = {"loss": [summary(1.0), summary(2.0)], "accuracy": {"clean": summary(0.9)}}
    config = ConfigDict({"curve": (1, 2), "norm": "l2", "eps": 1.0, "far": 4.0, "source": "a"})
    config.update(steps=20, more_steps=100, restarts=2)
    masking._section(config, dict.fromkeys(NETWORKS, result), workdir)


def draw_reconstruction(workdir):
    rows = [{"images": "test images", "eps": eps, "psnr": summary(20 + eps)} for eps in (0.0, 1.0)]
    reconstruction._curve(workdir, rows)


def draw_retraining(workdir):
    curves = {
        (name, each, False): np.array([[0.9, 0.5, 0.1], [0.9, 0.6, 0.1]]) + shift
        for name, each, shift in (("robust", "gradient", 0.0), ("", "random", 0.2))
    }
    config = ConfigDict({"percents": (50,)})
    retraining._picture(workdir, "ROAR", {"robust", ""}, curves, config)


def draw_strength(workdir):
    retraining._by_strength(workdir, ("ROAR",), FITTED)


def draw_tradeoff(workdir):
    tradeoff._picture(workdir, "ROAR", {("gradient", "l2"): FITTED})


def draw_training_eps(workdir):
    curves = {f"accuracy at eps {eps}": [summary(0.5), summary(0.6)] for eps in (0, 1)}
    curves |= {score: [summary(0.5), summary(0.6)] for score in training_eps.SCORES}
    training_eps._pictures(workdir, curves, ConfigDict({"train_eps": (0.0, 1.0)}))


def draw_manifold(workdir):
    distances = np.random.default_rng(0).gamma(4.0, size=(2, 50))
    rows = [{"network": "none", "loss": "", "distance": distances[0]}]
    rows += [{"network": "robust", "loss": "margin", "distance": distances[1]}]
    manifold._curves(workdir, rows, [np.full(50, True)] * 2, ConfigDict({"losses": ("margin",)}))


def draw_boundary(workdir):
    points = np.random.default_rng(0).uniform(-1, 1, (40, 2)).astype(np.float32)
    labels = (points[:, 0] > 0).astype(int)
    panels = {name: (lambda grid: grid[:, 0], points[labels == 1]) for name in NETWORKS}
    figures.save_planes(workdir, "boundary", points, labels, panels)


def draw_training(workdir):
    epochs = np.linspace(0, 5, 300)
    metrics = {"train_loss": 1 / (1 + epochs), "test_accuracy": epochs / 5}
    log = {metric: np.empty((2, 0)) for metric in training_curves.COLUMNS}
    log |= {metric: np.array([epochs, values]) for metric, values in metrics.items()}
    training_curves._pictures(workdir, {"runs/robust": log})


# Each with what stands on its axes: a unit, or of what a share or a count.
PLOTS = {
    draw_accuracy: [("pixels in [0,1]", "share of images")],
    draw_proximity: [("l2 radius, pixels in [0,1]", "normalized distance of R(x)")],
    draw_masking: [("steps of PGD", "cross-entropy, nats")],
    draw_reconstruction: [("pixels in [0,1]", "PSNR, dB")],
    draw_retraining: [("% of pixels removed", "accuracy")],
    draw_strength: [("strength of training / the strongest", "ROAR, difference of accuracy")],
    draw_tradeoff: [("share of images", "ROAR, difference of accuracy")],
    draw_training_eps: [
        ("l2 eps of training, pixels in [0,1]", axis)
        for axis in ("share of images", "correlation", "normalized distance")
    ],
    draw_manifold: [("l2 distance from the manifold, pixels in [0,1]", "per unit of l2")],
    draw_boundary: [("first coordinate", "second coordinate"), ("first coordinate", "")],
    draw_training: [("epoch", "loss"), ("epoch", "share of images")],
}


@pytest.mark.parametrize("draw", PLOTS, ids=lambda draw: draw.__name__)
def test_a_plot_has_axes_with_units_a_legend_and_intervals(draw, tmp_path, monkeypatch):
    drawn = []
    save = figures._save

    def saved(figure, *rest):
        drawn.append(figure)
        return save(figure, *rest)

    monkeypatch.setattr(figures, "_save", saved)
    draw(str(tmp_path))
    axes = [axis for figure in drawn for axis in figure.axes]
    assert len(axes) == len(PLOTS[draw])
    for axis, (xlabel, ylabel) in zip(axes, PLOTS[draw], strict=True):
        assert xlabel in axis.get_xlabel() and ylabel in axis.get_ylabel()
        assert axis.axison and len(axis.get_xticks()) > 2 and len(axis.get_yticks()) > 2
    for figure in drawn:
        assert figure.legends or figure.axes[0].get_legend().get_texts()
        if draw is not draw_boundary:  # which shows every point
            assert (
                figure.axes[0].get_legend().get_title().get_text().startswith(("band: ", "bars: "))
            )
    for suffix in (".png", ".svg"):
        assert len([*(tmp_path / "figures").glob(f"*{suffix}")]) == len(drawn)


def test_a_network_of_tradeoff_has_bars_of_both_its_numbers(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda figure, *rest: drawn.append(figure))
    draw_tradeoff(tmp_path)
    (container,) = drawn[0].axes[0].containers
    _, _, (across, along) = container.lines
    expected = [(row["accuracy"], row["roar"]) for row in FITTED]
    for bars, i in ((across, 0), (along, 1)):
        ends = [tuple(segment[:, i]) for segment in bars.get_segments()]
        np.testing.assert_allclose(ends, [(row[i]["low"], row[i]["high"]) for row in expected])


def test_the_density_is_a_gaussian_at_each_value_with_the_interval_of_a_mean():
    values, axis = np.array([1.0, 2.0, 4.0]), np.array([0.5, 2.0])
    width = 0.25 * values.std(ddof=1)
    heights = np.exp(-(((axis[:, None] - values) / width) ** 2) / 2) / width / np.sqrt(2 * np.pi)
    points = manifold._density(values, axis)
    np.testing.assert_allclose([p["mean"] for p in points], heights.mean(1))
    reach = 1.96 * heights[1].std(ddof=1) / np.sqrt(3)
    assert points[1]["high"] == pytest.approx(heights[1].mean() + reach)
    assert all(p["low"] >= 0 for p in points)


def test_points_of_the_boundary_lie_where_the_text_says(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(figures, "save_planes", lambda *a: given.update(points=a[2], panels=a[4]))
    points = np.array([[0.0, 0.5], [1.0, 0.25]], np.float32)
    network = boundary.NETWORK.init(boundary.jax.random.key(0), points[0])["params"]
    boundary._picture(str(tmp_path), points, np.array([0, 1]), {"standard": (network, points)})
    np.testing.assert_array_equal(given["points"], [[-1, 0], [1, -0.5]])
    score, attacked = given["panels"]["standard"]
    np.testing.assert_array_equal(attacked, [[1, -0.5]])
    logits, _ = boundary._network(network)(points[1])
    np.testing.assert_allclose(score(attacked), [logits[1] - logits[0]], rtol=1e-5)
