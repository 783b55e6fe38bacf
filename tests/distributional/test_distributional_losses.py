"""Losses against values computed by hand, and where they are least."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.distributional import losses, risk
from jaxmarl.distributional.law import Law
from jaxmarl.distributional.quantile import midpoint_levels, uniform_quantile

GRID = np.linspace(-1, 1, 5)


@jax.jit
def c51(logits, next_logits, grid):
    target = losses.categorical_q_target(next_logits, 0.3, 0.9, grid)
    double = losses.categorical_q_target(next_logits, 0.3, 0.9, grid, jnp.array([1.0, 0.0]))
    slope = jax.grad(lambda z: losses.categorical_loss(z, target))(logits)
    return target, losses.categorical_loss(logits, target), losses.categorical_loss(logits, double), slope


def test_c51_loss_and_its_double_variant():
    logits, next_logits = np.array([0, -0.5, 0.5, 1, 0]), np.array([[1.0, 0, 0, 0, -1], [-1, 0, 0.5, 0, 1]])
    with jax.enable_x64(True):
        found = c51(jnp.asarray(logits), jnp.asarray(next_logits), jnp.asarray(GRID))
    target, plain, double, slope = (np.asarray(part) for part in found)
    np.testing.assert_allclose(target, [0.0109246, 0.0882426, 0.20185779, 0.22112231, 0.4778527], atol=5e-8)
    np.testing.assert_allclose([plain, double], [1.6641922, 1.8743146], atol=5e-8)
    probs = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(slope, probs - target, atol=1e-12)


@jax.jit
def quantile_losses(values, action_values):
    levels = midpoint_levels(4)
    best = 0.3 + 0.9 * action_values[jnp.argmax(action_values.mean(1))]

    def loss(theta, kappa, scaled=True):
        return losses.quantile_huber_loss(theta, levels, best, kappa, scaled=scaled)

    expected = losses.quantile_huber_loss(
        values,
        levels,
        0.3 + 0.9 * action_values.ravel(),
        1.0,
        target_weights=jnp.repeat(jnp.array([0.25, 0.75]), 4) / 4,
    )
    plain = jnp.stack([loss(values, 0), loss(values, 1), loss(values, 0.5), loss(values, 0.5, False), expected])
    return plain, jax.grad(loss)(values, 0)


def test_quantile_huber_loss_and_its_expected_variant():
    action_values = np.array([[0, 0.5, 1, 1.5], [-1, 0, 3, 4]])
    with jax.enable_x64(True):
        found, slope = quantile_losses(jnp.arange(-1.0, 3.0), jnp.asarray(action_values))
    np.testing.assert_allclose(found, [2.85, 2.1140625, 2.4634375, 1.23171875, 1.71636719], atol=5e-9)
    np.testing.assert_allclose(slope, [-0.125, -0.125, -0.125, -0.375], atol=1e-12)


@jax.jit
def implicit(key):
    levels = losses.sample_levels(key, (4000,))
    averse = losses.sample_levels(key, (4000,), risk.cvar_distortion(0.25).sampling)
    # quantiles of the uniform law are the levels themselves: stationary for the pinball loss at any sampled levels
    targets = (jnp.arange(1000) + 0.5) / 1000
    slope = jax.grad(lambda t: losses.quantile_huber_loss(t, levels[:8], targets, 0.0))(levels[:8])
    return levels, averse, slope, losses.cosine_embedding(levels[:3], 4)


def test_implicit_quantiles_are_sampled_bent_and_embedded():
    levels, averse, slope, embedded = (np.asarray(part) for part in implicit(jax.random.key(0)))
    np.testing.assert_allclose(averse, levels / 4, atol=1e-7)
    np.testing.assert_allclose(averse.mean(), 0.125, atol=4 * 0.25 / np.sqrt(12 * 4000))  # cvar of the uniform law
    np.testing.assert_allclose(slope, 0, atol=2e-3)
    np.testing.assert_allclose(embedded, np.cos(np.pi * np.arange(4) * levels[:3, None]), atol=1e-5)


@jax.jit
def fractions_and_particles(fractions):
    def quantiles(u):
        return u**2

    def exact(inner):  # W1 between the law with quantiles u^2 and its values at midpoints, by a fine grid
        edges = jnp.concatenate([jnp.zeros(1), inner, jnp.ones(1)])
        middles = (edges[1:] + edges[:-1]) / 2
        # ∫ |u^2 - m^2| over a stretch, split at its middle
        rising = (edges[1:] ** 3 - middles**3) / 3 - middles**2 * (edges[1:] - middles)
        falling = middles**2 * (middles - edges[:-1]) - (middles**3 - edges[:-1] ** 3) / 3
        return jnp.sum(rising + falling)

    def loss(inner):
        edges = jnp.concatenate([jnp.zeros(1), inner, jnp.ones(1)])
        return losses.fraction_loss(inner, quantiles(inner), quantiles((edges[1:] + edges[:-1]) / 2))

    particles, targets = jnp.array([-1.0, 0.5, 2.0]), jnp.array([0.0, 1.0, 3.0])
    distance, pull = jax.value_and_grad(losses.mmd_loss)(particles, targets)
    at_target = losses.mmd_loss(targets, targets)
    squared = losses.expectile_loss(particles, jnp.full(3, 0.5), targets)
    slope = jax.grad(lambda e: losses.expectile_loss(e, jnp.full(1, 0.25), jnp.array([-4.0, 0, 2, 5])))
    root = risk.expectile(uniform_quantile(jnp.array([-4.0, 0, 2, 5])), 0.25)
    return (
        jax.grad(loss)(fractions),
        jax.grad(exact)(fractions),
        (distance, at_target),
        pull,
        squared,
        slope(root[None]),
    )


def test_fraction_gradient_is_that_of_w1_and_particles_are_drawn_to_targets():
    found = fractions_and_particles(jnp.array([0.2, 0.35, 0.8]))
    by_rule, by_w1, (distance, at_target), pull, squared, at_root = (jax.tree.map(np.asarray, part) for part in found)
    np.testing.assert_allclose(by_rule, by_w1, atol=1e-6)
    # 2 mean|x-y| - mean|x-x'| - mean|y-y'|, over all pairs
    np.testing.assert_allclose(distance, (2 * 14.5 - 12 - 12) / 9, atol=1e-6)
    np.testing.assert_allclose(at_target, 0, atol=1e-6)
    assert np.all(pull < 0)  # descent moves every particle up
    errors = np.array([0.0, 1, 3])[None] - np.array([-1.0, 0.5, 2])[:, None]
    np.testing.assert_allclose(squared, (errors**2).mean(1).sum() / 2, rtol=1e-6)
    np.testing.assert_allclose(at_root, 0, atol=1e-6)


@jax.jit
def classified(values):
    edges, wide = jnp.linspace(-1, 1, 11), jnp.linspace(-10, 10, 52)
    fine = jnp.linspace(-1, 1, 21)
    probs = losses.hl_gauss_targets(values, edges)
    far = losses.hl_gauss_targets(jnp.asarray(3.7), wide)
    asked = jnp.concatenate([jnp.linspace(-0.5, 0.5, 101), jnp.array([-1.0, 1.0])])
    bias = jnp.abs(losses.hl_gauss_targets(asked, fine) @ losses.bin_centres(fine) - asked)
    bias = jnp.max(bias[:101]), jnp.max(bias[101:])
    return probs, probs @ losses.bin_centres(edges), (far.max(), far @ losses.bin_centres(wide)), bias


def test_hl_gauss_targets():
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, classified(jnp.array([0.3, 0, 0.95, 1])))
    probs, means, (peak, far), (inside, at_ends) = found
    row = [0.02232111, 0.22974276, 0.49501568, 0.22974276, 0.02232111, 0.00042753]
    np.testing.assert_allclose(probs[0, 4:], row, atol=5e-9)
    np.testing.assert_allclose(probs[1, 4:6], 0.40878878, atol=5e-9)
    np.testing.assert_allclose(means[[0, 2, 3]], [0.29999878, 0.84652560, 0.86197067], atol=5e-9)
    np.testing.assert_allclose([peak, far], [0.42827189, 3.69999925], atol=5e-9)
    assert inside < 5e-7
    np.testing.assert_allclose(at_ends, 0.069, atol=5e-4)


@jax.jit
def itakura_saito(differences, levels):
    def slope(loss, value, target, aversion):
        return jax.grad(loss)(value, target, aversion)

    over = jax.vmap(jax.vmap(lambda d, a: losses.itakura_saito_loss(0.0, d, a), (0, None)), (None, 0))
    slopes = jax.vmap(lambda d: slope(losses.itakura_saito_loss, 0.0, d, 0.5))
    by_level = [
        jax.vmap(lambda v, loss=loss: slope(loss, v, v + 0.5, 1.0))(levels)
        for loss in (losses.itakura_saito_loss, losses.exponential_loss)
    ]
    far = jnp.array([-9.9, -10.1, -50.0])
    extreme = jax.vmap(lambda d: jnp.stack([losses.itakura_saito_loss(0.0, d, 1.0),
                                            slope(losses.itakura_saito_loss, 0.0, d, 1.0)]))(far)  # fmt: skip
    return over(differences, jnp.array([0.5, 1.0, 0.0])), slopes(differences), by_level, extreme


def test_itakura_saito_loss_depends_on_the_difference_alone():
    levels = np.array([-20.0, -10, 0, 10, 20])
    with jax.enable_x64(True):
        found = itakura_saito(jnp.array([-2, -0.5, 0, 0.5, 2]), jnp.asarray(levels))
    values, slopes, (flat, steep), extreme = jax.tree.map(np.asarray, found)
    np.testing.assert_allclose(values[0], [2.87312731, 0.13610167, 0, 0.11520313, 1.47151776], atol=5e-9)
    np.testing.assert_allclose(values[1], [4.38905610, 0.14872127, 0, 0.10653066, 1.13533528], atol=5e-9)
    np.testing.assert_allclose(values[2], [2, 0.125, 0, 0.125, 2], atol=1e-12)  # no aversion: the square loss
    np.testing.assert_allclose(slopes, [3.43656366, 0.56805083, 0, -0.44239843, -1.26424112], atol=5e-9)
    np.testing.assert_allclose(flat, -0.39346934, atol=5e-9)
    np.testing.assert_allclose(steep, [-9.26e16, -1.909e8, -0.3934693, -8.11e-10, -1.67e-18], rtol=1e-3)
    # beyond the limit the exponential goes on as its tangent
    top = np.exp(10)
    np.testing.assert_allclose(extreme[:, 0], [np.exp(9.9) - 10.9, top * 1.1 - 11.1, top * 41 - 51], rtol=1e-10)
    np.testing.assert_allclose(extreme[:, 1], [np.exp(9.9) - 1, top - 1, top - 1], rtol=1e-9)


def test_itakura_saito_loss_is_least_at_the_certainty_equivalent():
    outcomes, chances = jnp.array([-3.0, 0, 2]), jnp.array([0.2, 0.5, 0.3])

    @jax.jit
    def at_equivalent(aversion):
        value = risk.entropic(Law(outcomes, chances), aversion)

        def expected(guess):
            return jnp.sum(chances * losses.itakura_saito_loss(guess, outcomes, aversion))

        return value, jax.grad(expected)(value), jax.grad(jax.grad(expected))(value)

    found = [at_equivalent(jnp.float32(aversion)) for aversion in (0.1, 1, 3)]
    values, slopes, curvatures = np.array(found).T
    np.testing.assert_allclose(values, [-0.15470697, -1.51681886, -2.46362367], atol=2e-6)
    np.testing.assert_allclose(slopes, 0, atol=2e-6)
    np.testing.assert_allclose(curvatures, 1, atol=1e-5)  # E exp(-a δ) = 1 there


@jax.jit
def incomplete_market(aversions, hedges):
    """A stock at 100 goes to 120, 100 or 85; a call struck at 100 is sold, or not. Certainty equivalents and slopes."""
    prices, chances = jnp.array([120.0, 100, 85]), jnp.array([0.3, 0.4, 0.3])

    def equivalent(hedge, aversion, sold):
        wealth = hedge * (prices - 100) - sold * jnp.maximum(prices - 100, 0)
        return risk.entropic(Law(wealth, chances), aversion)

    sold = jnp.array([1.0, 0.0])
    return jax.vmap(jax.vmap(jax.value_and_grad(equivalent), (0, None, 0)), (1, 0, None))(hedges, aversions, sold)


def test_indifference_prices_of_a_call_in_an_incomplete_market():
    aversions = np.array([0.01, 0.05, 0.1])
    hedges = np.array([[1.39337735, 0.73581834, 0.65362344], [0.82194878, 0.16438976, 0.08219488]])
    with jax.enable_x64(True):
        values, slopes = (np.asarray(part) for part in incomplete_market(jnp.asarray(aversions), jnp.asarray(hedges)))
    np.testing.assert_allclose(slopes, 0, atol=1e-6)  # the entropic value is concave in the hedge: these are optimal
    np.testing.assert_allclose(values[:, 1] - values[:, 0], [5.20959827, 5.54841637, 5.93611029], atol=5e-8)


def best_hedge(aversion, sold):
    """Wealth at the two nodes after the first of three steps, each up or down by a tenth, and the first holding."""
    values = -sold * np.maximum(100 * 1.1 ** np.arange(4) * 0.9 ** (3 - np.arange(4)) - 100, 0)
    for step in (2, 1, 0):
        price = 100 * 1.1 ** np.arange(step + 1) * 0.9 ** (step - np.arange(step + 1))
        delta = -np.diff(values) / (0.2 * price)
        hedge = delta + np.log(1.5) / (aversion * price * 0.2)  # log-odds of 0.6 over those of the fair 0.5
        after = values
        wealth = np.stack([after[1:] + hedge * price * 0.1, after[:-1] - hedge * price * 0.1], -1)
        values = -np.log(np.exp(-aversion * wealth) @ [0.6, 0.4]) / aversion
    return after[::-1], hedge[0]


@jax.jit
@jax.value_and_grad
def after_one_step(hedge, following):
    return risk.entropic(Law(following + hedge * jnp.array([10.0, -10]), jnp.array([0.6, 0.4])), 0.05)


def test_prices_of_a_call_in_a_complete_market():
    with jax.enable_x64(True):
        (after, own), (claimed, hedge) = best_hedge(0.05, 0.0), best_hedge(0.05, 1.0)
        without, _ = after_one_step(own, jnp.asarray(after))
        short, slope = after_one_step(hedge, jnp.asarray(claimed))
    divergence = 0.5 * np.log(0.5 / 0.6) + 0.5 * np.log(0.5 / 0.4)
    np.testing.assert_allclose([float(without), 3 * divergence / 0.05], 1.22465984, atol=5e-9)
    np.testing.assert_allclose([float(short), float(without) - float(short)], [-6.25034016, 7.475], atol=5e-9)
    np.testing.assert_allclose(hedge, 0.525 + 0.40546511, atol=5e-9)
    np.testing.assert_allclose(slope, 0, atol=1e-9)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="kappa"):
        losses.quantile_huber_loss(jnp.zeros(2), jnp.zeros(2), jnp.zeros(2), -1.0)
    with pytest.raises(ValueError, match="ratio"):
        losses.hl_gauss_targets(jnp.zeros(2), jnp.arange(3.0), 0.0)
    with pytest.raises(ValueError, match="num_frequencies"):
        losses.cosine_embedding(jnp.zeros(2), 0)


def test_rlax_losses_are_alike():
    """Of random transitions of three actions, with and without an end."""
    rlax = pytest.importorskip("rlax")
    draws, levels, atoms = np.random.default_rng(0), midpoint_levels(4), jnp.linspace(-2.0, 2.0, 6)
    now, after, judge = (jnp.asarray(draws.normal(size=(16, 3, 6)), jnp.float32) for _ in range(3))
    action, reward = jnp.arange(16) % 3, jnp.asarray(draws.normal(size=16), jnp.float32)
    discount = jnp.where(jnp.arange(16) % 5 == 0, 0.0, 0.9)

    def one(now, after, judge, action, reward, discount):
        def ours(selector=None):
            target = losses.categorical_q_target(after, reward, discount, atoms, selector)
            return losses.categorical_loss(now[action], target)

        theirs = (
            rlax.categorical_q_learning(atoms, now, action, reward, discount, atoms, after),
            rlax.categorical_double_q_learning(atoms, now, action, reward, discount, atoms, after, judge @ atoms),
            rlax.quantile_q_learning(
                now[:, :4].T, levels, action, reward, discount, after[:, :4].T, after[:, :4].T, huber_param=1.0
            ),
        )
        best = jnp.argmax(jnp.mean(after[:, :4], -1))
        quantile = losses.quantile_huber_loss(now[action, :4], levels, reward + discount * after[best, :4], 1.0)
        return (ours(), ours(judge @ atoms), quantile), theirs

    found, expected = jax.jit(jax.vmap(one))(now, after, judge, action, reward, discount)
    np.testing.assert_allclose(jnp.stack(found), jnp.stack(expected), rtol=2e-5, atol=1e-6)
