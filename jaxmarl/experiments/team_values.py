"""Small games of two, and learners of their team's values: settings, and how play is scored."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.rollout import Actor, BatchedEnv, actor_from_group_policy, rollout, start_rollout
from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.dilemmas import CoinGame, TwoStepGame
from jaxmarl.envs.gridworlds import Foraging, MarkovStagHunt
from jaxmarl.learners.base import Learner
from jaxmarl.learners.team import iql_config, pqn_vdn, qmix_config, team_q, vdn_config
from jaxmarl.learners.value import PQNConfig
from jaxmarl.testing.probes import Climbing

LEARNERS = ("iql", "vdn", "qmix", "pqn_vdn")
POINTS = 20  # updates of a learner from a replay, and points of a curve


class TeamGame(NamedTuple):
    """A game, how long it is learned, and how its learners are set.

    Attributes:
        env: the game.
        num_envs: instances that fill a replay.
        collect: steps of each in a round.
        rounds: of the training.
        reward: what teams learn from, `"sum"` or `"mean"` of the agents' rewards.
        scale: of scores: an agent's return is divided by it.
        known: what scores can be, by name.
        settings: of learners from a replay.
        parallel_envs: instances of PQN, which keeps none.
        parallel: settings of PQN.
        changed: params of the environment that are not its defaults.
    """

    env: AnyEnvironment
    num_envs: int
    collect: int
    rounds: int
    reward: str
    scale: float
    known: dict[str, float]
    settings: dict[str, Any]
    parallel_envs: int
    parallel: dict[str, Any]
    changed: tuple[tuple[str, float], ...] = ()

    @property
    def steps(self) -> int:
        """Agent steps of the training."""
        return self.rounds * self.num_envs * self.collect * self.env.num_agents

    @property
    def params(self) -> Any:
        """Of the environment."""
        known = self.env.default_params
        return replace(known, **{name: jnp.asarray(x, float) for name, x in self.changed}) if self.changed else known


# Matrix games are explored at random throughout: what is learned is every joint action's value.
_MATRIX = {"hidden": (32,), "discount": 0.99, "epsilon_end": 1.0}
_MATRIX_GAME: dict[str, Any] = {
    "num_envs": 8,
    "collect": 1,
    "rounds": 2000,
    "reward": "mean",
    "scale": 1.0,
    "settings": {**_MATRIX, "batch": 32, "capacity": 2000, "warmup": 200, "embed": 8, "hypernet": 16}
    | {"gradient_steps": 2, "target_every": 50, "learning_rate": 5e-3},
    "parallel_envs": 64,
    "parallel": {**_MATRIX, "collect": 1, "minibatches": 4, "trace": 0.5, "learning_rate": 3e-3},
}
_GRID = {"hidden": (64, 64), "batch": 64, "capacity": 50_000, "warmup": 2000, "learning_rate": 1e-3}
# Rewards that are rare or far off need returns of several steps, and many gradient steps.
_FAR = {**_GRID, "sequence": 8, "trace": 0.8, "gradient_steps": 8, "target_every": 100}
_FAR_PARALLEL = {"hidden": (64, 64), "minibatches": 8, "epochs": 4, "trace": 0.8, "learning_rate": 1e-3}

GAMES: dict[str, TeamGame] = {
    "two_step": TeamGame(TwoStepGame(), known={"best": 8.0, "safe": 7.0}, **_MATRIX_GAME),
    "climbing": TeamGame(Climbing(), known={"best": 11.0}, **_MATRIX_GAME),
    "foraging": TeamGame(
        Foraging(2, 2, 6),
        num_envs=32,
        collect=8,
        rounds=3000,
        reward="sum",
        scale=0.5,
        known={"all food": 1.0},
        settings={**_FAR, "discount": 0.97},
        parallel_envs=128,
        parallel={**_FAR_PARALLEL, "discount": 0.97, "collect": 16},
    ),
    "coin_game": TeamGame(
        CoinGame(),
        num_envs=16,
        collect=5,
        rounds=4000,
        reward="sum",
        scale=50.0,
        known={"ceiling": 0.3486},
        settings={**_GRID, "discount": 0.96, "gradient_steps": 2, "target_every": 200},
        parallel_envs=128,
        parallel={**_FAR_PARALLEL, "discount": 0.96, "collect": 10},
    ),
    "trust_dilemma": TeamGame(
        MarkovStagHunt(),
        num_envs=32,
        collect=10,
        rounds=1200,
        reward="sum",
        scale=1.0,
        known={"hunters": 88.9, "gatherers": 17.7},
        settings={**_FAR, "discount": 0.95, "reward_scale": 0.1},
        parallel_envs=128,
        parallel={**_FAR_PARALLEL, "discount": 0.95, "collect": 10, "reward_scale": 0.1},
        changed=(("gore_penalty", 2.0),),  # below 3, where the stag is risk-dominant
    ),
}


def team_learner(name: str, game: TeamGame) -> Learner:
    """One of `LEARNERS` on a game; its schedules end with the game's training.

    IQL learns from agents' own rewards, the others from the team's.
    """
    schedule: dict[str, Any] = {"anneal_steps": game.steps, "epsilon_steps": game.steps // 3}
    if name == "pqn_vdn":
        config = PQNConfig(**schedule, **game.parallel)
        return pqn_vdn(VectorEnv(game.env, game.parallel_envs), config, game.params, reward=game.reward)
    settings = {**schedule, **game.settings, "collect": game.collect, "rounds": max(game.rounds // POINTS, 1)}
    if name != "iql":
        settings["reward"] = game.reward
    make = {"iql": iql_config, "vdn": vdn_config, "qmix": qmix_config}[name]
    return team_q(VectorEnv(game.env, game.num_envs), make(**settings), game.params)


def team_score(learner: Learner, game: TeamGame) -> Callable[[PyTree, Array], Float[Array, ""]]:
    """(params, key) to the score of greedy play: an agent's mean return, divided by the game's `scale`."""
    tester = VectorEnv(game.env, 8 if game.env.deterministic else 128)
    actor, params = actor_from_group_policy(learner.policy, tester.num_envs), game.params
    length: int = game.env.horizon or getattr(game.env, "num_steps")  # noqa: B009

    def score(weights: PyTree, key: Array) -> Float[Array, ""]:
        return mean_return(tester, actor, weights, key, params, length) / game.scale

    return score


def mean_return(
    env: BatchedEnv, actor: Actor, weights: PyTree, key: Array, params: PyTree, num_steps: int
) -> Float[Array, ""]:
    """Mean return of an agent over the episodes that end within `num_steps` steps of every instance (pure)."""
    start_key, key = jax.random.split(key)
    state = start_rollout(env, actor, start_key, params)
    _, played, _ = rollout(env, actor, weights, state, key, params, num_steps, keep_info=False)
    ended = (played.terminated | played.truncated)[..., None]
    return jnp.sum(jnp.where(ended, played.episode_return, 0.0)) / (jnp.sum(ended) * env.num_agents)
