"""Learners of multi-player bandits: SMAA settles in the equilibrium, collaboration lies between alone and together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.envs.bandits import MultiPlayerBandit
from jaxmarl.learners import over_seeds
from jaxmarl.learners.bandits import (
    Seen,
    bandit_learner,
    bernoulli_divergence,
    collaborative_ucb,
    independent_ucb,
    shared_ucb,
    smaa,
    smaa_unknown,
)

RUNS = 16
MEANS = [[0.9, 0.8, 0.5, 0.3, 0.2]]
SHARED = MultiPlayerBandit(4, 5)
PARAMS = SHARED.default_params.replace(means=np.array(MEANS, np.float32))
APART = MultiPlayerBandit(16, 16, sharing="none", bandit_of=(0, 1) * 8)


def play(env, algorithm, params, num_updates, steps_per_update):
    """Final states, metrics `[U, R]` and the most pulled arms `[R, N]` of independent runs."""
    learner = over_seeds(bandit_learner(env, algorithm, params, steps_per_update=steps_per_update), RUNS)

    def run(key):
        return jax.lax.scan(lambda state, _: learner.update(state), learner.init(key), None, length=num_updates)

    state, metrics = jax.jit(run)(jax.random.key(0))
    arms = jax.vmap(bandit_learner(env, algorithm, params).params)(state)
    return state, {name: np.asarray(x) for name, x in metrics.items()}, np.asarray(arms)


@pytest.fixture(scope="module")
def settled():
    algorithms = (smaa(SHARED, beta=0.5), smaa_unknown(SHARED, 10_000, eta=0.1), independent_ucb(SHARED))
    return {a.name: play(SHARED, a, PARAMS, 5, 2000) for a in algorithms}


@pytest.mark.parametrize("name", ["smaa", "smaa_unknown"])
def test_selfish_players_settle_in_the_equilibrium(settled, name):
    state, metrics, _ = settled[name]
    np.testing.assert_array_equal(np.asarray(state.memory.allocation)[..., 0, :], [[2, 1, 1, 0, 0]] * RUNS)
    # taking turns, everybody has a quarter of the equilibrium's welfare in the long run, 2.2
    reward = metrics["reward"][-1]
    assert abs(reward.mean() - 2.2 / 4) < 4 * reward.std() / np.sqrt(RUNS) + 0.002
    regret = metrics["regret"].mean(1)
    assert regret[-1] < 0.05 * regret[0]
    assert np.median(metrics["off_equilibrium"][-1]) <= 20


def test_players_who_ignore_each_other_keep_colliding(settled):
    regret = settled["independent_ucb"][1]["regret"].mean(1)
    assert regret[-1] > 20 * settled["smaa"][1]["regret"].mean(1)[-1]
    assert regret[-1] > 0.9 * regret[1]


def test_players_count_themselves_and_find_ranks(settled):
    memory = settled["smaa_unknown"][0].memory
    np.testing.assert_array_equal(memory.num_agents, 4)
    np.testing.assert_array_equal(np.sort(memory.rank, axis=1), [[0, 1, 2, 3]] * RUNS)
    counting = int(np.ceil(50 * 0.1 * 25 * np.log(40_000)))
    np.testing.assert_array_equal(memory.start, counting + int(np.ceil(4 * np.log(20_000))))


def test_every_arm_is_pulled_once_and_then_in_turns():
    algorithm = smaa(MultiPlayerBandit(2, 3))
    env, params = MultiPlayerBandit(2, 3), MultiPlayerBandit(2, 3).default_params
    memory, state, arms = algorithm.init(()), env.initial((), params), []
    params = params.replace(means=jnp.array([[1.0, 0.9, 0.0]]))
    chance = (jnp.full((1, 3), 0.5), jnp.full(2, 0.5))
    act, learn = jax.jit(algorithm.act), jax.jit(algorithm.learn)
    drawn = jnp.array([[0.99, 0.9, 0.0]] * 2)  # no exploration
    for t in range(8):
        arm = act(memory, jnp.int32(t), drawn)
        state, _, _, info = env.transition(state, arm, chance, params)
        memory = learn(memory, Seen(jnp.int32(t), arm, info["outcome"], info["count"]), drawn)
        arms.append(arm.tolist())
    assert arms == [[0, 0], [1, 1], [2, 2], [2, 2], [0, 1], [1, 0], [0, 1], [1, 0]]


@pytest.fixture(scope="module")
def group():
    """Group regret `[U, R]` of sixteen players of two bandits, by algorithm."""
    algorithms = (independent_ucb(APART), collaborative_ucb(APART), shared_ucb(APART))
    return {a.name: 16 * play(APART, a, None, 8, 512)[1]["regret"] for a in algorithms}


def test_collaboration_lies_between_learning_alone_and_together(group):
    totals = {name: regret.sum(0) for name, regret in group.items()}
    means = {name: total.mean() for name, total in totals.items()}
    error = max(total.std() for total in totals.values()) / np.sqrt(RUNS)
    assert means["shared_ucb"] + 8 * error < means["collaborative_ucb"]
    assert means["collaborative_ucb"] + 8 * error < means["independent_ucb"]


def test_group_regret_grows_ever_more_slowly(group):
    for name, regret in group.items():
        quarters = regret.mean(1).reshape(4, 2).sum(1)
        assert (np.diff(quarters) < 0).all(), name


def test_advice_of_one_random_peer_works_too():
    algorithm = collaborative_ucb(APART, exchange="one", aware=True, num_sticky=4)
    _, metrics, arms = play(APART, algorithm, None, 2, 512)
    assert metrics["regret"][1].mean() < metrics["regret"][0].mean()
    best = np.asarray(APART.default_params.means).argmax(1)[APART.bandits]
    assert (arms == best).mean() > 0.5


def test_divergence():
    np.testing.assert_allclose(
        bernoulli_divergence(jnp.array([0.2, 0.5]), jnp.array([0.5, 0.2])), [0.192745, 0], atol=1e-5
    )
    assert np.isfinite(bernoulli_divergence(jnp.zeros(1), jnp.ones(1)))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"^env must be one bandit, shared on average"):
        smaa(MultiPlayerBandit(sharing="none"))
    with pytest.raises(ValueError, match=r"^env must be of at most 5, its arms, got '6 agents'$"):
        smaa_unknown(MultiPlayerBandit(6, 5), 100)
    with pytest.raises(ValueError, match=r"^env must be an environment with sharing='none'"):
        collaborative_ucb(SHARED)
    with pytest.raises(ValueError, match=r"^alpha must be positive, got 0.0$"):
        independent_ucb(SHARED, alpha=0.0)
