"""Tabular learners against opponents with known best answers, and the arithmetic of their tables."""

import itertools
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import PopulationEnv, VectorEnv
from jaxmarl.core.seating import Player
from jaxmarl.envs.rps import RepeatedRPS, bot_players
from jaxmarl.evaluation import cross_play
from jaxmarl.learners import QLearningConfig, RegretMatchingConfig, over_seeds, q_learning, regret_matching
from jaxmarl.learners.tables import Contexts, _murmur3, add_in_turn
from jaxmarl.testing import check_policy
from jaxmarl.testing.probes import OneStep

SEEDS = 3


def make(config, bots=("copybot",), recall=1, matches=16, num_throws=100):
    """A learner against a few bots."""
    env = RepeatedRPS(num_throws=num_throws, recall=recall, layout="moves")
    learner = q_learning if isinstance(config, QLearningConfig) else regret_matching
    return learner(PopulationEnv(env, bot_players(env, bots), matches), config)


@cache
def trained(config, bot):
    """A learner, its tables for `SEEDS` seeds, and its metrics `[updates, SEEDS]`."""
    learner = make(config, (bot,))
    updates = 300 if isinstance(config, QLearningConfig) else 60
    many = over_seeds(learner, SEEDS)
    run = jax.jit(lambda key: jax.lax.scan(lambda s, _: many.update(s), many.init(key), length=updates))
    state, metrics = run(jax.random.key(0))
    return learner, state.table, {name: np.asarray(values) for name, values in metrics.items()}


def evaluated(learner, tables, bot, matches=10):
    """Mean reward a throw of each seed's evaluation policy, and the standard error of a mean of unit payoffs."""
    env = RepeatedRPS(num_throws=500, layout="moves")
    agent = Player(learner.policy, tables, view=env, members=SEEDS)
    result = cross_play(env, [[agent], bot_players(env, [bot])], jax.random.key(9), matches)
    return result.payoffs[..., 0].ravel() / 500, 1 / np.sqrt(500 * matches)


@pytest.mark.parametrize("full_information", [False, True])
def test_regret_matching_turns_to_paper_against_rock(full_information):
    learner, tables, metrics = trained(RegretMatchingConfig(recall=0, full_information=full_information), "rockbot")
    assert tables.shape == (SEEDS, 1, 3)
    late = metrics["reward"][20:].mean(axis=0)
    # a throw earns 0.9 with variance 0.9 · 1 + 0.1 · (2 / 3) - 0.81
    np.testing.assert_allclose(late, 0.9, atol=4 * np.sqrt(0.157 / (40 * 1600)))
    np.testing.assert_array_equal(evaluated(learner, tables, "rockbot")[0], 1.0)


CONFIGS = {
    # with the default discount, what all lanes lose together at the end of a match of 100 throws would drown the rest
    "q_learning": QLearningConfig(recall=1, discount=0.9, epsilon_steps=100_000),
    "sampled": RegretMatchingConfig(),
    "full_information": RegretMatchingConfig(full_information=True),
}
BEST = {"rotatebot": 1.0, "copybot": 1.0, "switchbot": 0.5, "r226bot": 0.4, "randbot": 0.0}


@pytest.mark.parametrize("bot", BEST)
@pytest.mark.parametrize("config", CONFIGS)
def test_the_best_answer_to_the_last_throw_is_found(config, bot):
    learner, tables, _ = trained(CONFIGS[config], bot)
    reward, error = evaluated(learner, tables, bot)
    if BEST[bot] == 1.0:
        assert reward.min() >= 0.95
    else:
        np.testing.assert_allclose(reward, BEST[bot], atol=4 * error)


def test_values_of_a_short_match_are_exact():
    """Two throws against rock under uniform play; nothing follows the last one, although its context has a row."""
    config = QLearningConfig(recall=1, step_size=0.5, epsilon_start=1.0, epsilon_end=1.0, steps_per_update=2)
    learner = make(config, ("rockbot",), matches=64, num_throws=2)
    state, _ = jax.jit(lambda s: jax.lax.scan(lambda s, _: learner.update(s), s, length=40))(
        learner.init(jax.random.key(0))
    )
    stage = np.array([0.0, 1.0, -1.0])
    np.testing.assert_allclose(state.table[0], stage + 0.99, atol=1e-5)
    for own in range(3):
        np.testing.assert_allclose(state.table[1 + 3 * own], stage, atol=1e-5)


def test_exploration_falls_linearly_and_stays():
    config = QLearningConfig(recall=1, epsilon_steps=3200)
    learner = make(config)
    _, metrics = jax.lax.scan(lambda s, _: learner.update(s), learner.init(jax.random.key(0)), length=4)
    np.testing.assert_allclose(metrics["epsilon"], [0.35, 0.2, 0.2, 0.2], atol=1e-6)
    assert learner.steps_per_update == 1600


def test_updates_of_one_cell_equal_a_sequence():
    row, column = jnp.array([[4, 4, 4, 2]]), jnp.array([[1, 1, 1, 0]])
    start = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    target = np.array([2.0, 2.0, 2.0, -1.0])
    error = jnp.asarray(target - start[row[0], column[0]], jnp.float32)[None]
    table, counts = add_in_turn(jnp.asarray(start), jnp.zeros((6, 3), jnp.int32), row, column, error, 0.3)
    expected = start.copy()
    for r, c, y in zip(row[0], column[0], target, strict=True):
        expected[r, c] += 0.3 * (y - expected[r, c])
    np.testing.assert_allclose(table, expected, atol=1e-6)
    assert not counts.any(), "the work space is returned as it came"


def test_unequal_updates_of_one_cell_are_the_mean_over_their_orders():
    targets, start, step_size = np.array([1.0, -1.0, 0.5, 3.0]), 0.2, 0.25

    def in_order(order):
        value = start
        for target in order:
            value += step_size * (target - value)
        return value

    expected = np.mean([in_order(order) for order in itertools.permutations(targets)])
    zero = jnp.zeros(4, jnp.int32)
    error = jnp.asarray(targets - start, jnp.float32)
    counts = jnp.zeros((1, 1), jnp.int32)
    table, _ = add_in_turn(jnp.full((1, 1), start, jnp.float32), counts, zero, zero, error, step_size)
    np.testing.assert_allclose(table[0, 0], expected, atol=1e-6)
    whole, _ = add_in_turn(jnp.full((1, 1), start, jnp.float32), counts, zero, zero, error, 1.0)
    np.testing.assert_allclose(whole[0, 0], targets.mean(), atol=1e-6)


def every_context(recall):
    """All rows of moves of `recall` throws, including those that no match has (a gap between throws)."""
    throws = [(-1, -1), *itertools.product(range(3), repeat=2)]
    rows = [sum(throw, ()) for throw in itertools.product(throws, repeat=recall)]
    return jnp.asarray(rows, jnp.int32).reshape(len(rows), 2 * recall)


def test_contexts_are_numbered():
    dense = Contexts.fitting(2, 10)
    assert not dense.hashed
    assert dense.size == 100
    assert sorted(dense.index(every_context(2)).tolist()) == list(range(100))
    obs = jnp.array([2, 1, 0, 2])  # newest first: (2, 1) is digit 8, (0, 2) is digit 3
    assert int(dense.index(obs)) == 38
    assert int(Contexts.fitting(1, 10).index(obs)) == 8
    assert int(Contexts.fitting(0, 10).index(obs)) == 0


def test_large_contexts_are_hashed_evenly():
    contexts = Contexts.fitting(10, 14)
    assert contexts.hashed
    obs = jax.random.randint(jax.random.key(0), (2**14, 20), 0, 3)
    for varied in (obs, obs.at[:, :18].set(1), obs.at[:, 12:].set(-1)):
        different = len(np.unique(varied, axis=0))
        expected = 2**14 * (1 - np.exp(-different / 2**14))
        rows = np.unique(contexts.index(varied))
        assert rows.min() >= 0
        assert rows.max() < 2**14
        np.testing.assert_allclose(len(rows), expected, atol=5 * np.sqrt(expected) if different > 9 else 1)


def test_the_hash_is_the_published_one():
    def reference(data):
        state = 0
        for i in range(0, len(data), 4):
            word = int.from_bytes(data[i : i + 4], "little") * 0xCC9E2D51 % 2**32
            word = (word << 15 | word >> 17) % 2**32 * 0x1B873593 % 2**32
            state ^= word
            state = ((state << 13 | state >> 19) % 2**32 * 5 + 0xE6546B64) % 2**32
        state ^= len(data)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            state = (state ^ state >> shift) * factor % 2**32
        return state

    assert reference(b"test") == 0xBA6BD213  # a published value
    for data in (b"test", b"testtest", bytes(12)):
        words = [jnp.uint32(int.from_bytes(data[i : i + 4], "little")) for i in range(0, len(data), 4)]
        assert int(_murmur3(words)) == reference(data)


@pytest.mark.parametrize("config", [QLearningConfig(recall=2), RegretMatchingConfig(recall=2)])
def test_a_hashed_table_without_collisions_holds_the_dense_one(config):
    dense, hashed = (type(config)(**{**vars(config), "hashed": flag, "log2_size": 16}) for flag in (False, True))
    rows = Contexts.fitting(2, 16, True).index(every_context(2))
    assert len(np.unique(rows)) == 100, "no collision"
    tables = []
    for variant in (dense, hashed):
        learner = make(variant, ("copybot", "switchbot"), recall=2)
        state = jax.jit(learner.init)(jax.random.key(1))
        tables.append(learner.params(jax.jit(learner.update)(state)[0]))
    dense_rows = tables[0][Contexts.fitting(2, 16).index(every_context(2))]
    assert len(np.unique(dense_rows, axis=0)) > 20, "something was learned"
    np.testing.assert_allclose(tables[1][rows], dense_rows, atol=1e-5)


@pytest.mark.parametrize("config", [QLearningConfig(), RegretMatchingConfig(recall=10)])
def test_a_step_touches_no_more_than_the_rows_it_visits(config):
    learner = make(config, recall=10)
    many = over_seeds(learner, 2)
    for subject in (learner, many):
        state = jax.eval_shape(subject.init, jax.random.key(0))
        compiled = jax.jit(subject.update, donate_argnums=0).lower(state).compile()
        table_bytes = state.table.size * 4
        assert compiled.memory_analysis().temp_size_in_bytes < table_bytes / 20, "the table was copied"


@pytest.mark.parametrize("config", [QLearningConfig(recall=1), RegretMatchingConfig()])
def test_updates_are_pure_and_go_on_where_they_stopped(config):
    learner = make(config, ("copybot", "switchbot"), num_throws=200)
    state = jax.jit(learner.init)(jax.random.key(1))
    update = jax.jit(learner.update)
    twice, metrics = update(update(state)[0])
    again, _ = update(update(state)[0])
    scanned, history = jax.jit(lambda s: jax.lax.scan(lambda s, _: learner.update(s), s, length=2))(state)
    for a, b, c in zip(*(jax.tree.leaves(s.table) for s in (twice, again, scanned)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, atol=1e-5)
    for name in ("reward", "reward_worst", "epsilon"):
        np.testing.assert_allclose(metrics[name], history[name][1], atol=1e-6)


def test_seeds_in_one_vmap_equal_separate_runs():
    learner = make(QLearningConfig(recall=1))
    many = over_seeds(learner, 2)
    state, _ = jax.jit(many.update)(jax.jit(many.init)(jax.random.key(5)))
    for i, key in enumerate(jax.random.split(jax.random.key(5), 2)):
        alone, _ = jax.jit(learner.update)(jax.jit(learner.init)(key))
        np.testing.assert_allclose(state.table[i], alone.table, atol=1e-5)


def test_both_seats_of_a_match_share_one_table():
    env = VectorEnv(RepeatedRPS(num_throws=100, layout="moves"), 8)
    learner = regret_matching(env, RegretMatchingConfig(full_information=True))
    state, metrics = jax.jit(learner.update)(jax.jit(learner.init)(jax.random.key(0)))
    assert learner.steps_per_update == 1600
    np.testing.assert_allclose(metrics["reward"], 0.0, atol=1e-7)
    assert np.isfinite(state.table).all()
    assert (state.table != 1e-6).any(axis=1).sum() == 10, "every context of a throw was visited"


@pytest.mark.parametrize("config", [QLearningConfig(recall=1), RegretMatchingConfig()])
def test_policies_conform(config):
    learner = make(config)
    table = jax.random.normal(jax.random.key(0), (10, 3))
    env = RepeatedRPS(layout="moves")
    check_policy(learner.policy, jnp.array([2, 1]), table, action_space=env.action_space(env.default_params))


@pytest.mark.parametrize(
    ("make_learner", "config"), [(q_learning, QLearningConfig), (regret_matching, RegretMatchingConfig)]
)
def test_policies_play_what_the_table_says(make_learner, config):
    learner = make_learner(VectorEnv(RepeatedRPS(num_throws=100, layout="moves"), 2), config(recall=1))
    table = jnp.zeros((10, 3)).at[8].set(jnp.array([3.0, -1.0, 3.0])).at[0].set(-1.0)
    units = (jnp.arange(100) + 0.5) / 100

    def frequencies(obs):
        moves = jax.vmap(lambda unit: learner.policy.act(table, (), jnp.array(obs), unit)[0])(units)
        return np.bincount(moves, minlength=3)

    np.testing.assert_array_equal(frequencies([2, 1]), [50, 0, 50])
    assert frequencies([-1, -1]).min() >= 33, "uniform where no move stands out"


@pytest.mark.parametrize(
    ("config", "settings", "words"),
    [
        (QLearningConfig, {"step_size": 0.0}, "step_size must be in (0, 1], got 0.0"),
        (QLearningConfig, {"discount": 1.5}, "discount must be in [0, 1], got 1.5"),
        (QLearningConfig, {"epsilon_steps": 0}, "epsilon_steps must be an integer in [1, 1073741824], got 0"),
        (QLearningConfig, {"recall": -1}, "recall must be an integer >= 0, got -1"),
        (QLearningConfig, {"log2_size": 31}, "log2_size must be an integer in [0, 30], got 31"),
        (QLearningConfig, {"hashed": False}, "hashed must be True or None (10^10 contexts, 2^20 rows), got False"),
        (QLearningConfig, {}, "recall must be an integer in [0, 1], got 10"),
        (QLearningConfig, {"recall": 1, "steps_per_update": 30}, "num_steps must be a divisor of the horizon 100"),
        (RegretMatchingConfig, {"epsilon": 0.0}, "epsilon must be in (0, 1], since rare moves"),
        (RegretMatchingConfig, {"initial_regret": -1.0}, "initial_regret must be non-negative, got -1.0"),
        (RegretMatchingConfig, {"full_information": 1}, "full_information must be True or False, got 1"),
    ],
)
def test_wrong_settings_are_refused(config, settings, words):
    with pytest.raises(ValueError, match="must be") as error:
        make(config(**settings))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_other_environments_are_refused():
    for env in (OneStep(), RepeatedRPS(num_throws=100)):
        with pytest.raises(ValueError, match=r"env must be a batch of RepeatedRPS\(layout='moves'\)"):
            q_learning(VectorEnv(env, 2), QLearningConfig(recall=1))
    game = RepeatedRPS(num_throws=100, layout="moves")
    params = jax.tree.map(lambda x: jnp.stack([x, x]), game.default_params)
    with pytest.raises(ValueError, match="share one table"):
        regret_matching(VectorEnv(game, 2, stacked_params=True), RegretMatchingConfig(), params)
