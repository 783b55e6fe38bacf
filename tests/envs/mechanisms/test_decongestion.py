"""Decongestion by representation: all masks, full information, the penalty's part, and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.envs.mechanisms.decongestion_rules import (
    FeatureMarket,
    feature_masks,
    market_outcome,
    perceived_values,
    soft_welfare,
)
from jaxmarl.solvers.mechanisms.representation import learn_representation, straight_through_top_k


@pytest.fixture(scope="module")
def market():
    env, params = make("decongestion")
    masks = jnp.asarray(feature_masks(12, 6), float)

    @jax.jit
    def every(masks):
        soft = [jax.vmap(lambda m, p=p: soft_welfare(params, m, 0.1, p))(masks) for p in (0.0, 0.5)]
        return jax.vmap(lambda m: market_outcome(params, m))(masks), soft

    return env, params, np.asarray(masks), jax.device_get(every(masks))


def test_a_market_by_hand():
    """Two features; both consumers like the first. Seeing it they crowd on item 0; seeing the second they part."""
    market = FeatureMarket(jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[0.6, 0.4], [0.9, -0.5]]), jnp.zeros(2))
    crowded, parted = (market_outcome(market, jnp.array(mask)) for mask in ([1.0, 0.0], [0.0, 1.0]))
    assert float(crowded.welfare) == pytest.approx((0.6 + 0.9) / 2)
    assert float(crowded.congestion) == 1
    assert float(parted.welfare) == pytest.approx(0.4 + 0.9)
    assert float(parted.congestion) == 0


def test_the_optimum_is_the_best_of_924_masks(market):
    env, params, masks, (found, _) = market
    assert len(masks) == 924
    best = env.optimal(params)
    assert best["welfare"] == pytest.approx(found.welfare.max(), abs=1e-5)
    assert best["welfare"] > env.benchmarks(params)["full_welfare"] * 20
    _, reward, _, info = env.transition(env.initial((), params), jnp.asarray(best["mask"])[None], (), params)
    assert float(reward[0]) * 20 == pytest.approx(best["welfare"], abs=1e-4)
    assert float(info["congestion"]) == best["congestion"]


def test_showing_everything_is_full_information(market):
    _, params, _, _ = market
    full = perceived_values(params, jnp.ones(12))
    np.testing.assert_allclose(full, params.weights @ params.features.T, atol=1e-6)


def test_without_a_penalty_there_is_more_congestion(market):
    """The masks that maximise the differentiable stand-in, with λ = 0 and with λ = 0.5."""
    _, _, _, (found, (free, penalised)) = market
    assert found.congestion[free.argmax()] > found.congestion[penalised.argmax()]
    assert found.welfare[free.argmax()] < found.welfare[penalised.argmax()]


def test_slopes_of_a_mask_are_finite_and_not_all_zero(market):
    params = market[1]
    logits = jnp.linspace(-1, 1, 12)

    def worth(logits):
        return soft_welfare(params, straight_through_top_k(logits, 6, 1.0), 0.1, 0.5)

    slopes = np.asarray(jax.jit(jax.grad(worth))(logits))
    assert np.all(np.isfinite(slopes))
    assert np.abs(slopes).max() > 1e-3


@pytest.mark.slow
def test_gradients_find_a_representation_among_the_best(market):
    _, params, masks, (_, (_, penalised)) = market
    learned = jax.jit(learn_representation, static_argnums=1)(params, 6, jax.random.key(0))
    row = int(np.flatnonzero((masks == np.asarray(learned.mask)).all(axis=1))[0])
    assert np.mean(penalised > penalised[row]) < 0.02
    assert float(learned.trace[-20:].mean()) > float(learned.trace[:20].mean())


def test_masks_are_hard_and_their_slopes_are_not():
    scores = jnp.array([3.0, 1.0, 2.0, 0.0, -1.0])
    np.testing.assert_array_equal(straight_through_top_k(scores, 2, 0.5), [1, 0, 1, 0, 0])
    slopes = jax.jacobian(lambda s: straight_through_top_k(s, 2, 0.5))(scores)
    # the border, 1.5, moves by half of each of its neighbours; sigmoid slopes at ±1 are .196612 / .5
    assert float(slopes[2, 2]) == pytest.approx(0.196612, abs=1e-5)
    assert float(slopes[1, 2]) == pytest.approx(-0.196612, abs=1e-5)
    assert float(slopes[3, 3]) > 0


def test_features_shown_are_those_of_highest_scores(market):
    env = market[0]
    scores = np.random.default_rng(0).random(12)
    mask = np.asarray(env.shown(jnp.asarray(scores)))
    assert set(np.flatnonzero(mask)) == set(np.argsort(scores)[-6:])
    np.testing.assert_array_equal(env.shown(jnp.zeros(12)), [1.0] * 6 + [0.0] * 6)
