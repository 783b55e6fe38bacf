"""Level-based foraging: worth of food, starts, names, and what the heuristics bring home."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.core import Player, draw
from jaxmarl.envs.gridworlds import Foraging, ForagingState
from jaxmarl.envs.gridworlds.foraging import LOAD, NONE
from jaxmarl.evaluation import play_profiles

ENV, PARAMS = make("foraging", num_foods=2, max_level=1)


def test_food_is_worth_its_level_shared_by_level():
    """Two agents of level 1, foods of levels 2 and 1: a third to each for the first, a third to one for the second."""
    agents, foods = jnp.asarray([[3, 4], [3, 2]], jnp.int32), jnp.asarray([[3, 3], [1, 3]], jnp.int32)
    ones, two_one = jnp.ones(2, jnp.int32), jnp.asarray([2, 1], jnp.int32)
    state = ForagingState(jnp.zeros((), jnp.int32), agents, ones, foods, two_one, jnp.asarray(3, jnp.int32))
    step = jax.jit(lambda state, *action: ENV.transition(state, jnp.stack(action), (), PARAMS))
    load, none = jnp.int32(LOAD), jnp.int32(NONE)

    _, reward, done, _ = step(state, load, none)
    assert reward.tolist() == [0, 0]  # alone, in vain
    after, reward, done, info = step(state, load, load)
    np.testing.assert_allclose(reward, [1 / 3, 1 / 3], rtol=1e-6)
    assert info["loaded"].tolist() == [True, False]
    assert not done
    after = replace(after, agents=jnp.asarray([[1, 4], [5, 5]], jnp.int32))
    after, reward, done, _ = step(after, load, none)
    np.testing.assert_allclose(reward, [1 / 3, 0], rtol=1e-6)
    assert done
    assert after.food_levels.tolist() == [0, 0]


@pytest.mark.parametrize("coop", [False, True])
def test_starts(coop):
    env, params = make("foraging", num_agents=4, num_foods=4, size=7, coop=coop)
    many = jax.jit(lambda key: jax.vmap(env.initial, (0, None))(draw(env.reset_chance, key, (500,)), params))
    start = jax.tree.map(np.asarray, many(jax.random.key(0)))
    assert set(np.unique(start.levels)) == {1, 2}
    lowest = np.sort(start.levels, axis=1)[:, :3].sum(axis=1)
    there = start.food_levels > 0
    assert there.mean() > 0.9  # now and then the inner 5 by 5 cells have no room for a fourth
    assert (start.spawned == start.food_levels.sum(axis=1)).all()
    if coop:
        assert (start.food_levels[there] == np.broadcast_to(lowest[:, None], there.shape)[there]).all()
    else:
        assert (start.food_levels <= lowest[:, None]).all()
        assert set(np.unique(start.food_levels[there])) == set(range(1, 7))
    assert (start.foods[there] >= 1).all()
    assert (start.foods[there] <= 5).all()
    agents = start.agents[:, :, 0] * 7 + start.agents[:, :, 1]
    foods = np.where(there, start.foods[:, :, 0] * 7 + start.foods[:, :, 1], -1 - np.arange(4))
    assert all(len(set(row)) == 8 for row in np.concatenate([agents, foods], axis=1).tolist())
    apart = np.abs(start.foods[:, :, None] - start.foods[:, None])
    pairs = there[:, :, None] & there[:, None] & ~np.eye(4, dtype=bool)
    assert apart.max(axis=-1)[pairs].min() >= 2
    straight = pairs & (apart.min(axis=-1) == 0)
    assert apart.max(axis=-1)[straight].min() >= 3


def test_names():
    env = Foraging.from_name("Foraging-2s-8x8-3p-2f-coop-v3")
    assert env == Foraging(num_agents=3, num_foods=2, size=8, sight=2, coop=True)
    assert Foraging.from_name("Foraging-5x5-2p-1f") == Foraging(num_agents=2, num_foods=1, size=5)
    for name in ("Foraging-8x8-2p", "Foraging-8x9-2p-1f"):
        with pytest.raises(ValueError, match="name must be"):
            Foraging.from_name(name)


def test_heuristics_and_their_returns():
    """Where all food takes two, those who agree on one load most, and who wants food it can load alone loads none."""
    env, params = make("foraging", num_foods=2, size=6, coop=True)
    known = env.benchmarks(params)
    profiles = [[Player(known[name])] * 2 for name in ("H1", "H3", "H4")]
    nearest, alone, agreed = play_profiles(env, profiles, jax.random.key(0), num_episodes=200, num_steps=50)
    for episodes in (nearest, alone, agreed):
        total = episodes.returns.sum(axis=1)
        assert total.max() <= known["most"] + 1e-5
        np.testing.assert_allclose(total[~episodes.alive[-1]], 1, atol=1e-5)
    means = [episodes.returns.sum(axis=1).mean() for episodes in (alone, nearest, agreed)]
    assert means[0] < 0.1
    assert means[0] + 0.1 < means[1] < means[2] - 0.1


def test_pictures():
    _, state = jax.jit(ENV.reset)(jax.random.key(2), PARAMS)
    image = ENV.render(state, PARAMS)
    assert image.shape == (321, 321, 3)
    eaten = ENV.render(replace(state, food_levels=state.food_levels * 0), PARAMS)
    assert (eaten != image).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 2}, "size must be an integer >= 3"),
        ({"num_agents": 65}, r"num_agents must be an integer in \[1, 64\]"),
        ({"num_foods": 0}, "num_foods must be an integer >= 1"),
        ({"sight": 0}, "sight must be an integer >= 1"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        make("foraging", **fields)


def test_wrong_params_are_refused():
    with pytest.raises(ValueError, match="penalty must be at least 0"):
        ENV.validate(replace(PARAMS, penalty=-1.0))
