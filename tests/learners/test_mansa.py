"""The switch between independent and central learners: its limits, and where it calls in the two-step game."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.policy import MaskedObs
from jaxmarl.envs.dilemmas import TwoStepGame
from jaxmarl.learners import over_seeds
from jaxmarl.learners.team import SwitchConfig, TeamLearning, mansa, team_network, team_q
from jaxmarl.learners.team.switching import mansa_learning
from jaxmarl.learners.value.functionals import risk_neutral

CONFIG = SwitchConfig(
    hidden=(16,),
    collect=1,
    gradient_steps=4,
    rounds=400,
    batch=32,
    capacity=2000,
    warmup=200,
    learning_rate=5e-3,
    anneal_steps=6400,
    target_every=20,
    epsilon_end=1.0,
    reward="mean",
    embed=8,
    hypernet=16,
)
ENV = TwoStepGame()
QUICK = {"xla_backend_optimization_level": 0}  # compiling takes longer than running


def plain(env, config):
    """Learning of a team without a switch."""
    network = team_network(env, config)
    return TeamLearning(env, config, env.default_params, network, risk_neutral, risk_neutral)


@cache
def trained(config, num_seeds):
    learner = mansa(VectorEnv(ENV, 8), config)
    runs = over_seeds(learner, num_seeds)
    state, metrics = jax.jit(lambda key: runs.update(runs.init(key)), compiler_options=QUICK)(jax.random.key(0))
    return learner, state, metrics


@jax.jit(static_argnums=0)
def episodes(policy, params):
    """Returns of a greedy episode for each seed, and calls by step."""

    def play(one):
        numbers, memory, paid, calls = ENV.default_params, policy.init(()), 0.0, []
        state = ENV.initial((), numbers)
        for _ in range(2):
            seen = MaskedObs(ENV.observe(state, numbers), ENV.action_mask(state, numbers))
            action, after = policy.act(one, memory, seen, ())
            calls.append(after.calls - memory.calls)
            state, reward, _, _ = ENV.transition(state, action, (), numbers)
            memory, paid = after, paid + reward[0]
        return paid, jnp.stack(calls)

    return jax.vmap(play)(params)


@pytest.mark.slow
@pytest.mark.parametrize(("cost", "budget"), [(0.2, 0), (0.2, 1), (0.0, 0)])
def test_the_team_is_called_where_it_matters(cost, budget):
    """Independent agents take the safe game, since partners that explore spoil the other; in it they do as well."""
    learner, state, _ = trained(replace(CONFIG, cost=cost, budget=budget), 5)
    paid, calls = episodes(learner.policy, state.params)
    np.testing.assert_array_equal(paid, 8)
    np.testing.assert_array_equal(calls[:, 0], 1)
    if cost:
        np.testing.assert_array_equal(calls[:, 1], 0)


INFINITE = replace(CONFIG, cost=float("inf"), rounds=20)


def test_with_an_infinite_cost_actions_and_gradients_are_those_of_independent_learners():
    both, alone = (
        make(VectorEnv(ENV, 8), c) for make, c in ((mansa_learning, INFINITE), (plain, INFINITE.independent))
    )

    @partial(jax.jit, static_argnums=0, compiler_options=QUICK)
    def found(learning, key):
        state = learning.init(key)
        sample = learning.replay.sample(state.replay, key)
        gradient = jax.grad(learning._loss, has_aux=True)(state.params, state.target, sample.transition, sample, key)[0]
        return state.params, gradient, state.replay.experience.action

    (params, gradient, action), others = found(both, jax.random.key(0)), found(alone, jax.random.key(0))
    mine = params["independent"], gradient["independent"], action
    for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(others), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_an_infinite_cost_leaves_independent_learners_as_they_are():
    _, switched, metrics = trained(INFINITE, 1)
    runs = over_seeds(team_q(VectorEnv(ENV, 8), INFINITE.independent), 1)
    alone, _ = jax.jit(lambda key: runs.update(runs.init(key)), compiler_options=QUICK)(jax.random.key(0))
    for one, other in zip(
        jax.tree.leaves((switched.params["independent"], switched.replay.experience.action)),
        jax.tree.leaves((alone.params, alone.replay.experience.action)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert float(metrics["calls"][0]) == 0


@pytest.mark.slow
def test_no_episode_calls_more_often_than_its_budget():
    _, state, metrics = trained(replace(CONFIG, cost=0.0, budget=1, switch_epsilon=1.0), 5)
    left = state.replay.experience.memory.left
    start = np.asarray(state.replay.experience.start)
    filled = int(state.replay.current_index[0]) if not bool(state.replay.is_full[0]) else start.shape[-1]
    assert set(np.unique(left[..., :filled])) == {0, 1}
    assert (np.asarray(metrics["calls"]) <= 0.5).all()  # one of two steps
    assert (np.asarray(left)[..., :filled][start[..., :filled]] == 1).all()


@pytest.mark.parametrize(
    ("wrong", "name"), [({"cost": -1.0}, "cost"), ({"budget": -1}, "budget"), ({"mixer": "none"}, "mixer")]
)
def test_wrong_settings_are_named(wrong, name):
    with pytest.raises(ValueError, match=name):
        SwitchConfig(**wrong)
