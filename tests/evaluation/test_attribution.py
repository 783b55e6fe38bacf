"""Contributions of agents to a team's return and of features to performance, where both are known exactly."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import Box, Discrete, Policy, Uniform
from jaxmarl.core.environment import Environment
from jaxmarl.evaluation.attribution import team_value
from jaxmarl.evaluation.shapley import coalition_table, estimate_shapley, exact_shapley, shapley_of_table
from jaxmarl.evaluation.sverl import DecisionProcess, feature_contributions


@dataclass(frozen=True)
class Workers(Environment):
    """Two steps; each worker of weight w who plays 1 earns the team w, all together `bonus` more; half of it a step."""

    weights: tuple[float, ...] = (1.0, 2.0)
    bonus: float = 2.0

    @property
    def num_agents(self):
        return len(self.weights)

    horizon = 2
    default_params = ()
    step_chance = Uniform()

    def action_space(self, params):
        return Discrete(2)

    def observation_space(self, params):
        return Box(0.0, 1.0, (1,))

    def initial(self, chance, params):
        return jnp.zeros((), jnp.int32)

    def transition(self, state, action, chance, params):
        work = jnp.sum(action * jnp.asarray(self.weights)) + self.bonus * jnp.all(action == 1)
        noise = chance - 0.5  # the same for all coalitions
        return state + 1, jnp.full(self.num_agents, work / 2 + noise), state >= 1, {}

    def observe(self, state, params):
        return jnp.zeros((self.num_agents, 1))


def constant(params, memory, obs, chance):
    return params, memory


FIXED = Policy(lambda chance: (), constant)


@pytest.fixture(scope="module")
def idle():
    env = Workers()
    return team_value(env, FIXED, jnp.array([1, 1]), jax.random.key(0), 16, replacement="no_op")


def test_two_agents_with_known_values(idle):
    """v = (0, 1, 2, 5) up to noise that all coalitions share: φ = (2, 3)."""
    table = coalition_table(idle, 2)
    np.testing.assert_allclose(table - table[0], [0, 1, 2, 5], atol=1e-5)
    np.testing.assert_allclose(exact_shapley(idle, 2), [2, 3], atol=1e-5)
    np.testing.assert_allclose(estimate_shapley(idle, 2, 4, jax.random.key(1)).values, [2, 3], atol=1e-5)


def test_random_replacement():
    """A replaced worker works every other time: v = (2, 3, 3.5, 5)."""
    value = team_value(Workers(), FIXED, jnp.array([1, 1]), jax.random.key(2), 4000, replacement="random")
    table = coalition_table(value, 2)
    # a step pays (x + 2 y + 2 x y) / 2 with fair coins x, y: variance below 0.8 a step, and that of the noise
    np.testing.assert_allclose(table, [2, 3, 3.5, 5], atol=4 * (2 * (0.8 + 1 / 12) / 4000) ** 0.5)


def test_replacement_by_a_member():
    """The first worker works, the others do not: whoever is replaced by it works, so one member can do it all."""
    env = Workers((1.0, 1.0, 1.0), 0.0)
    value = team_value(env, FIXED, jnp.array([1, 0, 0]), jax.random.key(3), 4000, replacement="member")
    table = np.asarray(value(jnp.array([[1, 0, 0], [0, 1, 1], [1, 1, 0], [1, 1, 1]], bool)))
    np.testing.assert_allclose(table, [3, 0, 1.5, 1], atol=4 * (0.25 / 4000 + 2 / 12 / 4000) ** 0.5)


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match="replacement must be one of"):
        team_value(Workers(), FIXED, jnp.array([1, 1]), jax.random.key(0), 4, replacement="nobody")
    with pytest.raises(ValueError, match="policy_params must be"):
        team_value(Workers(), FIXED, jnp.array([1, 1, 1]), jax.random.key(0), 4)
    with pytest.raises(ValueError, match="no_op must be"):
        team_value(Workers(), FIXED, jnp.array([1, 1]), jax.random.key(0), 4, replacement="no_op", no_op=7)


BITS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])


def guessing(answers):
    """Two random bits are shown and one of them, or a function of them, must be said; the next pair does not depend."""
    rewards = np.eye(2)[answers]
    return DecisionProcess(rewards, np.full((4, 2, 4), 1 / 4), np.full(4, 1 / 4), 0.5), rewards


def test_a_feature_that_does_not_matter_gets_nothing():
    process, policy = guessing(BITS[:, 0])
    found = feature_contributions(process, policy, BITS)
    np.testing.assert_allclose(found.shapley, np.tile([0.5, 0.0], (4, 1)), atol=1e-12)


def test_features_that_matter_together_share():
    process, policy = guessing(BITS[:, 0] ^ BITS[:, 1])
    found = feature_contributions(process, policy, BITS)
    np.testing.assert_allclose(found.shapley, 0.25, atol=1e-12)
    everywhere = feature_contributions(process, policy, BITS, "global")
    np.testing.assert_allclose(everywhere.shapley, 0.5, atol=1e-12)  # half of a reward a step, worth 2 in all


@pytest.mark.parametrize("scope", ["local", "global"])
def test_efficiency_on_a_random_process(scope):
    rng = np.random.default_rng(0)
    kernel = rng.dirichlet(np.ones(8), (8, 3)) * 0.97
    process = DecisionProcess(rng.normal(size=(8, 3)), kernel, rng.dirichlet(np.ones(8)), 0.9)
    policy = rng.dirichlet(np.ones(3), 8)
    features = np.stack(np.unravel_index(np.arange(8), (2, 2, 2)), axis=1)
    found = feature_contributions(process, policy, np.concatenate([features, np.zeros((8, 1), int)], axis=1), scope)
    np.testing.assert_allclose(found.shapley.sum(axis=1), found.values[:, -1] - found.values[:, 0], atol=1e-9)
    np.testing.assert_allclose(found.shapley[:, 3], 0, atol=1e-9)  # a constant feature
    assert found.visits.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.shapley[2], shapley_of_table(found.values[2]))
