"""Presets whose scores are on record: a learner on an environment, for how long, and how what it learned is scored.

`reference_scores.json` holds the scores of `REFERENCE_SEEDS` runs each; `compare` says whether other runs agree.
"""

import importlib.metadata
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.checks import did_you_mean, require_int
from jaxmarl.core.files import read_json, replace_file
from jaxmarl.core.rollout import Actor, BatchedEnv, rollout, start_rollout
from jaxmarl.learners.base import Learner, over_seeds

REFERENCE = Path(__file__).with_name("reference_scores.json")
REFERENCE_SEEDS = 5
CERTAINTY = 4.0  # standard errors of the difference of two means

Score = Callable[[PyTree, Array], Float[Array, ""]]


@dataclass(frozen=True)
class Preset:
    """A learner, how long it learns, and what its score means.

    Attributes:
        about: in a line.
        score_is: what the score is, with its unit and convention.
        updates: of the learner.
        make: the learner and its score: (params of its policy, key) -> number. Nothing is built before it is called.
        slack: difference of means that is let pass however small the spread between seeds is.
    """

    about: str
    score_is: str
    updates: int
    make: Callable[[], tuple[Learner, Score]]
    slack: float


def mean_return(
    env: BatchedEnv, actor: Actor, weights: PyTree, key: Array, params: PyTree, num_steps: int
) -> Float[Array, ""]:
    """Mean return of an agent over the episodes that end within `num_steps` steps of every instance (pure)."""
    start_key, key = jax.random.split(key)
    state = start_rollout(env, actor, start_key, params)
    _, played, _ = rollout(env, actor, weights, state, key, params, num_steps, keep_info=False)
    ended = (played.terminated | played.truncated)[..., None]
    return jnp.sum(jnp.where(ended, played.episode_return, 0.0)) / (jnp.sum(ended) * env.num_agents)


def _two_step(mixer: str) -> tuple[Learner, Score]:
    from jaxmarl.core.vector import VectorEnv
    from jaxmarl.envs.dilemmas import TwoStepGame
    from jaxmarl.learners.team import iql_config, qmix_config, team_actor, team_network, team_q, vdn_config

    make = {"iql": iql_config, "vdn": vdn_config, "qmix": qmix_config}[mixer]
    steps = 2000 * 8
    shared: dict[str, Any] = {} if mixer == "iql" else {"reward": "mean"}
    config = make(
        hidden=(32,),
        discount=0.99,
        learning_rate=5e-3,
        anneal_steps=2 * steps,
        epsilon_end=1.0,
        epsilon_steps=2 * steps // 3,
        batch=32,
        capacity=2000,
        warmup=200,
        embed=8,
        hypernet=16,
        collect=1,
        rounds=100,
        gradient_steps=2,
        target_every=50,
        **shared,
    )
    env = TwoStepGame()
    batch, tester = VectorEnv(env, 8), VectorEnv(env, 1)
    params = env.default_params
    actor = team_actor(tester, team_network(tester, config, params))

    def score(weights: PyTree, key: Array) -> Array:
        return mean_return(tester, actor, (weights, jnp.float32(0.0)), key, params, 2)

    return team_q(batch, config), score


def _soccer() -> tuple[Learner, Score]:
    from jaxmarl.core.policy import uniform_policy
    from jaxmarl.core.rollout import actor_from_policy
    from jaxmarl.core.vector import VectorEnv
    from jaxmarl.core.wrappers import AgainstPolicies
    from jaxmarl.envs.markov.soccer import Soccer
    from jaxmarl.learners.ppo import PPOConfig
    from jaxmarl.solvers.psro.memoryless import memoryless_ppo_oracle

    env = AgainstPolicies(Soccer(max_steps=100), (uniform_policy(5),))
    config = PPOConfig(
        recurrent=False,
        chunk_length=32,
        minibatches=8,
        epochs=4,
        learning_rate=2e-3,
        entropy_weight=0.003,
        anneal_updates=500,
    )
    params, tester = env.default_params, VectorEnv(env, 512)
    learner = memoryless_ppo_oracle(config, greedy=True)(VectorEnv(env, 64), params)
    actor = actor_from_policy(learner.policy, tester.num_envs, 1)

    def score(weights: PyTree, key: Array) -> Array:
        start_key, key = jax.random.split(key)
        state = start_rollout(tester, actor, start_key, params)
        _, played, _ = rollout(tester, actor, weights, state, key, params, 200, keep_info=False)
        return jnp.sum(played.reward > 0) / jnp.sum(played.reward != 0)

    return learner, score


def _prisoners() -> tuple[Learner, Score]:
    from jaxmarl.envs.dilemmas import IteratedMatrix
    from jaxmarl.games.iterated import memory_one_values
    from jaxmarl.learners.loqa import loqa
    from jaxmarl.learners.loqa_config import ipd_config

    env = IteratedMatrix(num_steps=50)

    def score(weights: PyTree, key: Array) -> Array:
        output = weights["params"]["output"]
        cooperate = jax.nn.softmax(output["kernel"] + output["bias"])[:, 0]
        return memory_one_values(cooperate, cooperate, env.default_params.payoffs, 0.96)[0]

    return loqa(env, ipd_config()), score


RETURN = "return of greedy play, of each agent"
PRESETS: dict[str, Preset] = {
    "iql-two_step": Preset("independent Q-learning on the two-step game", RETURN, 20, lambda: _two_step("iql"), 0.05),
    "vdn-two_step": Preset("VDN on the two-step game, where sums find 7", RETURN, 20, lambda: _two_step("vdn"), 0.05),
    "qmix-two_step": Preset("QMIX on the two-step game, whose best is 8", RETURN, 20, lambda: _two_step("qmix"), 0.05),
    "ppo-soccer": Preset(
        "PPO on Markov soccer against uniform play (the best reply: 0.9936)",
        "share of the goals that are its own, by its likeliest moves",
        500,
        _soccer,
        0.005,
    ),
    "loqa-prisoners": Preset(
        "LOQA on the iterated prisoner's dilemma",
        "exact discounted payoff a round against itself",
        1200,
        _prisoners,
        0.02,
    ),
}


def preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}{did_you_mean(name, list(PRESETS))} (known: {', '.join(PRESETS)})")
    return PRESETS[name]


def run_scores(chosen: Preset, num_seeds: int, seed: int = 0) -> Float[np.ndarray, " num_seeds"]:
    """Trains `num_seeds` runs at once and scores them."""
    require_int("num_seeds", num_seeds, 1)
    learner, score = chosen.make()
    runs = over_seeds(learner, num_seeds)

    @jax.jit
    def run(key: Array) -> Array:
        train_key, score_key = jax.random.split(key)
        state = jax.lax.scan(lambda s, _: (runs.update(s)[0], None), runs.init(train_key), length=chosen.updates)[0]
        return jax.vmap(score)(runs.params(state), jax.random.split(score_key, num_seeds))

    return np.asarray(run(jax.random.key(seed)), np.float64)


@dataclass(frozen=True)
class Reference:
    """Scores on record.

    Attributes:
        scores: of each run.
        score_is: as in the preset.
        updates: as in the preset.
        seed: of the key that all runs are split from.
        seconds: of all runs together, compilation included.
        versions: of packages, when it was made.
    """

    scores: tuple[float, ...]
    score_is: str
    updates: int
    seed: int
    seconds: float
    versions: dict[str, str]


def load_references(path: Path = REFERENCE) -> dict[str, Reference]:
    """What is on record, by preset."""
    rows = read_json(path) if path.exists() else {}
    return {name: Reference(**{**row, "scores": tuple(row["scores"])}) for name, row in rows.items()}


def record(names: Sequence[str], path: Path = REFERENCE, seed: int = 1000) -> None:
    """Makes the records of some presets anew and writes them."""
    rows = load_references(path)
    for name in names:
        chosen, started = preset(name), time.perf_counter()
        scores = run_scores(chosen, REFERENCE_SEEDS, seed)
        seconds = round(time.perf_counter() - started, 1)
        versions = {package: importlib.metadata.version(package) for package in ("jax", "flax", "optax")}
        numbers = tuple(round(float(score), 6) for score in scores)
        rows[name] = Reference(numbers, chosen.score_is, chosen.updates, seed, seconds, versions)
        replace_file(path, (json.dumps({key: asdict(row) for key, row in rows.items()}, indent=1) + "\n").encode())


def compare(scores: Sequence[float], reference: Reference, slack: float) -> tuple[float, bool]:
    """The difference of means that is let pass, and whether the scores are within it.

    It is `CERTAINTY` standard errors of the difference, by the spread of the runs on record, and at least `slack`.
    """
    known = np.asarray(reference.scores)
    error = known.std(ddof=1) * np.sqrt(1 / len(known) + 1 / len(scores))
    allowed = max(CERTAINTY * error, slack)
    return float(allowed), bool(abs(np.mean(scores) - known.mean()) <= allowed)
