"""Heads of the value learners: losses known by hand, laws fitted to rewards, mapped values, and acting by them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmarl.distributional import Law, Quantile, risk, wasserstein
from jaxmarl.learners.value import (
    CategoricalHead,
    FractionHead,
    GaussianHead,
    HistogramHead,
    IdentityMap,
    ImplicitQuantileHead,
    LogLinearMap,
    LogMap,
    MappedHead,
    MeanHead,
    QuantileHead,
    lambda_returns,
    risk_neutral,
)
from jaxmarl.learners.value.acting import ValueNetwork, explore, linear_decay
from jaxmarl.learners.value.heads import chosen
from jaxmarl.learners.value.mapped import channel_weights, mapped_target, reward_channels


@partial(jax.jit, static_argnums=0)
def loss_of(head, now, action, after, next_action, reward=0.3, discount=0.9):
    """The loss of a transition, and the means of what follows."""
    target = head.target(chosen(after, jnp.asarray(next_action)), jnp.asarray(reward), jnp.asarray(discount))
    return head.loss(chosen(now, jnp.asarray(action)), target), risk_neutral(head.law(after, None))


def test_categorical_loss_of_a_transition():
    now = jnp.array([[0.1, 0.2, 0.3, 0.2, 0.1], [0, -0.5, 0.5, 1, 0]])
    after = jnp.array([[1.0, 0, 0, 0, -1], [-1, 0, 0.5, 0, 1]])
    head = CategoricalHead(-1.0, 1.0, 5)
    (plain, means), (double, _) = loss_of(head, now, 1, after, 1), loss_of(head, now, 1, after, 0)
    np.testing.assert_allclose(means, [-0.38618799, 0.34898937], atol=1e-6)
    np.testing.assert_allclose([plain, double], [1.6641922, 1.8743146], atol=1e-6)


@pytest.mark.parametrize(("kappa", "value"), [(0.0, 2.85), (1.0, 2.1140625), (0.5, 2.4634375)])
def test_quantile_loss_of_a_transition(kappa, value):
    now = jnp.array([[-1.0, 0, 1, 2]] * 2)
    after = jnp.array([[0, 0.5, 1, 1.5], [-1, 0, 3, 4]])
    head = QuantileHead(4, kappa)
    loss, means = loss_of(head, now, 0, after, 1)
    np.testing.assert_allclose(means, [0.75, 1.5])
    assert float(loss) == pytest.approx(value, abs=1e-6)


def test_histograms_and_means_regress_on_numbers():
    head = HistogramHead(-1.0, 1.0, 10, ratio=0.0)
    logits = jnp.log(jnp.array([0.0, 0, 0, 0, 0, 0, 0.5, 0.5, 0, 0]) + 1e-12)  # of centres 0.3 and 0.5
    loss, means = loss_of(head, logits[None], 0, logits[None], 0, 0.2, 0.5)
    np.testing.assert_allclose([loss, means[0]], [np.log(2), 0.4], atol=1e-5)
    ends = (jnp.array([1.0]), 0, jnp.array([2.0]), 0, 3.0, 0.5)
    assert [float(loss_of(head, *ends)[0]) for head in (MeanHead(), MeanHead(delta=1.0))] == [4.5, 2.5]


# --- laws of a bandit ------------------------------------------------------------------------------------------------

ATOMS, CHANCES = np.array([-4.0, -1, 0, 2, 5]), np.array([0.1, 0.2, 0.3, 0.25, 0.15])
LAWS = {
    "categorical": CategoricalHead(-6.0, 6.0, 49),
    "quantile": QuantileHead(40, kappa=0.1),
    "implicit": ImplicitQuantileHead(32, 32, kappa=0.1),
    "fraction": FractionHead(24, kappa=0.1),
}


def bandit(key, shape):
    """Rewards of the known law."""
    return jax.random.choice(key, jnp.array(ATOMS), shape, p=jnp.array(CHANCES))


def fitted(head, updates=1500, batch=64, draw=bandit):
    """The law that a head learns from rewards alone."""
    network = ValueNetwork(head, 1, (1,), (32,))
    rule = optax.adam(optax.linear_schedule(1e-2, 0.0, updates))
    seen, zeros = jnp.ones((batch, 1)), jnp.zeros(batch, jnp.int32)

    def loss(params, key):
        sample_key, now_key, next_key = jax.random.split(key, 3)
        reward = draw(sample_key, (batch,))
        after = chosen(network.apply(params, seen, next_key), zeros)
        target = jax.lax.stop_gradient(head.target(after, reward, jnp.zeros(batch)))
        return jnp.mean(head.loss(chosen(network.apply(params, seen, now_key), zeros), target))

    def step(carry, key):
        params, state = carry
        updates, state = rule.update(jax.grad(loss)(params, key), state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def run(key):
        params = network.init(key, seen, key)
        (params, _), _ = jax.lax.scan(step, (params, rule.init(params)), jax.random.split(key, updates))
        return jax.tree.map(lambda x: x[0, 0] if x.ndim > 1 else x, head.law(network.apply(params, seen), seen))

    return run(jax.random.key(0))


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in list(LAWS)[1:]), "categorical"]
)
def test_heads_learn_the_law_of_a_reward(name):
    law = fitted(LAWS[name])
    truth = Law(jnp.array(ATOMS, jnp.float32), jnp.array(CHANCES, jnp.float32))
    assert float(wasserstein(law, truth)) < 0.05 * (ATOMS.max() - ATOMS.min())
    assert abs(float(risk_neutral(law)) - 0.65) < 0.25
    assert float(risk.cvar(law, 0.25)) == pytest.approx(-2.2, abs=0.5)


@pytest.mark.slow
def test_quantiles_of_a_normal_reward_are_known_to_a_tenth():
    """N(1, 4): 1 + 2 times the normal quantile, at all levels from 0.05 to 0.95, after 5000 updates."""
    law = fitted(QuantileHead(32, kappa=0.02), 5000, 128, lambda key, shape: 1 + 2 * jax.random.normal(key, shape))
    levels = (np.arange(32) + 0.5) / 32
    inside = (levels >= 0.05) & (levels <= 0.95)
    known = 1 + 2 * np.asarray(jax.scipy.special.ndtri(levels))
    assert np.abs(np.sort(np.asarray(law.values)) - known)[inside].max() < 0.1


@pytest.mark.slow
def test_mean_and_deviation_of_a_normal_reward_are_known_to_a_tenth():
    """N(1, 4) by the clipped and weighted likelihood: mean 1, deviation 2, so quantiles 1 + 2 times the normal's."""
    law = fitted(GaussianHead(64), 3000, 128, lambda key, shape: 1 + 2 * jax.random.normal(key, shape))
    known = jax.scipy.special.ndtri((jnp.arange(64) + 0.5) / 64)
    np.testing.assert_allclose(jnp.mean(law.values), 1.0, atol=0.1)
    np.testing.assert_allclose(jnp.mean(law.values * known) / jnp.mean(known**2), 2.0, atol=0.1)


def test_normal_laws_are_pulled_towards_their_targets():
    """By hand: mean 0 and deviation 1 against atoms -1 and 3: pulls of 1 on the mean and 4 on the deviation."""
    head, law = GaussianHead(clip=10.0), Law(jnp.array([[-1.0, 3.0]]), jnp.full((1, 2), 0.5))
    slope = jax.grad(lambda x: head.against(x, law)[0])(jnp.zeros((1, 2)))
    np.testing.assert_allclose(slope[0], [-1.0, -4.0], rtol=1e-5)  # (1 + 0.1) cancels the slack of each division
    clipped = jax.grad(lambda x: GaussianHead(clip=1.0).against(x, law)[0])(jnp.zeros((1, 2)))
    np.testing.assert_allclose(clipped[0], [-1.0, 0.0], atol=1e-6)
    moved = head.target(jnp.array([2.0, 0.0]), jnp.array(1.0), jnp.array(0.5))
    np.testing.assert_allclose(moved, [2.0, np.log(0.5)], rtol=1e-6)


def test_fractions_are_probabilities_that_their_own_loss_alone_moves():
    network = ValueNetwork(FractionHead(8), 2, (3,), (16,))
    obs, action = jnp.ones((4, 3)), jnp.zeros(4, jnp.int32)

    def loss(params, entropy_weight):
        outputs = chosen(network.apply(params, obs), action)
        target = Quantile(jnp.zeros((4, 8)), jnp.full((4, 8), 1 / 8))
        return jnp.sum(FractionHead(8, entropy_weight=entropy_weight).loss(outputs, target))

    @jax.jit
    def slopes(key):
        params = network.init(key, obs)
        law = network.head.law(network.apply(params, obs), obs)
        return law.weights, *(jax.grad(partial(loss, entropy_weight=w))(params)["params"] for w in (0.0, 1.0))

    weights, plain, more = slopes(jax.random.key(0))
    np.testing.assert_allclose(np.asarray(weights).sum(-1), 1, rtol=1e-6)
    assert np.abs(plain["fractions"]["kernel"]).max() > 0
    assert np.abs(plain["fractions"]["kernel"] - more["fractions"]["kernel"]).max() > 0
    np.testing.assert_allclose(plain["encoder"]["Dense_0"]["kernel"], more["encoder"]["Dense_0"]["kernel"], rtol=1e-5)


# --- mapped values ---------------------------------------------------------------------------------------------------


def test_maps_of_values():
    log, loglin = LogMap(), LogLinearMap()
    assert float(log.forward(jnp.float32(0.96**100))) == pytest.approx(-2.04110919, abs=2e-5)  # the least value
    assert [float(loglin.forward(jnp.float32(x))) for x in (1.0, 2.0)] == [0.0, 0.5]
    assert float(log.forward(jnp.float32(0.5))) == pytest.approx(-0.34657359, abs=1e-6)
    values = jnp.geomspace(0.01687, 25.0, 200)
    for mapping in (log, loglin, LogLinearMap(2.0, 1.0)):
        np.testing.assert_allclose(mapping.inverse(mapping.forward(values)), values, rtol=2e-6)
    slopes = jax.vmap(jax.grad(loglin.forward))(jnp.array([0.99999, 1.00001]))
    np.testing.assert_allclose(slopes, 0.5, rtol=1e-4)  # the tangent continues the logarithm


def test_rewards_are_parted_and_added_up_again():
    rewards = jnp.array([-250.0, -3.0, 0.0, 0.5, 7.0, 42.0, 999.0])
    for channels in ("polar", "decades"):
        parts = reward_channels(rewards, channels)
        assert float(parts.min()) >= 0
        np.testing.assert_allclose(parts @ channel_weights(channels), rewards, rtol=1e-6)
    np.testing.assert_array_equal(channel_weights("decades"), [1, 9, 90, 900, -1, -9, -90, -900])
    assert float(reward_channels(rewards, "decades").max()) <= 1


def test_identity_map_is_q_learning_and_logarithms_keep_the_mean():
    with jax.enable_x64(True):
        q, target, regression, rate = jnp.float64(0.3), jnp.float64(1.7), 0.1, 0.05
        moved = q + rate * (mapped_target(IdentityMap(), q, target, regression) - q)
        assert float(moved) == pytest.approx(0.3 + regression * rate * 1.4, abs=1e-15)
    head = MappedHead(LogMap(), step=0.01)
    outputs = jnp.stack([LogMap().forward(jnp.float32(2.0)), LogMap().forward(jnp.float32(0.5))])
    assert float(risk_neutral(head.law(outputs, None))) == pytest.approx(1.5, abs=1e-6)
    # targets of 1 or 3 around a value of 2: in the scale of values the pulls cancel to first order
    pulls = [mapped_target(LogMap(), outputs[0], jnp.float32(u), 0.01) - outputs[0] for u in (1.0, 3.0)]
    assert abs(float(sum(pulls))) < 0.01 * abs(float(pulls[0]))


# --- acting and targets ----------------------------------------------------------------------------------------------


def test_random_actions_are_legal_and_greedy_ones_best():
    worth = jnp.array([1.0, 3.0, 3.0, -jnp.inf])
    mask = jnp.array([True, True, True, False])
    pick = jnp.arange(1000) / 1000
    act = jax.vmap(partial(explore, worth, mask), in_axes=(None, None, 0))
    assert set(np.unique(act(0.0, 0.5, pick))) == {1}  # the lowest index among equals
    np.testing.assert_allclose(np.bincount(act(1.0, 0.5, pick)), [333, 333, 333], atol=2)
    np.testing.assert_allclose([linear_decay(1.0, 0.1, 10, t) for t in (0, 5, 10, 99)], [1, 0.55, 0.1, 0.1], rtol=1e-6)


def test_lambda_returns():
    reward, ended = jnp.array([1.0, 0, -1, 2, 0.5]), jnp.array([False, False, True, False, False])
    value, following = jnp.array([0.3, 0.6, -0.2, 0.9, 0.1]), jnp.array([0.6, -0.2, 0.9, 0.1, 0.8])
    never = jnp.zeros(5, bool)
    found = lambda_returns(reward, value, following, ended, never, 0.99, 0.65)
    np.testing.assert_allclose(found, [0.749213, -0.712800, -1, 2.866052, 1.292], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: CategoricalHead(1.0, -1.0), "low, high"),
        (lambda: QuantileHead(0), "num_quantiles"),
        (lambda: HistogramHead(ratio=-1.0), "ratio"),
        (lambda: ImplicitQuantileHead(dueling=True), "dueling"),
        (lambda: FractionHead(1), "num_quantiles"),
        (lambda: MappedHead(channels="all"), "channels"),
        (lambda: LogLinearMap(least=2.0), "least"),
        (lambda: MeanHead(delta=0.0), "delta"),
    ],
)
def test_wrong_arguments_are_named(make, name):
    with pytest.raises(ValueError, match=name):
        make()
