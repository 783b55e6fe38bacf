"""Ours against `lbforaging` 2.0, step by step, on 6000 recorded steps (scripts/reproduce/record_foraging_peer.py)."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core.policy import MaskedObs
from jaxmarl.envs.gridworlds import HEURISTICS, Foraging, ForagingState, heuristic

RECORD = np.load(Path(__file__).parents[1] / "data" / "foraging_peer.npz")
SETTINGS = {
    "Foraging-8x8-2p-3f": (0.0, True),
    "Foraging-2s-5x5-2p-2f-coop": (0.0, True),
    "Foraging-5x5-5p-2f": (0.0, True),
    "Foraging-1s-6x6-4p-2f": (0.1, False),
}


def test_every_recorded_setting_is_compared():
    assert {key.split("/")[0] for key in RECORD} == set(SETTINGS)


@pytest.fixture(scope="module", params=SETTINGS)
def setting(request):
    """The record of a setting, and what ours does from the same states."""
    name, (penalty, normalised) = request.param, SETTINGS[request.param]
    rows = {key.split("/")[1]: RECORD[key] for key in RECORD if key.startswith(f"{name}/")}
    env = Foraging.from_name(name + "-v3", normalised=normalised)
    params = replace(env.default_params, penalty=jnp.float32(penalty))
    states = _states(env, rows)

    @jax.jit
    @jax.vmap
    def ours(state, action, unit):
        obs, mask = env.observe(state, params), env.action_mask(state, params)
        after, reward, terminated, _ = env.transition(state, action, (), params)
        policies = [heuristic(name, env.num_foods) for name in HEURISTICS]
        seen = MaskedObs(obs, mask)
        chosen = [jax.vmap(lambda o, p=p: p.act((), (), o, unit)[0])(seen) for p in policies]
        return obs, mask, jnp.stack(chosen), after, reward, terminated | env.truncated(after, params)

    units = np.random.default_rng(0).random(len(rows["done"]), np.float32)
    return env, rows, jax.tree.map(np.asarray, ours(states, rows["action"].astype(np.int32), units))


def _states(env: Foraging, rows: dict) -> ForagingState:
    """The recorded states as ours."""
    foods = np.zeros((len(rows["done"]), env.num_foods, 2), np.int32)
    levels = np.zeros(foods.shape[:2], np.int32)
    for t, field in enumerate(rows["field"]):
        cells = np.argwhere(field)[::-1]  # any order will do
        foods[t, : len(cells)], levels[t, : len(cells)] = cells, field[tuple(cells.T)]
    started = np.maximum.accumulate(np.where(rows["start"], np.arange(len(foods)), 0))
    age = (np.arange(len(foods)) - started).astype(np.int32)
    agents, spawned = rows["agents"].astype(np.int32), rows["spawned"].astype(np.int32)
    return ForagingState(age, agents, rows["levels"].astype(np.int32), foods, levels, spawned)


def test_steps_are_equal(setting):
    _, rows, (_, _, _, after, reward, done) = setting
    np.testing.assert_allclose(reward, rows["reward"], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(done, rows["done"])
    goes_on = np.flatnonzero(~rows["done"][:-1])
    np.testing.assert_array_equal(after.agents[goes_on], rows["agents"][goes_on + 1])
    fields = np.zeros_like(rows["field"])
    t, k = np.nonzero(after.food_levels)
    fields[t, after.foods[t, k, 0], after.foods[t, k, 1]] = after.food_levels[t, k]
    np.testing.assert_array_equal(fields[goes_on], rows["field"][goes_on + 1])


def test_legal_actions_and_observations_are_equal(setting):
    env, rows, (obs, mask, *_) = setting
    np.testing.assert_array_equal(mask, rows["legal"])
    np.testing.assert_array_equal(obs, rows["obs"])
    assert obs.max() <= env.observation_space(env.default_params).high


def test_heuristics_decide_alike(setting):
    _, rows, (_, mask, chosen, *_) = setting
    certain = rows["decisions"] >= 0
    np.testing.assert_array_equal(chosen[certain], rows["decisions"][certain])
    assert certain.sum() > 1000
    legal = np.take_along_axis(np.broadcast_to(mask[:, None], (*chosen.shape, 6)), chosen[..., None], axis=-1)
    assert legal.all()


def test_the_record_holds_what_matters(setting):
    """Agents that collide, share cells, load together, and load in vain."""
    _, rows, (_, _, _, after, reward, _) = setting
    moves = (
        (rows["action"] >= 1)
        & (rows["action"] <= 4)
        & np.take_along_axis(rows["legal"], rows["action"][..., None].astype(int), axis=-1)[..., 0]
    )
    stopped = moves & (after.agents == rows["agents"]).all(axis=-1)
    assert stopped.sum() > 20
    assert ((reward > 0).sum(axis=1) >= 2).sum() > 10
    vain = (rows["action"] == 5) & rows["legal"][:, :, 5] & (reward <= 0)
    assert vain.sum() > 20
