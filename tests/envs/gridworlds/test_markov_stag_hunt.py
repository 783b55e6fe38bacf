"""The stag hunt on a grid: what the rules say, step by step, and what scripted hunters earn."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl import make
from jaxmarl.core import Player
from jaxmarl.envs.gridworlds import StagHuntState
from jaxmarl.evaluation import play_episodes, play_profiles

ENV, PARAMS = make("markov_stag_hunt")
UP, DOWN, LEFT, RIGHT, STAY = range(5)
UNITS = {"stag": jnp.full((1, 2), 0.3, jnp.float32), "cells": jnp.full(3, 0.5, jnp.float32)}


@pytest.fixture(scope="module")
def step():
    """Jitted `(agents, stag, plants, action) -> state, reward, info`, with fixed chance."""

    @jax.jit
    def go(agents, stag, plants, action, units):
        state = StagHuntState(jnp.zeros((), jnp.int32), agents, stag, plants)
        state, reward, _, info = ENV.transition(state, action, units, PARAMS)
        return state, reward, info

    return lambda *args, units=UNITS: go(*(jnp.asarray(x, jnp.int32) for x in args), units)


PLANTS = [[4, 0], [4, 4]]


def test_the_stag_takes_two(step):
    state, reward, info = step([[1, 2], [2, 1]], [2, 2], PLANTS, [DOWN, RIGHT])
    assert reward.tolist() == [5, 5]
    assert (int(info["catches"]), int(info["maulings"])) == (1, 0)
    assert state.stag.tolist() not in [[2, 2], *PLANTS]
    state, reward, info = step([[1, 2], [4, 1]], [2, 2], PLANTS, [DOWN, STAY])
    assert reward.tolist() == [-5, 0]
    assert (int(info["catches"]), int(info["maulings"])) == (0, 1)
    assert info["gored"].tolist() == [1, 0]
    assert state.stag.tolist() == [2, 2]  # it stays with whom it gores


def test_plants_pay_everyone_on_them_and_regrow(step):
    state, reward, info = step([[3, 0], [4, 1]], [0, 2], PLANTS, [DOWN, LEFT])
    assert reward.tolist() == [1, 1]
    assert info["plants"].tolist() == [1, 1]
    assert state.plants[1].tolist() == [4, 4]
    taken = [[4, 0], [4, 4], [0, 2], state.stag.tolist()]
    assert state.plants[0].tolist() not in taken


@pytest.mark.parametrize(
    ("agents", "cells"),
    [
        ([[0, 3], [4, 4]], {(2, 2), (1, 3)}),  # to the nearest, along one of two equally long ways
        ([[4, 3], [0, 1]], {(3, 2), (1, 2), (2, 3), (2, 1)} - {(2, 3), (2, 1)}),  # both near: towards either
        ([[2, 4], [0, 0]], {(2, 3)}),
    ],
)
def test_the_stag_charges_at_the_nearest(step, agents, cells):
    stag = [1, 2] if agents[0] == [0, 3] else [2, 2]
    seen = set()
    for unit in np.linspace(0, 0.99, 5):
        units = {**UNITS, "stag": jnp.asarray([[0.3, unit]], jnp.float32)}
        seen.add(tuple(step(agents, stag, PLANTS, [STAY, STAY], units=units)[0].stag.tolist()))
    assert seen == ({(0, 2), (1, 3)} if stag == [1, 2] else cells)


def test_the_stage_game():
    known = ENV.benchmarks(PARAMS)
    assert known["stage_game"].tolist() == [[5, -5], [1, 1]]
    for gore, share in ((0, 1 / 5), (2, 3 / 7), (5, 6 / 10), (10, 11 / 15)):
        known = ENV.benchmarks(replace(PARAMS, gore_penalty=jnp.asarray(float(gore))))
        assert known["indifference"] == pytest.approx(share)
        assert known["stag_is_risk_dominant"] == (gore < 3)


@pytest.fixture(scope="module")
def outcomes():
    """256 episodes of pairs of scripted hunters."""
    known = ENV.benchmarks(PARAMS)
    pairs = [("gatherer", "gatherer"), ("hunter", "hunter"), ("hunter", "gatherer"), ("wary_hunter", "wary_hunter")]
    players = {name: Player(known[name]) for name in ("gatherer", "hunter", "wary_hunter")}
    profiles = [[players[a], players[b]] for a, b in pairs]
    return dict(zip(pairs, play_profiles(ENV, profiles, jax.random.key(0), num_episodes=256), strict=True))


def test_gatherers_are_never_gored(outcomes):
    episodes = outcomes["gatherer", "gatherer"]
    assert episodes.rewards.min() == 0
    assert episodes.info["maulings"].sum() == 0
    assert episodes.returns.mean() > 5


def test_two_hunters_catch_stags_and_one_alone_is_gored(outcomes):
    together, alone = outcomes["hunter", "hunter"], outcomes["hunter", "gatherer"]
    wary = outcomes["wary_hunter", "wary_hunter"]
    assert together.returns.mean() > outcomes["gatherer", "gatherer"].returns.mean() + 20
    assert alone.returns[:, 0].mean() < -50
    assert wary.info["maulings"].mean() < 0.2 * together.info["maulings"].mean()
    assert wary.returns.mean() > together.returns.mean()


def test_rewards_are_what_happened(outcomes):
    for episodes in outcomes.values():
        info = episodes.info
        total = 10 * info["catches"] - 5 * info["maulings"] + info["plants"].sum(axis=-1)
        np.testing.assert_allclose(episodes.rewards.sum(axis=-1), total)


def test_a_stag_that_wanders_goes_everywhere():
    env, params = make("markov_stag_hunt", charges=False, num_steps=25)
    params = replace(params, mobility=jnp.asarray(0.5, jnp.float32))
    gatherer = Player(env.benchmarks(params)["gatherer"])
    episodes = play_episodes(env, [gatherer, gatherer], jax.random.key(1), num_episodes=200, params=params)
    steps = np.abs(np.diff(episodes.states.stag, axis=0)).sum(axis=-1)
    assert steps.max() == 1
    # it moves half of the time, and a fifth of these moves would leave the grid where all cells are as likely
    assert steps.mean() == pytest.approx(0.5 * 0.8, abs=0.03)


def test_pictures():
    _, state = jax.jit(ENV.reset)(jax.random.key(2), PARAMS)
    image = ENV.render(state, PARAMS)
    assert image.shape == (201, 201, 3)
    moved = ENV.render(replace(state, stag=(state.stag + 1) % 5), PARAMS)
    assert (moved != image).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 2}, "size must be an integer >= 3"),
        ({"num_plants": 11}, r"num_plants must be an integer in \[1, 10\]"),
        ({"num_steps": 0}, "num_steps must be an integer >= 1"),
    ],
)
def test_wrong_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        make("markov_stag_hunt", **fields)


def test_wrong_params_are_refused():
    with pytest.raises(ValueError, match=r"mobility must be in \[0, 1\], got 2.0"):
        ENV.validate(replace(PARAMS, mobility=2.0))
    with pytest.raises(ValueError, match="gore_penalty must be at least 0"):
        ENV.validate(replace(PARAMS, gore_penalty=-1.0))
