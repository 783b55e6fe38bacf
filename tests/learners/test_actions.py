"""Distributions of actions: densities integrate to one, entropies are what sampling finds, samples lie in the space."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import Box, Discrete
from jaxmarl.core.chance import draw
from jaxmarl.learners.actions import CategoricalActions, GaussianActions, action_head

INF = math.inf
BOXES = [(-2.0, 3.0), (0.0, INF), (-INF, 1.0), (-INF, INF)]


def outputs_of(head, mean, log_std):
    return jnp.concatenate([jnp.full(head.size, mean), jnp.full(head.size, log_std)])


@pytest.mark.parametrize(("low", "high"), BOXES)
@pytest.mark.parametrize("spread", ["shared", "state"])
def test_squashed_density_and_entropy(low, high, spread):
    """Over a fine grid of draws: `Σ density(a) Δa = 1`, and `-Σ density log density Δa` is the entropy."""
    head = GaussianActions((), low, high, spread=spread, initial_std=1.0)
    outputs = outputs_of(head, 0.3, -0.4)
    raw = jnp.linspace(-7.0, 7.0, 4001)[:, None]
    tiled = jnp.broadcast_to(outputs, (len(raw), 2))
    # sample returns mean + std · chance
    actions, drawn = head.sample(tiled, (raw - 0.3) / math.exp(-0.4))
    np.testing.assert_allclose(drawn, raw, atol=1e-5)
    order = np.argsort(np.asarray(actions))
    a, log_density = np.asarray(actions, np.float64)[order], np.asarray(head.log_prob(tiled, drawn), np.float64)[order]
    assert a.min() >= low
    assert a.max() <= high
    assert abs(np.trapezoid(np.exp(log_density), a) - 1) < 2e-3
    entropy = -np.trapezoid(np.exp(log_density) * log_density, a)
    np.testing.assert_allclose(head.entropy(outputs), entropy, atol=4e-3)


def test_entropy_by_sampling_in_several_dimensions():
    head = GaussianActions((3,), -1.0, 2.0, spread="state", initial_std=0.5)
    outputs = jnp.array([0.2, -1.0, 0.5, 0.1, 0.3, -0.6])
    chance = draw(head.chance, jax.random.key(0), (100_000,))
    actions, raw = head.sample(jnp.broadcast_to(outputs, (100_000, 6)), chance)
    assert actions.shape == (100_000, 3)
    surprise = -head.log_prob(jnp.broadcast_to(outputs, (100_000, 6)), raw)
    assert abs(surprise.mean() - head.entropy(outputs)) < 4 * surprise.std() / math.sqrt(100_000)


def test_clipped_actions_are_normal_before_the_bounds():
    head = GaussianActions((2,), 0.0, 4.0, bounds="clip")
    outputs = outputs_of(head, 0.5, 0.0)
    action, raw = head.sample(outputs, jnp.array([0.0, 3.0]))
    np.testing.assert_allclose(action, [3.0, 4.0], err_msg="2 + 2 · 0.5, and beyond the bound")
    np.testing.assert_allclose(raw, [0.5, 3.5])
    # a normal of standard deviation 2, the half-width
    expected = sum(-0.5 * z**2 - math.log(2 * math.sqrt(2 * math.pi)) for z in (0.0, 3.0))
    np.testing.assert_allclose(head.log_prob(outputs, raw), expected, rtol=1e-6)
    np.testing.assert_allclose(head.entropy(outputs), 2 * math.log(2 * math.sqrt(2 * math.pi * math.e)), rtol=1e-6)


@pytest.mark.parametrize("bounds", ["squash", "clip"])
def test_gradients_stay_finite_at_the_ends(bounds):
    head = GaussianActions((1,), -1.0, 1.0, bounds=bounds)

    def loss(outputs, raw):
        return jnp.sum(head.log_prob(outputs, raw) + head.entropy(outputs))

    for mean, raw in ((-30.0, 30.0), (30.0, 30.0), (0.0, -50.0)):
        gradient = jax.grad(loss)(jnp.array([mean, -9.0]), jnp.array([raw]))
        assert jnp.isfinite(gradient).all()


def test_heads_are_chosen_by_the_space():
    assert action_head(Discrete(5)) == CategoricalActions(5)
    assert action_head(Box(-1.0, INF, (2, 3))) == GaussianActions((2, 3), -1.0, INF)
    action, raw = action_head(Box(-1.0, 1.0, (2, 3))).sample(jnp.zeros(12), jnp.zeros(6))
    assert action.shape == (2, 3)
    assert raw.shape == (6,)
    with pytest.raises(ValueError, match="initial_std must be above"):
        action_head(Box(-1.0, 1.0), initial_std=0.0)


def test_divergences():
    """Of categories, and of normal draws, whatever squashes them; nothing from oneself."""
    logits = np.array([[0.3, -1.0, 2.0], [0.0, 1.0, -0.5]], np.float32)
    p, q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = jax.vmap(CategoricalActions(3).divergence, (None, 0))(logits[0], logits)
    np.testing.assert_allclose(found, [0.0, np.sum(p * np.log(p / q))], atol=1e-6)
    head = GaussianActions((2,), -1.0, 2.0, spread="state", initial_std=1.0)
    outputs = np.array([[0.2, -1.0, 0.5, -0.3], [-0.4, 0.1, 0.0, -1.2]], np.float32)
    (mean, log_std), (others, log_others) = ((x[:2], x[2:]) for x in outputs.astype(float))
    odds = np.exp(2 * (log_std - log_others))
    wanted = np.sum(log_others - log_std + (odds + ((mean - others) / np.exp(log_others)) ** 2 - 1) / 2)
    np.testing.assert_allclose(jax.vmap(head.divergence, (None, 0))(outputs[0], outputs), [0.0, wanted], atol=1e-5)


def test_actions_as_inputs():
    np.testing.assert_allclose(CategoricalActions(3).encode(jnp.array([2, 0])), [[0, 0, 1], [1, 0, 0]])
    box = GaussianActions((1, 2), -1.0, 3.0)
    np.testing.assert_allclose(box.encode(jnp.array([[[-1.0, 3.0]], [[1.0, 2.0]]])), [[-1, 1], [0, 0.5]])
    np.testing.assert_allclose(GaussianActions((), 0.0, INF).encode(jnp.array([4.0])), [[4.0]])
    np.testing.assert_allclose(box.decode(jnp.array([[-1.0, 0.5], [0.0, 7.0]])), [[[-1.0, 2.0]], [[1.0, 3.0]]])
    np.testing.assert_allclose(GaussianActions((), 0.0, INF).decode(jnp.array([[4.0], [-1.0]])), [4.0, 0.0])


def test_actions_of_boxes_come_back():
    box = GaussianActions((2, 3), -2.0, 6.0)
    action = np.random.default_rng(0).uniform(-2, 6, (5, 4, 2, 3)).astype(np.float32)
    assert box.encode(action).shape == (5, 4, 6)
    np.testing.assert_allclose(box.decode(box.encode(action)), action, atol=1e-5)
