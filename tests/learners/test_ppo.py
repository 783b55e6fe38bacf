"""PPO on probe environments with known answers, and its invariants."""

from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import Box, PopulationEnv, VectorEnv, rollout, start_rollout
from jaxmarl.core.rollout import actor_from_policy
from jaxmarl.envs.rps import RepeatedRPS, bot_players
from jaxmarl.learners import PPOConfig, over_seeds, ppo
from jaxmarl.learners.networks import RecurrentActorCritic
from jaxmarl.testing.probes import (
    BoxMarket,
    DelayedReward,
    MaskedChoice,
    OneStep,
    RandomStop,
    Recall,
    TimeLimited,
    TwoArmed,
)

SEEDS = 5
FAST = {"hidden": 16, "learning_rate": 1e-2, "minibatches": 2, "discount": 0.8}


@cache
def trained(env, updates: int, num_envs: int = 32, **settings):
    """A learner and its state after `updates`, for `SEEDS` seeds, with the metrics of the last update."""
    config = PPOConfig(**{**FAST, "anneal_updates": updates, **settings})
    learner = ppo(VectorEnv(env, num_envs), config)
    many = over_seeds(learner, SEEDS)

    @jax.jit
    def run(key):
        return jax.lax.scan(lambda s, _: many.update(s), many.init(key), length=updates)

    state, metrics = run(jax.random.key(0))
    return learner, state, {name: np.asarray(values[-1]) for name, values in metrics.items()}


def values_at_start(env, state, obs=None):
    """The critic's value of a first observation, one a seed; `obs` `[F]` defaults to ones."""
    space = env.observation_space(env.default_params)
    obs = jnp.ones(space.shape) if obs is None else jnp.asarray(obs, jnp.float32)
    num_actions = env.action_space(env.default_params).n
    network = RecurrentActorCritic(num_actions, 1, FAST["hidden"])

    def value(params):
        mask, start = jnp.ones((1, 1, num_actions), bool), jnp.ones((1, 1), bool)
        _, heads = network.apply(params, network.initial_memory((1,)), obs[None, None], mask, start)
        return heads.value[0, 0]

    return np.asarray(jax.vmap(value)(state.params))


@pytest.mark.slow
def test_constant_reward_is_valued():
    env = OneStep()
    _, state, _ = trained(env, 60, chunk_length=1)
    np.testing.assert_allclose(values_at_start(env, state), 1.0, atol=0.05)


@pytest.mark.slow
def test_the_better_arm_is_found():
    env = TwoArmed(num_actions=4)
    _, _, metrics = trained(env, 60, chunk_length=1)
    assert metrics["reward"].min() > 0.95


def test_a_delayed_reward_is_discounted():
    env = DelayedReward()
    _, state, _ = trained(env, 250, chunk_length=2)
    np.testing.assert_allclose(values_at_start(env, state, [1.0, 0.0]), 0.8, atol=0.06)
    np.testing.assert_allclose(values_at_start(env, state, [-1.0, 0.0]), -0.8, atol=0.06)


def test_terminations_cut_the_bootstrap():
    env = RandomStop()
    _, state, _ = trained(env, 100, chunk_length=16)
    expected = env.benchmarks(env.default_params)["value"](0.8)
    np.testing.assert_allclose(values_at_start(env, state), expected, rtol=0.08)


class Wary(VectorEnv):
    """Does not know that its environment has no time limit and forbids nothing."""

    truncates, masks_actions = True, True


def test_what_an_environment_never_does_is_left_out_and_changes_nothing():
    assert VectorEnv(TimeLimited(limit=5), 8).truncates
    assert VectorEnv(MaskedChoice(), 8).masks_actions
    assert not VectorEnv(RandomStop(), 8).truncates
    assert not VectorEnv(RandomStop(), 8).masks_actions
    config = PPOConfig(hidden=8, recurrent=False, chunk_length=8, epochs=1, minibatches=1)
    found, sizes = [], []
    for batch in (VectorEnv, Wary):
        learner = ppo(batch(RandomStop(), 8), config)
        run = jax.jit(lambda key, learner=learner: learner.update(learner.init(key))[0].params).trace(jax.random.key(3))
        sizes.append(len(str(run.jaxpr)))
        found.append(run.lower().compile()(jax.random.key(3)))
    assert sizes[0] < sizes[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *found)


@pytest.mark.parametrize("declared", [pytest.param(True, marks=pytest.mark.slow), False])
def test_truncations_are_bootstrapped(declared):
    """Without the bootstrap, the value at the start would be 3.4, not 5."""
    env = TimeLimited(limit=5, declared=declared)
    _, state, _ = trained(env, 150, chunk_length=5)
    np.testing.assert_allclose(values_at_start(env, state), 5.0, rtol=0.1)


def test_memory_carries_a_cue():
    env = Recall(length=4)
    _, _, metrics = trained(env, 150, num_envs=64, chunk_length=4)
    assert metrics["episode_return"].min() > 0.9, "better than the 0.5 of a player without memory"


@pytest.mark.slow
def test_memory_crosses_the_borders_of_sequences():
    env = Recall(length=4)
    _, _, metrics = trained(env, 150, num_envs=64, chunk_length=2, chunks_per_update=2)
    # no gradient reaches the cue, but what the memory happens to hold of it is used
    assert metrics["episode_return"].mean() > 0.6


def test_illegal_actions_are_never_played():
    env = MaskedChoice(num_actions=4)
    learner, state, metrics = trained(env, 60, chunk_length=1)
    assert metrics["episode_return"].min() > 0.55, "the mean of 0.75 and 0.5 is 0.625; an illegal action costs 100"
    vector = VectorEnv(env, 64)
    actor = actor_from_policy(learner.policy, 64, 2)
    params = jax.tree.map(lambda x: x[0], state.params)
    carry = start_rollout(vector, actor, jax.random.key(3), env.default_params)
    _, trajectory, _ = rollout(vector, actor, params, carry, jax.random.key(4), env.default_params, 1)
    assert int(trajectory.info["illegal"].sum()) == 0


@cache
def population(bots=("copybot", "rockbot"), **settings):
    """A PPO learner against a few bots."""
    env = RepeatedRPS(num_throws=100)
    defaults = {"hidden": 32, "chunk_length": 50, "learning_rate": 3e-3, "discount": 0.9, "reward_scale": 0.1}
    config = PPOConfig(**{**defaults, "label_weight": 0.2, **settings})
    return ppo(PopulationEnv(env, bot_players(env, bots), 16), config)


def last_metrics(learner, updates):
    """Metrics of the last of `updates`, for `SEEDS` seeds."""
    many = over_seeds(learner, SEEDS)
    run = jax.jit(lambda key: jax.lax.scan(lambda s, _: many.update(s), many.init(key), length=updates)[1])
    return {name: np.asarray(values[-1]) for name, values in run(jax.random.key(0)).items()}


def test_bots_with_a_perfect_answer_are_beaten():
    assert last_metrics(population(), 60)["reward_worst"].min() > 0.9


@pytest.mark.slow
def test_opponents_are_told_apart():
    metrics = last_metrics(population(("r226bot", "rockbot", "rotatebot")), 40)
    assert metrics["label_accuracy"].min() > 0.9, "a few throws tell these three apart"


def test_the_first_ratio_is_one_and_updates_are_pure():
    learner = population()
    state = jax.jit(learner.init)(jax.random.key(1))
    update = jax.jit(learner.update)
    (first, metrics), (second, _) = update(state), update(state)
    np.testing.assert_allclose(metrics["first_ratio"], 1.0, atol=1e-5)
    for a, b in zip(jax.tree.leaves(first.params), jax.tree.leaves(second.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_in_one_vmap_equal_separate_runs():
    learner = population()
    many = over_seeds(learner, 2)
    state, metrics = jax.jit(many.update)(jax.jit(many.init)(jax.random.key(5)))
    for i, key in enumerate(jax.random.split(jax.random.key(5), 2)):
        alone, alone_metrics = jax.jit(learner.update)(jax.jit(learner.init)(key))
        np.testing.assert_allclose(metrics["reward"][i], alone_metrics["reward"], atol=1e-6)
        for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_allclose(a[i], b, atol=2e-5)
    assert many.steps_per_update == 2 * learner.steps_per_update


def test_the_exported_policy_plays_what_the_network_says():
    """Step by step through `Policy.act`, the moves have the probabilities of one pass over the whole match."""
    learner = population()
    params = learner.params(jax.jit(learner.init)(jax.random.key(2)))
    params = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(jax.random.key(3), p.shape), params)
    network = RecurrentActorCritic(3, 2, 32)
    obs = jax.random.normal(jax.random.key(4), (6, 6))
    mask = jnp.ones((6, 3), bool).at[:, 2].set(False)
    start = jnp.zeros(6, bool)
    _, heads = network.apply(params, network.initial_memory(), obs, mask, start)
    cumulative = np.cumsum(np.asarray(jax.nn.softmax(heads.policy)), axis=1)
    units = np.asarray(jax.random.uniform(jax.random.key(5), (6, 200)))

    def throw(memory, inputs):
        seen_obs, seen_mask, unit = inputs
        from jaxmarl.core import MaskedObs

        act = jax.vmap(learner.policy.act, in_axes=(None, None, None, 0), out_axes=(0, None))
        move, memory = act(params, memory, MaskedObs(seen_obs, seen_mask), unit)
        return memory, move

    _, moves = jax.lax.scan(throw, learner.policy.init(()), (obs, mask, units))
    expected = (units[..., None] >= cumulative[:, None]).sum(-1)
    assert (np.asarray(moves) == expected).mean() > 0.995, "all but ties of rounding"
    assert int(moves.max()) == 1, "the masked move is never played"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"chunk_length": 30}, "num_steps must be a divisor of the horizon 100, got 30"),
        ({"minibatches": 7}, "minibatches must be a divisor of the 32 sequences"),
        ({"discount": 1.5}, "discount must be in [0, 1], got 1.5"),
        ({"hidden": 0}, "hidden must be an integer >= 1, got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be positive, got -1.0"),
        ({"bounds": "wrap"}, "bounds must be one of squash, clip; got 'wrap'"),
        ({"spread": "none"}, "spread must be one of shared, state; got 'none'"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match="must be") as error:
        population(**settings)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "settings", [{}, {"spread": "state"}, {"bounds": "clip"}], ids=["squash", "state-dependent", "clip"]
)
def test_continuous_actions_find_their_target(settings):
    """The reward is minus the squared distance to 0.5, so that the noise that remains counts too."""
    env = BoxMarket(horizon=2)
    _, _, metrics = trained(env, 120, chunk_length=2, entropy_weight=0.0, **settings)
    assert metrics["reward"].min() > -0.02
    assert metrics["entropy"].max() < 0.0, "noise has fallen, from an entropy of about 0.7 + log 2"


def test_the_first_ratio_of_continuous_actions_is_one_and_their_policy_is_unmasked():
    learner = ppo(VectorEnv(BoxMarket(), 4), PPOConfig(chunk_length=2, hidden=8))
    state, metrics = jax.jit(learner.update)(jax.jit(learner.init)(jax.random.key(0)))
    np.testing.assert_allclose(metrics["first_ratio"], 1.0, atol=1e-5)
    action, _ = learner.policy.sample(
        jax.random.key(1), learner.params(state), learner.policy.start(jax.random.key(2)), jnp.ones(1)
    )
    assert action.shape == (1,)
    assert BoxMarket().action_space(()).contains(action)


def test_actions_of_whole_numbers_in_a_box_are_refused():
    @dataclass(frozen=True)
    class WholeNumbers(BoxMarket):
        def action_space(self, params):
            return Box(0, 5, (1,), jnp.int32)

    with pytest.raises(ValueError, match="action_space must be Discrete or a Box of floats"):
        ppo(VectorEnv(WholeNumbers(), 4), PPOConfig(chunk_length=1))
