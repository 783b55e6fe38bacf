"""Trees as environments: play goes where the tree says, strategies survive the way through policies and back."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmarl
from jaxmarl.core import VectorEnv, rollout, start_rollout
from jaxmarl.core.policy import Policy, uniform_policy
from jaxmarl.core.rollout import actor_from_policy
from jaxmarl.envs.trees import (
    Goofspiel,
    KuhnPoker,
    behaviour_strategies,
    info_state_masks,
    kuhn_equilibrium,
    strategy_policy,
    strategy_table,
    tree_game,
)
from jaxmarl.games.extensive_metrics import extensive_nash_conv
from jaxmarl.games.extensive_rules import Chance, Decision, End, game_from_rules
from jaxmarl.games.extensive_zoo import kuhn_poker


@pytest.fixture(scope="module")
def kuhn():
    return jaxmarl.make("kuhn_poker")


def play(env, params, history):
    """Follows a history of actions, chance excepted (its draws are given first), and returns what each step says."""
    draws, *actions = history
    state, seen = env.initial(jnp.asarray(draws), params), []
    step = jax.jit(env.transition)
    for action in actions:
        mover = int(env.tables.player[state.node])
        seen.append((mover, np.asarray(env.observe(state, params)), np.asarray(env.action_mask(state, params))))
        both = jnp.full(env.num_agents, 0, jnp.int32).at[mover].set(action)
        state, reward, ended, _ = step(state, both, (), params)
    return state, seen, np.asarray(reward), bool(ended)


@pytest.mark.parametrize(
    ("history", "payoff"),
    [
        (((0.9, 0.1), 0, 0), 1.0),  # a king against a jack: pass, pass
        (((0.9, 0.1), 1, 0), 1.0),  # bet, fold
        (((0.9, 0.1), 0, 1, 1), 2.0),  # pass, bet, call
        (((0.1, 0.9), 1, 1), -2.0),  # a jack against a king: bet, call
        (((0.1, 0.9), 0, 1, 0), -1.0),  # pass, bet, fold
    ],
)
def test_kuhn_poker_is_played_by_its_rules(kuhn, history, payoff):
    env, params = kuhn
    _, seen, reward, ended = play(env, params, history)
    assert ended
    assert reward.tolist() == [payoff, -payoff]
    card = {0.9: 2, 0.1: 0}
    for step, (mover, obs, mask) in enumerate(seen):
        assert mover == step % 2
        assert mask[mover].tolist() == [True, True]
        assert mask[1 - mover].tolist() == [True, False]
        assert obs[1 - mover].sum() == 0
        assert obs[mover].sum() == 1
    # rows of the first player: cards at the first move, then cards facing a bet after a pass
    assert seen[0][1][0].argmax() == card[history[0][0]]


def test_returns_of_the_equilibrium_are_the_value(kuhn):
    env, params = kuhn
    known = env.benchmarks(params)
    vector, policy = VectorEnv(env, 2000), known["equilibrium"]
    actor = actor_from_policy(policy, 2000, 2)
    first, second = jax.random.split(jax.random.key(0))
    state = start_rollout(vector, actor, first, params)
    _, path, _ = jax.jit(lambda s, k: rollout(vector, actor, (), s, k, params, 12, keep_info=False))(state, second)
    ended = np.asarray(path.terminated)
    returns = np.asarray(path.episode_return)[ended]
    np.testing.assert_array_equal(returns.sum(1), 0)
    error = returns[:, 0].std() / len(returns) ** 0.5
    assert abs(returns[:, 0].mean() - known["value"]) < 4 * error
    assert env.benchmarks(params.replace(payoffs=2 * params.payoffs)) == {}


def test_all_of_kuhn_s_equilibria_are_equilibria(kuhn):
    game = kuhn[0].game
    judged = jax.jit(lambda strategies: (extensive_nash_conv(game, strategies), game.expected_payoffs(strategies)[0]))
    for alpha in (0.0, 0.2, 1 / 3):
        gap, value = judged(kuhn_equilibrium(alpha))
        assert float(gap) == pytest.approx(0, abs=1e-6)
        assert float(value) == pytest.approx(-1 / 18, abs=1e-6)
    assert float(judged(game.uniform_policies())[0]) > 0.5


@pytest.mark.parametrize("env", [KuhnPoker(3), Goofspiel()], ids=["kuhn", "goofspiel"])
def test_strategies_through_a_policy_and_back(env):
    rng = np.random.default_rng(0)
    tables = [rng.exponential(size=mask.shape) * np.asarray(mask) for mask in env.game.masks]
    given = tuple(jnp.asarray(table / table.sum(1, keepdims=True), jnp.float32) for table in tables)
    found = jax.jit(lambda table: behaviour_strategies(env, strategy_policy(), table))(strategy_table(given))
    for ours, theirs, mask in zip(found, given, env.game.masks, strict=True):
        assert ours.shape == mask.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_masks_are_those_of_the_tree():
    env = Goofspiel(3)
    rows = np.concatenate([np.asarray(mask) for mask in env.game.masks])
    np.testing.assert_array_equal(info_state_masks(env), rows)
    assert env.horizon == 4


def test_padded_games_last_as_long_as_the_longest_and_pay_once(kuhn):
    env = replace(kuhn[0], padded=True)
    params = env.default_params
    assert (kuhn[0].horizon, env.horizon) == (None, 3)
    state, paid = env.initial(jnp.array([0.9, 0.1]), params), []
    for action in (1, 0, 1):  # bet, fold, and a step of waiting
        masks = np.asarray(env.action_mask(state, params))
        state, reward, ended, _ = env.transition(state, jnp.full(2, action), (), params)
        paid.append((*reward.tolist(), bool(ended)))
    assert paid == [(0, 0, False), (1, -1, False), (0, 0, True)]
    assert masks.tolist() == [[True, False], [True, False]]
    assert env.observe(state, params).sum() == 0


def test_index_and_features_are_two_views(kuhn):
    env, params = kuhn
    view = replace(env, observation="index")
    state = env.initial(jnp.array([0.5, 0.9]), params)
    index = view.observe(state, params)
    assert index.tolist() == [1, env.num_info_states]  # a queen; the other waits
    np.testing.assert_array_equal(env.features(index), env.observe(state, params))


def test_equal_trees_are_equal_environments():
    first, second = (tree_game(kuhn_poker())[0] for _ in range(2))
    other = kuhn_poker()
    assert first == second
    assert hash(first) == hash(second)
    assert first != tree_game(replace(other, payoffs=2 * other.payoffs))[0]
    assert first.tables == KuhnPoker().tables
    with pytest.raises(ValueError, match="one that says its probabilities"):
        behaviour_strategies(first, uniform_policy(2), ())


def test_payoffs_and_odds_are_params(kuhn):
    env, params = kuhn
    doubled = replace(params, payoffs=2 * params.payoffs)
    assert play(env, doubled, ((0.9, 0.1), 0, 1, 1))[2].tolist() == [4.0, -4.0]
    env.validate(doubled)
    with pytest.raises(ValueError, match="chance must be non-negative"):
        env.validate(replace(params, chance=0.5 * params.chance))
    with pytest.raises(ValueError, match="params must be of shapes"):
        env.validate(replace(params, payoffs=params.payoffs[:1]))
    with pytest.raises(ValueError, match="num_players must be an integer in"):
        KuhnPoker(5)


def test_chance_ends_a_game_and_illegal_actions_count_as_the_first_legal_one():
    """Action 1 or 2, then chance: it ends, or one more move of the player."""

    def turn(moves):
        if len(moves) == 0:
            return Decision(0, "start", (1, 2))
        if len(moves) == 1:
            return Chance((0, 3), (0.25, 0.75))
        if len(moves) == 2 and moves[1] == 3:
            return Decision(0, moves, (0,))
        return End((float(moves[0]),))

    env, params = tree_game(game_from_rules((), turn, lambda moves, move: (*moves, move)))
    assert env.horizon is None
    assert (env.tables.first_draws, env.tables.later_draws) == (0, 1)
    start = env.initial((), params)
    assert env.action_mask(start, params).tolist() == [[False, True, True]]
    for action, draw, paid, ended in [(2, 0.2, 2.0, True), (0, 0.2, 1.0, True), (2, 0.25, 0.0, False)]:
        _, reward, over, _ = env.transition(start, jnp.array([action]), jnp.array([draw]), params)
        assert (float(reward[0]), bool(over)) == (paid, ended)
    blind = Policy(lambda _: (), lambda *_: None, probabilities=lambda *_: jnp.array([0.5, 0.3, 0.2]))
    (found,) = behaviour_strategies(env, blind, ())  # not told what is legal
    np.testing.assert_allclose(found, [[0, 0.8, 0.2], [1, 0, 0], [1, 0, 0]], atol=1e-6)
