"""Harvest and Clean-up: walking, beams, regrowth, waste, the measures of a society, and what scripted agents do."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.core import Player
from jaxmarl.envs.gridworlds import CommonsState, equality, sustainability
from jaxmarl.envs.gridworlds.clean_up import CLEAN
from jaxmarl.envs.gridworlds.commons import BEAM, Walkers, freeze, in_beam, walk
from jaxmarl.envs.gridworlds.harvest import apples_near
from jaxmarl.evaluation import play_profiles

UP, DOWN, LEFT, RIGHT, STAY = range(5)


def walkers(cells, facing, frozen=0) -> Walkers:
    n = len(cells)
    numbers = (np.broadcast_to(x, n).astype(np.int32) for x in (facing, frozen))
    return Walkers(jnp.asarray(cells, jnp.int32), *map(jnp.asarray, numbers))


def at_start(env, agents, waste=None, apples=None) -> CommonsState:
    none = jnp.zeros(env.shape, bool)
    grids = (none if x is None else jnp.asarray(x) for x in (apples, waste))
    return CommonsState(jnp.zeros((), jnp.int32), agents, *grids)


def test_nobody_walks_into_anybody():
    agents = walkers([[0, 0], [0, 2], [1, 0], [2, 2]], STAY)
    after = walk(agents, jnp.asarray([RIGHT, LEFT, UP, RIGHT], jnp.int32), (3, 3))
    # the first two want one cell, the third a held one, the fourth leaves the grid
    assert after.cells.tolist() == agents.cells.tolist()
    assert after.facing.tolist() == [RIGHT, LEFT, UP, RIGHT]
    after = walk(agents, jnp.asarray([RIGHT, STAY, BEAM, UP], jnp.int32), (3, 3))
    assert after.cells.tolist() == [[0, 1], [0, 2], [1, 0], [1, 2]]
    frozen = walkers([[0, 0]], UP, 3)
    assert walk(frozen, jnp.asarray([RIGHT], jnp.int32), (3, 3)).facing.tolist() == [UP]


def test_beams_freeze_straight_ahead():
    agents = walkers([[2, 0], [2, 3], [2, 5], [0, 0]], [RIGHT, UP, LEFT, DOWN])
    beam = in_beam(agents, agents.cells, 4).astype(int).tolist()
    assert beam == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    steps = jnp.asarray(25, jnp.int32)
    after = freeze(agents, jnp.asarray([BEAM, STAY, STAY, STAY], jnp.int32), 4, steps)
    assert after.frozen.tolist() == [0, 25, 0, 0]
    # a frozen agent fires nothing, and another hit adds nothing
    after = freeze(after, jnp.asarray([BEAM, BEAM, STAY, BEAM], jnp.int32), 4, steps)
    assert after.frozen.tolist() == [25, 24, 0, 0]


def test_apples_near_are_within_euclidean_distance_two():
    apples = np.random.default_rng(0).random((7, 8)) < 0.4
    rows, columns = np.indices(apples.shape)
    for row, column in ((0, 0), (3, 4), (6, 7), (2, 1)):
        near = (rows - row) ** 2 + (columns - column) ** 2 <= 4
        expected = (apples & near).sum() - apples[row, column]
        assert int(apples_near(jnp.asarray(apples))[row, column]) == expected


def test_apples_regrow_by_their_neighbours():
    env, params = make("harvest", num_agents=1)
    state = at_start(env, walkers([[0, 0]], UP))
    step = jax.jit(lambda apples, unit: env.transition(replace(state, apples=apples), _stay(1), unit, params)[0].apples)
    for count, rate in ((0, 0.0), (1, 0.01), (2, 0.01), (3, 0.05), (4, 0.05), (5, 0.1), (12, 0.1)):
        near = [(1, 3), (2, 2), (2, 3), (2, 4), (3, 1), (3, 2), (3, 4), (3, 5), (4, 2), (4, 3), (4, 4), (5, 3)][:count]
        apples = np.zeros(env.shape, bool)
        apples[tuple(np.array(near, int).reshape(-1, 2).T)] = True
        for unit in (0.999 * rate, rate):
            grown = step(jnp.asarray(apples), jnp.full((1, *env.shape), unit, jnp.float32))
            assert bool(grown[3, 3]) == (unit < rate)


def _stay(n):
    return jnp.full(n, STAY, jnp.int32)


def test_equality_and_sustainability():
    assert equality([3.0, 3.0, 3.0]) == pytest.approx(1)
    assert equality([0.0, 0.0, 0.0]) == pytest.approx(1)
    assert equality([[0.0, 0.0, 0.0, 8.0], [1.0, 2.0, 3.0, 4.0]]) == pytest.approx([0.25, 0.75])
    rewards = np.zeros((10, 2, 3))
    rewards[0, 0, 0] = rewards[4, 0, 0] = rewards[9, 0, 1] = 1  # means 3 and 10
    assert sustainability(rewards) == pytest.approx([6.5, np.nan], nan_ok=True)


@pytest.fixture(scope="module")
def harvests():
    """16 episodes each of greedy and of restrained agents."""
    env, params = make("harvest", num_steps=400)
    profiles = [[Player(env.benchmarks(params)[name])] * 4 for name in ("greedy", "restrained")]
    return env, play_profiles(env, profiles, jax.random.key(0), num_episodes=16)


def test_restraint_sustains_the_harvest(harvests):
    _, (greedy, restrained) = harvests
    assert greedy.info["apples"][-1].mean() < 2
    assert restrained.info["apples"][-1].mean() > 10
    assert restrained.returns.sum(axis=1).mean() > 2 * greedy.returns.sum(axis=1).mean()
    assert np.nanmean(sustainability(restrained.rewards)) > 2 * np.nanmean(sustainability(greedy.rewards))
    assert equality(restrained.returns).min() > 0.5


def test_harvests_add_up(harvests):
    env, all_episodes = harvests
    for episodes in all_episodes:
        states = episodes.states
        codes = states.agents.cells[..., 0] * 100 + states.agents.cells[..., 1]
        assert (np.diff(np.sort(codes, axis=-1), axis=-1) > 0).all()  # nobody shares a cell
        assert not states.apples[:, :, ~env.orchard].any()
        gone = (states.apples[:-1] & ~states.apples[1:]).sum(axis=(-1, -2))
        np.testing.assert_array_equal(gone, episodes.rewards.sum(axis=-1))


@pytest.fixture(scope="module")
def clean_ups():
    """16 episodes each of four gatherers, of two with two cleaners, and of four cleaners."""
    env, params = make("clean_up", num_steps=300)
    known = {name: Player(policy) for name, policy in env.benchmarks(params).items()}
    teams = [[known["gatherer"]] * k + [known["cleaner"]] * (4 - k) for k in (4, 2, 0)]
    return env, play_profiles(env, teams, jax.random.key(0), num_episodes=16)


def test_apples_need_somebody_who_cleans(clean_ups):
    _, (gatherers, mixed, cleaners) = clean_ups
    assert gatherers.info["waste"][-1].min() > 0.9
    assert mixed.info["waste"][-100:].mean() < 0.2
    assert mixed.returns[:, :2].sum(axis=1).mean() > 50
    assert gatherers.returns.sum(axis=1).mean() < 0.1 * mixed.returns.sum(axis=1).mean()
    assert cleaners.returns.sum(axis=1).mean() < 0.1 * mixed.returns.sum(axis=1).mean()
    assert equality(mixed.returns).max() < 0.6  # whoever cleans earns next to nothing


def test_waste_adds_up(clean_ups):
    env, all_episodes = clean_ups
    river = int(env.river.sum())
    for episodes in all_episodes:
        count = episodes.states.waste.sum(axis=(-1, -2))
        assert not episodes.states.waste[:, :, ~env.river].any()
        fresh = np.diff(count, axis=0) + (episodes.states.waste[:-1] & ~episodes.states.waste[1:]).sum(axis=(-1, -2))
        assert set(np.unique(fresh)) <= {0, 1}
        np.testing.assert_allclose(episodes.info["waste"], count[1:] / river, rtol=1e-6)
    alone = all_episodes[0].states.waste.sum(axis=(-1, -2))
    grown = np.diff(alone, axis=0)[alone[:-1] < river]
    assert grown.mean() == pytest.approx(0.5, abs=4 * 0.5 / len(grown) ** 0.5)


def test_growth_falls_with_waste():
    """With a tenth of the river dirty, growth is three quarters of 0.05; from two fifths on it is none."""
    env, params = make("clean_up", num_agents=1, rows=10, river_columns=1)
    state = at_start(env, walkers([[0, 4]], LEFT))

    @jax.jit
    def grown(waste, unit, action):
        chance = {"grid": jnp.full((1, *env.shape), unit), "waste": jnp.ones((1, 2), jnp.float32)}
        after, _, _, info = env.transition(replace(state, waste=waste), action, chance, params)
        return jnp.sum(after.apples), info["cleaned"]

    for dirty, rate in ((0, 0.05), (1, 0.0375), (2, 0.025), (3, 0.0125)):
        waste = np.zeros(env.shape, bool)
        waste[10 - dirty :, 0] = True
        assert int(grown(waste, jnp.float32(0.999 * rate), _stay(1))[0]) == env.orchard.sum()
        assert int(grown(waste, jnp.float32(1.001 * rate), _stay(1))[0]) == 0
    waste = np.zeros(env.shape, bool)
    waste[:4, 0] = True
    assert int(grown(waste, jnp.float32(0), _stay(1))[0]) == 0
    # cleaning the one cell ahead makes it three
    count, cleaned = grown(waste, jnp.float32(0.012), jnp.asarray([CLEAN], jnp.int32))
    assert (int(count), cleaned.tolist()) == (env.orchard.sum(), [1])


def test_observations_are_centred():
    env, params = make("clean_up", num_agents=2, view=3)
    agents = walkers([[0, 1], [2, 2]], [DOWN, LEFT], [0, 5])
    waste = np.zeros(env.shape, bool)
    waste[1, 0] = True
    apples = np.zeros(env.shape, bool)
    apples[3, 4] = True
    obs = np.asarray(jax.jit(env.observe)(at_start(env, agents, waste, apples), params))
    seen = [[np.argwhere(obs[i, ..., k]).tolist() for k in range(7)] for i in range(2)]
    first, second = seen
    assert first[:4] == [[[6, 6]], [[5, 4]], [[5, 4]], [[4, 3]]]
    assert second[:4] == [[[4, 5]], [[1, 2]], [[3, 3]], [[3, 2]]]
    assert (first[5], second[5]) == ([[4, 2]], [[2, 1]])
    assert obs[0, :3, :, 4].all()
    assert obs[0, :, :2, 4].all()
    assert obs[0, ..., 4].sum() == 7 * 3 + 4 * 2
    assert obs[0, ..., 6].sum() == 4 * 3


@pytest.mark.parametrize("name", ["harvest", "clean_up"])
def test_pictures(name):
    env, params = make(name)
    _, state = jax.jit(env.reset)(jax.random.key(2), params)
    image = env.render(state, params)
    assert image.shape[0] % env.shape[0] == 1
    frozen = replace(state, agents=state.agents.replace(frozen=jnp.full(4, 3, jnp.int32)))
    assert (env.render(frozen, params) != image).any()


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("harvest", {"num_agents": 0}, "num_agents must be an integer in"),
        ("harvest", {"patch_radius": 0}, "patch_radius must be an integer in .1, 100."),
        ("harvest", {"view": 15}, r"view must be an integer in \[1, 14\]"),
        ("clean_up", {"rows": 0}, "rows must be an integer in .1, 10000."),
        ("clean_up", {"beam_length": 0}, "beam_length must be an integer >= 1"),
    ],
)
def test_wrong_fields_are_refused(name, fields, message):
    with pytest.raises(ValueError, match=message):
        make(name, **fields)


def test_wrong_params_are_refused():
    env, params = make("harvest")
    with pytest.raises(ValueError, match=r"regrowth must be in \[0, 1\]"):
        env.validate(replace(params, regrowth=np.array([0, 0, 0, 2.0])))
    env, params = make("clean_up")
    with pytest.raises(ValueError, match="threshold must be positive"):
        env.validate(replace(params, threshold=0.0))
