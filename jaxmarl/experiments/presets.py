"""Presets whose scores are on record: a learner on an environment, for how long, and how what it learned is scored.

`reference_scores.json` holds the scores of `REFERENCE_SEEDS` runs each; `compare` says whether other runs agree.
"""

import importlib.metadata
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from jaxmarl.core.checks import did_you_mean, require, require_int
from jaxmarl.core.files import read_json, replace_file
from jaxmarl.core.rollout import rollout, start_rollout
from jaxmarl.learners.base import Learner

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


def _team(name: str, game: str) -> tuple[Learner, Score]:
    from jaxmarl.experiments.team_values import GAMES, team_learner, team_score

    learner = team_learner(name, GAMES[game])
    return learner, team_score(learner, GAMES[game])


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
    # it learns from games that are never drawn, in which one side scores at last, and is judged by games as they are
    undrawn = (replace(params[0], draw=jnp.zeros(())), *params[1:])
    learner = memoryless_ppo_oracle(config, greedy=True)(VectorEnv(env, 64), undrawn)
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
    "iql-two_step": Preset(
        "independent Q-learning on the two-step game", RETURN, 20, partial(_team, "iql", "two_step"), 0.05
    ),
    "vdn-two_step": Preset(
        "VDN on the two-step game, where sums find 7", RETURN, 20, partial(_team, "vdn", "two_step"), 0.05
    ),
    "qmix-two_step": Preset(
        "QMIX on the two-step game, whose best is 8", RETURN, 20, partial(_team, "qmix", "two_step"), 0.05
    ),
    "pqn_vdn-foraging": Preset(
        "PQN with summed values on level-based foraging, two agents and two foods on 6 x 6",
        "return of greedy play of a team, of 1",
        375,
        partial(_team, "pqn_vdn", "foraging"),
        0.02,
    ),
    "pqn_vdn-trust_dilemma": Preset(
        "PQN with summed values on the Markov stag hunt, goring costs 2 (gatherers: 17.7, hunters: 88.9)",
        RETURN,
        300,
        partial(_team, "pqn_vdn", "trust_dilemma"),
        1.0,
    ),
    "ppo-soccer": Preset(
        "PPO on Markov soccer against uniform play (the best reply to it, by dynamic programming: 0.9936)",
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


def learn_curves(
    learner: Learner,
    score: Score,
    updates: int,
    init_keys: Key[Array, " num_seeds"],
    keys: Key[Array, "num_seeds points"],
) -> Float[np.ndarray, "num_seeds points"]:
    """Scores after every `updates`, of runs side by side: each has a key to start from, and one for each score."""

    def point(state: PyTree, key: Array) -> tuple[PyTree, Array]:
        state, _ = jax.lax.scan(lambda s, _: (learner.update(s)[0], None), state, length=updates)
        return state, score(learner.params(state), key)

    def run(key: Array, keys: Array) -> Array:
        return jax.lax.scan(point, learner.init(key), keys)[1]

    return np.asarray(jax.jit(jax.vmap(run))(init_keys, keys), np.float64)


def run_curves(chosen: Preset, num_seeds: int, seed: int = 0, points: int = 1) -> Float[np.ndarray, "num_seeds points"]:
    """Trains `num_seeds` runs at once and scores them, `points` times at even distances; the last are those in the end.

    Raises:
        ValueError: `points` does not divide the preset's updates.
    """
    require_int("num_seeds", num_seeds, 1)
    require_int("points", points, 1)
    require(chosen.updates % points == 0, "points", points, f"a divisor of {chosen.updates}")
    train_key, score_key = jax.random.split(jax.random.key(seed))
    keys = jax.vmap(lambda key: jax.random.split(key, num_seeds))(jax.random.split(score_key, points))
    return learn_curves(
        *chosen.make(), chosen.updates // points, jax.random.split(train_key, num_seeds), jnp.swapaxes(keys, 0, 1)
    )


def run_scores(chosen: Preset, num_seeds: int, seed: int = 0) -> Float[np.ndarray, " num_seeds"]:
    """Trains `num_seeds` runs at once and scores them in the end."""
    return run_curves(chosen, num_seeds, seed)[:, -1]


@dataclass(frozen=True)
class Reference:
    """Scores on record.

    Attributes:
        score_is: as in the preset.
        updates: as in the preset.
        seed: of the key that all runs are split from.
        seconds: of all runs together, compilation included.
        versions: of packages, when it was made.
        curves: scores of each run at even distances, the last in the end.
    """

    score_is: str
    updates: int
    seed: int
    seconds: float
    versions: dict[str, str]
    curves: tuple[tuple[float, ...], ...]

    @property
    def scores(self) -> tuple[float, ...]:
        """Of each run, in the end."""
        return tuple(curve[-1] for curve in self.curves)


def load_references(path: Path = REFERENCE) -> dict[str, Reference]:
    """What is on record, by preset."""
    rows = read_json(path) if path.exists() else {}
    return {name: Reference(**{**row, "curves": tuple(map(tuple, row["curves"]))}) for name, row in rows.items()}


def record(names: Sequence[str], path: Path = REFERENCE, seed: int = 1000) -> None:
    """Makes the records of some presets anew and writes them."""
    rows = load_references(path)
    for name in names:
        chosen, started = preset(name), time.perf_counter()
        curves = run_curves(chosen, REFERENCE_SEEDS, seed, curve_points(chosen.updates))
        seconds = round(time.perf_counter() - started, 1)
        versions = {package: importlib.metadata.version(package) for package in ("jax", "flax", "optax")}
        kept = tuple(map(tuple, np.round(curves, 6).tolist()))
        rows[name] = Reference(chosen.score_is, chosen.updates, seed, seconds, versions, kept)
        replace_file(path, (json.dumps({key: asdict(row) for key, row in rows.items()}, indent=1) + "\n").encode())


def curve_points(updates: int, most: int = 20) -> int:
    """The most points of a curve, up to `most`, that divide the updates."""
    return max(points for points in range(1, most + 1) if updates % points == 0)


def compare(scores: Sequence[float], reference: Reference, slack: float) -> tuple[float, bool]:
    """The difference of means that is let pass, and whether the scores are within it.

    It is `CERTAINTY` standard errors of the difference, by the spread of the runs on record, and at least `slack`.
    """
    known = np.asarray(reference.scores)
    error = known.std(ddof=1) * np.sqrt(1 / len(known) + 1 / len(scores))
    allowed = max(CERTAINTY * error, slack)
    return float(allowed), bool(abs(np.mean(scores) - known.mean()) <= allowed)
