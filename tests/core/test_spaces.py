"""Spaces: membership, sampling, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import Box, Discrete


def draws(space, count=1000) -> np.ndarray:
    return np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), count)))


def test_discrete_samples_every_element_and_nothing_else():
    x = draws(Discrete(5))
    assert x.dtype == np.int32
    assert set(x) == set(range(5))


@pytest.mark.parametrize(
    ("x", "inside"), [(0, True), (2, True), (3, False), (-1, False), (1.0, False), ([1], False), (True, False)]
)
def test_discrete_contains(x, inside):
    assert bool(Discrete(3).contains(x)) is inside


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_discrete_refuses(n):
    with pytest.raises(ValueError, match=r"^n must be an integer >= 1"):
        Discrete(n)


@pytest.mark.parametrize(
    ("x", "inside"),
    [
        ([0.0, 1.0], True),
        ([-1.0, 2.0], True),
        ([0.0, 2.1], False),
        ([0.0, np.nan], False),
        ([0.0, np.inf], False),
        ([0.0], False),
        ([0, 1], False),
    ],
)
def test_box_contains(x, inside):
    assert bool(Box(-1.0, 2.0, (2,)).contains(jnp.asarray(x))) is inside


def test_unbounded_box_contains_infinities_but_not_nan():
    box = Box(-jnp.inf, jnp.inf)
    assert bool(box.contains(jnp.inf))
    assert not bool(box.contains(jnp.nan))


@pytest.mark.parametrize(
    "box",
    [
        Box(-1.0, 2.0, (3,)),
        Box(-jnp.inf, jnp.inf, (2, 2)),
        Box(0.0, jnp.inf),
        Box(-jnp.inf, -1.0),
        Box(-1, 2, (4,), jnp.int32),
    ],
)
def test_box_samples_lie_in_it(box):
    x = draws(box)
    assert x.shape == (1000, *box.shape)
    assert x.dtype == box.dtype
    assert bool(jax.vmap(box.contains)(x).all())
    assert len(np.unique(x)) > 3 or np.issubdtype(x.dtype, np.integer) or box.low == -jnp.inf


def test_integer_box_samples_both_ends():
    assert set(draws(Box(-1, 2, (), jnp.int32))) == {-1, 0, 1, 2}


def test_box_refuses_an_empty_range():
    with pytest.raises(ValueError, match=r"^low must be below high \(1\), got 1"):
        Box(1, 1)


def test_spaces_are_values():
    assert Box(0.0, 1.0, (2,)) == Box(0.0, 1.0, (2,))
    assert hash(Discrete(3)) == hash(Discrete(3))
    assert Discrete(3) != Discrete(4)


def test_contains_is_traceable():
    assert bool(jax.jit(Discrete(3).contains)(2))
    assert not bool(jax.jit(Box(0.0, 1.0).contains)(2.0))


def test_a_box_shows_as_it_is_made():
    assert repr(Box(-1, 2.5, (3,))) == "Box(low=-1, high=2.5, shape=(3,), dtype=float32)"
    assert "dtype=int32" in repr(Box(0, 2, (), jnp.int32))
