"""What is drawn has the declared distribution, shape and structure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxmarl.core import Integers, Key, Normal, Uniform, draw
from jaxmarl.core.chance import _from_words, repeat

COUNT = 2**17
EDGES = jnp.asarray([0, 1, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1], jnp.uint32)


def sample(spec, seed=0, count=COUNT) -> np.ndarray:
    return np.asarray(draw(spec, jax.random.key(seed), (count,)))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0), (1000.0, 1000.001)])
def test_uniform_has_its_range_mean_and_variance(low, high):
    x = sample(Uniform((), low, high)).astype(np.float64)
    width = high - low
    assert x.dtype == np.float64
    assert (x >= np.float32(low)).all()
    assert (x < np.float32(high)).all()
    if width > 0.1:  # else float32 has too few values in between
        assert abs(x.mean() - (low + high) / 2) < 5 * width / np.sqrt(12 * COUNT)
        assert abs(x.var() / (width**2 / 12) - 1) < 0.02
        assert stats.kstest((x - low) / width, "uniform").pvalue > 1e-4


def test_uniform_excludes_high_and_includes_low_at_the_extreme_words():
    for spec in (Uniform(), Uniform((), -3.0, 5.0), Uniform((), 1000.0, 1000.001)):
        x = np.asarray(_from_words(spec, EDGES))
        assert x[0] == np.float32(spec.low)
        assert (x < np.float32(spec.high)).all()


@pytest.mark.parametrize("high", [1, 2, 3, 5, 7, 8, 100, 256, 1000, 1024])
def test_integers_are_uniform(high):
    x = sample(Integers(high))
    assert x.dtype == np.int32
    counts = np.bincount(x, minlength=high)
    assert len(counts) == high
    assert high == 1 or stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("high", [1, 2, 3, 5, 1000, 65535, 65536, 2**20, 2**31])
def test_integers_are_the_high_bits_of_the_product(high):
    words = jnp.concatenate([EDGES, jax.random.bits(jax.random.key(0), (1000,), jnp.uint32)])
    exact = [int(w) * high >> 32 for w in np.asarray(words)]
    np.testing.assert_array_equal(_from_words(Integers(high), words), exact)


def test_the_largest_integers_stay_non_negative():
    x = sample(Integers(2**31))
    assert x.min() >= 0
    assert x.max() > 2**31 - 2**18
    assert int(_from_words(Integers(2**31), EDGES)[-1]) == 2**31 - 1


@pytest.mark.parametrize("high", [0, -1, 2**31 + 1, 2**32, 2**16 + 1, 3 * 2**20, True, 2.0, None])
def test_integers_refuse_a_high_they_cannot_draw_exactly(high):
    with pytest.raises(ValueError, match=r"^high must be [^\n]*$"):
        Integers(high)


def test_normal_is_standard_normal():
    x = sample(Normal()).astype(np.float64)
    error = 5 / np.sqrt(COUNT)
    assert abs(x.mean()) < error
    assert abs(x.var() - 1) < error * np.sqrt(2)
    assert abs((x**3).mean()) < error * np.sqrt(15)
    assert abs((x**4).mean() - 3) < error * np.sqrt(96)
    assert stats.kstest(x, "norm").pvalue > 1e-4


def test_normal_is_finite_and_antisymmetric_at_the_extreme_words():
    x = np.asarray(_from_words(Normal(), EDGES))
    assert np.isfinite(x).all()
    assert x[-1] == -x[0]
    assert 5 < x[-1] < 5.4


def test_leaves_and_rows_are_independent():
    x = draw({"a": Uniform(), "b": Normal((2,)), "c": Integers(7)}, jax.random.key(0), (COUNT,))
    columns = [x["a"][:-1], x["b"][:-1, 0], x["b"][:-1, 1], x["c"][:-1], x["a"][1:], x["b"][1:, 0], x["c"][1:]]
    correlation = np.corrcoef(np.asarray(columns, np.float64)) - np.eye(len(columns))
    assert np.abs(correlation).max() < 5 / np.sqrt(COUNT)
    # and beyond correlation: joint frequencies of two integers cut from neighbouring words
    y, z = (np.asarray(v) for v in draw((Integers(5), Integers(3)), jax.random.key(1), (COUNT,)))
    assert stats.chisquare(np.bincount(3 * y + z, minlength=15)).pvalue > 1e-4


def test_the_key_decides():
    spec = Uniform((4,)), Integers(2**31, (4,)), Normal()
    first, again, other = (draw(spec, jax.random.key(k)) for k in (0, 0, 1))
    assert all(bool((a == b).all()) for a, b in zip(first, again, strict=True))
    assert all(bool((a != b).all()) for a, b in zip(first, other, strict=True))


def test_draw_keeps_the_structure_and_adds_the_batch():
    spec = {"x": Uniform((2,)), "y": (Integers(4), (Normal((3, 1)), ())), "z": Key((2,))}
    drawn = draw(spec, jax.random.key(0), (5, 6))
    assert jax.tree.structure(drawn) == jax.tree.structure({"x": 0, "y": (0, (0, ())), "z": 0})
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype.name), drawn)
    assert shapes["x"] == ((5, 6, 2), "float32")
    assert shapes["y"][0] == ((5, 6), "int32")
    assert shapes["y"][1][0] == ((5, 6, 3, 1), "float32")
    assert drawn["z"].shape == (5, 6, 2)
    words = np.asarray(jax.random.key_data(drawn["z"])).reshape(60, -1)
    assert len(np.unique(words, axis=0)) == 60


def test_nothing_is_drawn_from_nothing():
    assert draw((), jax.random.key(0)) == ()
    assert draw({"a": ()}, jax.random.key(0), (3,)) == {"a": ()}


def test_repeat_is_a_batch_in_the_specification():
    spec = (Uniform((2,)), Integers(5), Key())
    assert repeat(spec, 3, 4) == (Uniform((3, 4, 2)), Integers(5, (3, 4)), Key((3, 4)))
    assert repeat((), 3) == ()
    key = jax.random.key(3)
    for a, b in zip(draw(repeat(spec, 3), key), draw(spec, key, (3,)), strict=True):
        assert bool((a == b).all())


def test_draw_is_the_same_under_jit_and_in_x64():
    spec = (Uniform((), -1.0, 2.0), Normal((2,)), Integers(6), Integers(2**31))
    plain = draw(spec, jax.random.key(0), (64,))
    jitted = jax.jit(lambda key: draw(spec, key, (64,)))(jax.random.key(0))
    with jax.enable_x64(True):
        wide = draw(spec, jax.random.key(0), (64,))
    for a, b, c in zip(plain, jitted, wide, strict=True):
        assert a.dtype == b.dtype == c.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6)
        np.testing.assert_allclose(a, c, rtol=1e-6)
