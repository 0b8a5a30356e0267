"""Laws of the one loop: geometry, best and last iterate, stop rule, independence of the batch."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrjax import BadInput
from rrjax.core.pgd import l2_ball, l2_step, linf_ball, linf_step, pgd, raw_step, unit_cube

SHAPE = (4, 4, 3)


def interior(seed):
    """An image far enough from 0 and 1 that the cube never binds."""
    return jax.random.uniform(jax.random.key(seed), SHAPE, minval=0.4, maxval=0.6)


def linear(seed=0):
    weights = jax.random.normal(jax.random.key(seed), SHAPE)
    return lambda x: jnp.sum(weights * x)


@pytest.mark.parametrize(
    ("step", "distance"),
    [
        (l2_step(0.1), lambda d: jnp.linalg.norm(d)),
        (linf_step(0.1), lambda d: jnp.max(jnp.abs(d))),
        (linf_step(0.1), lambda d: jnp.min(jnp.abs(d))),
    ],
)
def test_one_step_moves_by_step_size(step, distance):
    x = interior(0)
    moved = pgd(linear(), x, project=unit_cube, step=step, steps=1).x
    np.testing.assert_allclose(distance(moved - x), 0.1, rtol=1e-5)


def test_raw_step_is_the_gradient_itself():
    x = jnp.array([0.5, 0.5])
    result = pgd(
        lambda x: x @ jnp.array([1.0, -2.0]), x, project=unit_cube, step=raw_step(0.1), steps=1
    )
    np.testing.assert_allclose(result.x, [0.4, 0.7], rtol=1e-6)


@pytest.mark.parametrize("step", [l2_step(1.0), linf_step(1.0), raw_step(1.0)])
def test_a_zero_gradient_moves_nothing(step):
    x = interior(0)
    result = pgd(
        lambda x: 0.0 * jnp.sum(x), x, project=unit_cube, step=step, steps=3, return_iterate="last"
    )
    np.testing.assert_array_equal(result.x, x)


@cache
def searches(norm, return_iterate):
    """Compile one search a norm; everything hypothesis draws is traced."""
    ball, step = {"l2": (l2_ball, l2_step), "linf": (linf_ball, linf_step)}[norm]

    @jax.jit
    def search(weights, center, start, eps, step_size, steps):
        return pgd(
            lambda x: jnp.sum(weights * x), start,
            project=ball(center, eps), step=step(step_size), steps=steps,
            return_iterate=return_iterate,
        )  # fmt: skip

    return search


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 1000),
    eps=st.floats(0.0, 3.0),
    step_size=st.floats(0.0, 2.0),
    steps=st.integers(0, 5),
    return_iterate=st.sampled_from(["best", "last"]),
)
def test_ball_and_cube_hold_and_the_best_is_no_worse_than_the_start(
    seed, eps, step_size, steps, return_iterate
):
    center = jax.random.uniform(jax.random.key(seed), SHAPE)
    start = jax.random.normal(jax.random.key(seed + 1), SHAPE)  # outside both sets
    weights = jax.random.normal(jax.random.key(seed + 2), SHAPE)
    for norm, distance in (("l2", np.linalg.norm), ("linf", lambda d: np.abs(d).max())):
        search = searches(norm, return_iterate)
        result = search(weights, center, start, eps, step_size, steps)
        assert distance((result.x - center).ravel()) <= eps + 1e-5
        assert result.x.min() >= 0.0 and result.x.max() <= 1.0
        np.testing.assert_allclose(result.value, jnp.sum(weights * result.x), rtol=1e-4, atol=1e-4)
        if return_iterate == "best":
            first = search(weights, center, start, eps, step_size, 0)
            assert result.value <= first.value + 1e-5


@pytest.mark.parametrize("ball", [l2_ball, linf_ball])
def test_projection_leaves_members_alone_and_is_idempotent(ball):
    center = interior(0)
    inside = center + 0.001
    project = ball(center, 0.1)
    np.testing.assert_allclose(project(inside), inside, rtol=1e-6)
    outside = project(interior(1) + 0.3)
    np.testing.assert_allclose(project(outside), outside, atol=1e-6)
    np.testing.assert_array_equal(ball(center, 0.0)(outside), center)


def test_l2_projection_by_hand():
    project = l2_ball(jnp.array([0.5, 0.5]), 0.25)
    np.testing.assert_allclose(project(jnp.array([0.8, 0.9])), [0.65, 0.7], atol=1e-6)


def test_best_is_the_first_of_equals_and_last_is_the_last():
    # Values seen from 0.5 in steps of 0.1: the objective rises at once and then is flat.
    objective = lambda x: jnp.where(x[0] > 0.45, 1.0 + 0.0 * x[0], 5.0 + x[0])  # noqa: E731
    step = optax.stateless(lambda g, _: jnp.full_like(g, -0.02))
    search = partial(pgd, objective, jnp.array([0.5]), project=unit_cube, step=step, steps=5)
    np.testing.assert_allclose(search(return_iterate="best").x, [0.5])
    np.testing.assert_allclose(search(return_iterate="last").x, [0.4], rtol=1e-6)


def test_zero_steps_return_the_projected_start():
    result = pgd(linear(), jnp.full(SHAPE, 2.0), project=unit_cube, step=l2_step(1.0), steps=0)
    np.testing.assert_array_equal(result.x, jnp.ones(SHAPE))


def test_stop_freezes_each_image_by_itself():
    target = lambda x: jnp.sum(x)  # noqa: E731
    starts = jnp.array([[0.9], [0.5], [0.1]])
    search = partial(
        pgd, target, project=unit_cube, step=linf_step(0.1), steps=6, return_iterate="last",
        stop=lambda x: x[0] < 0.35,
    )  # fmt: skip
    result = jax.vmap(search)(starts)
    np.testing.assert_allclose(result.x[:, 0], [0.3, 0.3, 0.1], atol=1e-6)


def test_one_image_does_not_depend_on_its_batch():
    starts = jnp.stack([interior(s) for s in range(3)])
    weights = jax.random.normal(jax.random.key(9), SHAPE)
    objective = lambda x: jnp.sum(jnp.sin(7 * weights * x))  # noqa: E731
    search = jax.jit(
        jax.vmap(partial(pgd, objective, project=unit_cube, step=l2_step(0.1), steps=9))
    )
    np.testing.assert_allclose(search(starts).x[:1], search(starts[:1]).x, atol=1e-6)


def test_any_optax_transformation_is_a_step():
    x = jnp.full((3,), 0.9)
    result = pgd(
        lambda x: jnp.sum((x - 0.2) ** 2), x, project=unit_cube, step=optax.adam(0.05), steps=200
    )
    np.testing.assert_allclose(result.x, 0.2, atol=1e-2)


def test_no_gradient_flows_through_the_search():
    def outer(weight):
        objective = lambda x: jnp.sum((weight * x - 1.0) ** 2)  # noqa: E731
        result = pgd(objective, jnp.array([0.1]), project=unit_cube, step=raw_step(0.1), steps=3)
        return jnp.sum(result.x) + result.value

    assert jax.grad(outer)(2.0) == 0.0


def test_steps_may_be_traced():
    def search(steps):
        return pgd(linear(), interior(0), project=unit_cube, step=l2_step(0.01), steps=steps)

    np.testing.assert_allclose(jax.jit(search)(5).x, search(5).x, atol=1e-6)


def test_unknown_keep_is_named():
    with pytest.raises(BadInput, match="return_iterate='first'"):
        pgd(
            linear(),
            interior(0),
            project=unit_cube,
            step=l2_step(1.0),
            steps=1,
            return_iterate="first",
        )
