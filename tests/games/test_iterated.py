"""Memory-one strategies: the table of exact values, limits, zero-determinant lines, and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.games.iterated import (
    MEMORY_ONE,
    memory_one_average,
    memory_one_chain,
    memory_one_values,
    zero_determinant,
)
from jaxmarl.games.zoo import matching_pennies, prisoners_dilemma

SHORT = {
    "TFT": "tit_for_tat",
    "STFT": "suspicious_tit_for_tat",
    "GTFT": "generous_tit_for_tat",
    "WSLS": "win_stay_lose_shift",
    "EXT3": "extortion_3",
    "GRIM": "grim",
    "ALLC": "all_cooperate",
    "ALLD": "all_defect",
    "RND": "random",
}
# (own, opponent's) at γ = 0.96, with payoffs -1, -3, 0, -2 and with 3, 0, 5, 1
TABLE = {
    "TFT-TFT": (-1, -1, 3, 3),
    "TFT-ALLD": (-2.04, -1.92, 0.96, 1.16),
    "ALLC-ALLD": (-3, 0, 0, 5),
    "RND-RND": (-1.5, -1.5, 2.25, 2.25),
    "TFT-RND": (-1.52, -1.46, 2.22, 2.32),
    "TFT-STFT": (-1.530612, -1.469388, 2.448980, 2.551020),
    "WSLS-ALLD": (-2.510204, -0.979592, 0.489796, 3.040816),
    "GTFT-ALLD": (-2.36, -1.28, 0.64, 2.44),
    "GTFT-STFT": (-1.141079, -1.029046, 2.821577, 3.008299),
    "EXT3-ALLC": (-0.668966, -1.662069, 3.662069, 2.006897),
    "EXT3-RND": (-1.350318, -1.799363, 2.474522, 1.726115),
    "EXT3-WSLS": (-1.301625, -1.788796, 2.557229, 1.745278),
    "EXT3-EXT3": (-1.801981, -1.801981, 1.434406, 1.434406),
    "EXT3-TFT": (-1.689726, -1.779691, 1.631000, 1.481059),
    "GRIM-RND": (-1.076923, -2.346154, 2.884615, 0.769231),
}


@pytest.fixture(scope="module")
def dilemmas():
    """Both prisoner's dilemmas `[2, 2, 2, 2]`."""
    games = prisoners_dilemma(-1, -3, 0, -2), prisoners_dilemma()
    return np.stack([np.asarray(game.payoffs, np.float64) for game in games])


def strategies(pairs):
    return (np.array([MEMORY_ONE[SHORT[pair.split("-")[k]]] for pair in pairs]) for k in (0, 1))


values = jax.jit(jax.vmap(jax.vmap(memory_one_values, (None, None, 0, None)), (0, 0, None, None)))
averages = jax.jit(jax.vmap(memory_one_average, (0, 0, None)))


def test_table(dilemmas):
    p, q = strategies(TABLE)
    wanted = np.array(list(TABLE.values())).reshape(-1, 2, 2)
    with jax.enable_x64(True):
        np.testing.assert_allclose(values(p, q, dilemmas, 0.96), wanted, atol=6e-7)
    single = values(*(jnp.asarray(x, jnp.float32) for x in (p, q, dilemmas)), 0.96)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, wanted, atol=6e-6)


def test_single_precision_up_to_0_999(dilemmas):
    p, q = strategies(TABLE)
    with jax.enable_x64(True):
        exact = np.asarray(values(p, q, dilemmas, 0.999))
    single = values(*(jnp.asarray(x, jnp.float32) for x in (p, q, dilemmas)), 0.999)
    np.testing.assert_allclose(single, exact, atol=1e-3)


def test_limit_and_extortion(dilemmas):
    pairs = ("EXT3-ALLC", "EXT3-RND", "EXT3-WSLS")
    p, q = strategies(pairs)
    with jax.enable_x64(True):
        limits = np.asarray(averages(p, q, dilemmas[1]))
        near = np.asarray(values(p, q, dilemmas, 1 - 1e-7))[:, 1]
    wanted = [[41 / 11, 21 / 11], [2.5625, 1.520833], [26 / 11, 16 / 11]]
    np.testing.assert_allclose(limits, wanted, atol=6e-7)
    np.testing.assert_allclose(near, limits, atol=1e-5)
    np.testing.assert_allclose((limits[:, 0] - 1) / (limits[:, 1] - 1), 3.0, rtol=1e-10)


def test_zero_determinant_strategies(dilemmas):
    axelrod = dilemmas[1]
    np.testing.assert_allclose(zero_determinant(axelrod, 3.0, 1.0), MEMORY_ONE["extortion_3"], atol=1e-12)
    opponents = np.random.default_rng(0).uniform(size=(50, 5))
    with jax.enable_x64(True):
        for slope, baseline, discount in ((3.0, 1.0, 1.0), (1.5, 3.0, 1.0), (3.0, 1.0, 0.96), (2.0, 3.0, 0.96)):
            opening = 0.0 if baseline == 1 else 1.0
            p = zero_determinant(axelrod, slope, baseline, discount=discount, opening=opening)
            assert p.min() >= 0
            assert p.max() <= 1
            p = np.broadcast_to(p, (50, 5))
            v = averages(p, opponents, axelrod) if discount == 1 else values(p, opponents, dilemmas, discount)[:, 1]
            np.testing.assert_allclose(v[:, 0] - baseline, slope * (v[:, 1] - baseline), atol=1e-9)
    with pytest.raises(ValueError, match="slope"):
        zero_determinant(axelrod, 0.5, 2.0)  # the opponent would gain more from each unit
    with pytest.raises(ValueError, match="strength"):
        zero_determinant(axelrod, 3.0, 1.0, strength=0.0)


def test_chain_by_playing(dilemmas):
    """Values as sums over rounds of a chain built outcome by outcome."""
    p, q = np.random.default_rng(1).uniform(size=(2, 5))
    first, transition = (np.asarray(x) for x in memory_one_chain(jnp.asarray(p), jnp.asarray(q)))
    np.testing.assert_allclose(transition.sum(1), 1.0, rtol=1e-6)
    # after (C, D) the first player reads p[CD], the second q[DC]
    np.testing.assert_allclose(transition[1], np.outer([p[2], 1 - p[2]], [q[3], 1 - q[3]]).ravel(), rtol=1e-6)
    law, total = first.astype(np.float64), np.zeros(2)
    for t in range(400):
        total += (1 - 0.9) * 0.9**t * dilemmas[0].reshape(2, 4) @ law
        law = law @ transition
    np.testing.assert_allclose(memory_one_values(*(jnp.asarray(x) for x in (p, q, dilemmas[0])), 0.9), total, rtol=1e-5)


def test_gradient_and_matching_pennies(dilemmas):
    pennies = np.asarray(matching_pennies().payoffs, np.float64)
    rng = np.random.default_rng(2)
    p, q = rng.uniform(0.1, 0.9, size=(2, 5))
    with jax.enable_x64(True):
        uniform = values(rng.uniform(size=(50, 5)), np.full((50, 5), 0.5), pennies[None], 0.96)
        np.testing.assert_allclose(uniform, 0.0, atol=1e-12)
        own = jax.jit(jax.value_and_grad(lambda p: memory_one_values(p, q, dilemmas[0], 0.96)[0]))
        gradient = own(p)[1]
        for i in range(5):
            step = 1e-5 * np.eye(5)[i]
            up, down = (float(own(p + s)[0]) for s in (step, -step))
            np.testing.assert_allclose(gradient[i], (up - down) / 2e-5, rtol=1e-6, atol=1e-9)
