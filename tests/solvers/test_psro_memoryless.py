"""Networks without memory as members: tables of what they play, and mixtures of tables by state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.fixed_horizon import FixedHorizon
from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.markov.enumerate import enumerate_game
from jaxmarl.envs.markov.soccer import Soccer
from jaxmarl.games.markov_zoo import random_zero_sum
from jaxmarl.learners.policy_gradient import PPOConfig
from jaxmarl.solvers.psro import MarkovPsro, unroll
from jaxmarl.solvers.psro.memoryless import markov_nash_conv, memoryless_ppo_oracle, policy_tables, state_mixtures

STEPS, WEIGHTS = 2, (np.array([0.3, 0.7]), np.array([0.6, 0.0, 0.4]))


def dirichlet(seed, size, count):
    return np.random.default_rng(seed).dirichlet(np.ones(2), (count, size)).astype(np.float32)


def test_where_states_are_histories_a_mixture_by_state_is_the_mixture():
    """On a tree: the NashConv is that of members drawn once an episode."""
    history = unroll(random_zero_sum(jax.random.key(3), 2, (2, 2), discount=1.0, horizon=STEPS))
    psro, tree = MarkovPsro(history), history.game
    tables = dirichlet(0, tree.num_states, 2), dirichlet(1, tree.num_states, 3)

    @jax.jit
    def gains(tables):
        found, populations = [], tables
        for seat in range(2):
            others = jnp.asarray(WEIGHTS[1 - seat], jnp.float32)
            best = psro.best_response(seat, populations, others, jax.random.key(0))
            found.append(psro.payoff_row(seat, best, populations, jax.random.key(0)).mean[seat] @ others)
        return sum(found)  # of a zero-sum game

    policies = state_mixtures(tree, tables, WEIGHTS)
    assert float(markov_nash_conv(tree, policies)) == pytest.approx(float(gains(tables)), abs=1e-5)


def test_mixtures_by_state_are_policies_and_one_member_is_itself():
    game = random_zero_sum(jax.random.key(4), 3, (2, 2), discount=0.9, horizon=STEPS)
    tables = dirichlet(2, 3, 2), dirichlet(3, 3, 3)
    for policy in state_mixtures(game, tables, WEIGHTS):
        np.testing.assert_allclose(policy.sum(-1), 1, atol=1e-6)
    alone = state_mixtures(game, tables, (np.array([0.0, 1.0]), np.array([0.0, 0.0, 1.0])))
    np.testing.assert_allclose(alone[0], np.broadcast_to(tables[0][1], alone[0].shape), atol=1e-6)
    np.testing.assert_allclose(alone[1], np.broadcast_to(tables[1][2], alone[1].shape), atol=1e-6)
    # first states are all as likely under every member
    mixed = state_mixtures(game, tables, WEIGHTS)[0]
    np.testing.assert_allclose(mixed[0], np.tensordot(WEIGHTS[0], tables[0], 1), atol=1e-6)


@pytest.fixture(scope="module")
def trained():
    """Fresh parameters of two members on a small field, and their tables."""
    field = Soccer(num_rows=2, num_columns=3, goal_rows=(0,), starts=((0, 2), (1, 0)))
    config = PPOConfig(hidden=8, chunk_length=4, minibatches=1, label_weight=0.0, discount=1.0)
    batch = VectorEnv(FixedHorizon(field, 4), 2)
    learners = [memoryless_ppo_oracle(config, greedy)(batch, field.default_params) for greedy in (False, True)]
    init = jax.jit(lambda key: learners[0].params(learners[0].init(key)))
    members = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(init(jax.random.key(seed)) for seed in range(2)))
    members = jax.tree.map(lambda leaf: 20 * leaf, members)  # not nearly uniform
    table = enumerate_game(field, discount=1.0, horizon=4)
    return field, config, learners, members, table


def test_tables_are_what_the_policies_play(trained):
    field, config, (draws, greedy), members, table = trained
    tables = policy_tables(field, config, members, table.states, 1)
    assert tables.shape == (2, table.game.num_states, 5)
    np.testing.assert_allclose(tables.sum(-1), 1, atol=1e-5)

    @jax.jit
    def play(weights, state, chances):
        seen = field.observe(state, field.default_params)[1]
        drawn = jax.vmap(lambda chance: draws.policy.act(weights, (), seen, chance)[0])(chances)
        return drawn, greedy.policy.act(weights, (), seen, ())[0]

    chances = (jnp.arange(2000) + 0.5) / 2000
    for k, s in ((0, 0), (1, 17), (1, 40)):
        weights, state = (
            jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i, tree in ((k, members), (s, table.states))
        )
        drawn, likeliest = play(weights, state, chances)
        np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 2000, tables[k, s], atol=1.5e-3)
        assert int(likeliest) == tables[k, s].argmax()
