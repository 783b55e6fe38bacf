"""Does PPO find the best response in the trust dilemma? On a grid of 3 by 3 the best one is known exactly."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import pytest

from jaxmarl.core.chance import Uniform, draw
from jaxmarl.core.policy import Policy
from jaxmarl.core.population import PopulationEnv
from jaxmarl.core.seating import Player
from jaxmarl.envs.grid import move, occupied, same_cell
from jaxmarl.envs.gridworlds.stag_hunt import MarkovStagHunt
from jaxmarl.envs.markov import enumerate_game
from jaxmarl.envs.markov.finite import FiniteChance
from jaxmarl.experiments.risk_averse import Sizes, make_task, ppo_config
from jaxmarl.games.markov_metrics import best_response, policy_values
from jaxmarl.solvers.psro.memoryless import memoryless_ppo_oracle, policy_tables

FREE = 7  # cells at most
FIELDS = {"size": 3, "num_plants": 1, "num_steps": 25, "charges": False}


@dataclass(frozen=True)
class ListedHunt(FiniteChance, MarkovStagHunt):
    """The hunt with its chance listed: where the stag goes, and which free cell a new plant or stag appears on."""

    reset_chance = MarkovStagHunt.reset_chance
    step_chance = MarkovStagHunt.step_chance

    def essence(self, state, params):
        return state.agents, state.stag, state.plants

    def reset_outcomes(self, params):
        return draw(self.reset_chance, jax.random.key(0), (256,)), jnp.full(256, 1 / 256)

    def step_outcomes(self, state, action, params):
        agents = move(state.agents, action, self.shape)
        met = same_cell(agents, state.stag)
        directions = jnp.stack([jnp.zeros(4), (jnp.arange(4) + 0.5) / 4], axis=1)
        stag = jnp.concatenate([directions, jnp.array([[0.999, 0.0]])])  # the last one stays
        stays = jnp.arange(5) == 4
        walk = jnp.where(stays, 1 - params.mobility, params.mobility / 4)
        walk = jnp.where(jnp.any(met), stays, walk)
        grows = jnp.any(same_cell(agents[:, None], state.plants)) | jnp.all(met)

        def appearances(unit):
            walks = ~jnp.any(met) & (unit[0] < params.mobility)
            walked = jnp.where(walks, self._stag_step(agents, state.stag, unit[1]), state.stag)
            taken = occupied(jnp.concatenate([agents, state.plants, state.stag[None], walked[None]]), self.shape)
            count, k = jnp.sum(~taken), jnp.arange(FREE)
            # the stag's cell is the k-th free one, the plant's the next: each is uniform, and seldom are both new
            following = jnp.where(k < count - 1, k, 0)
            units = jnp.stack([(k + 0.5) / count, (following + 0.5) / (count - 1)], axis=1)
            weights = jnp.where(grows, (k < count) / count, k == 0)
            return jnp.where((k < count)[:, None], units, 0.5), weights

        units, weights = jax.vmap(appearances)(stag)
        chance = {"stag": jnp.repeat(stag, FREE, axis=0)[:, None], "cells": units.reshape(-1, 2)}
        return chance, (weights * walk[:, None]).ravel()


@pytest.mark.slow
def test_ppo_comes_near_the_best_response():
    """To a hunter who moves at random the best response earns 12.3, random moves lose 2.6."""
    task = make_task("trust_dilemma")
    game, states = enumerate_game(ListedHunt(**FIELDS), task.params, discount=1.0, horizon=25)
    uniform = jnp.full((25, game.initial.shape[0], 5), 0.2)
    best = float(best_response(game, (uniform, uniform), 0)[1] @ game.initial)

    def act(params, memory, obs, chance):
        return jnp.minimum((5 * chance).astype(jnp.int32), 4), memory

    at_random = Policy(lambda chance: (), act, act_chance=Uniform())
    hunt, config = MarkovStagHunt(**FIELDS), ppo_config(task, Sizes())
    batch = PopulationEnv(hunt, (Player(at_random),), 64)
    learner = memoryless_ppo_oracle(config)(batch, (task.params, ((),)))

    @jax.jit
    def train(key):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), learner.init(key), None, 200)[0].params

    found = jax.tree.map(lambda leaf: leaf[None], train(jax.random.key(1)))
    table = policy_tables(hunt, config, found, states, 0, task.params)[0]

    def value(own):
        return float(policy_values(game, (own, uniform))[0] @ game.initial)

    learned, random = value(jnp.broadcast_to(table, (25, *table.shape))), value(uniform)
    assert best == pytest.approx(12.333, abs=5e-3)
    assert random == pytest.approx(-2.582, abs=5e-3)
    assert learned <= best + 1e-3
    assert learned - random > 0.8 * (best - random)
