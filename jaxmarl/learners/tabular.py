"""Tabular Q-learning and contextual regret matching: the baselines without networks of repeated rock-paper-scissors.

Both keep one row of numbers for each context, the last joint moves, and share the table between all lanes of a batch.
One update is a number of steps of the whole batch, in one scan: act, step, and change the rows that were visited.
Source of both: Lanctot et al., "Population-based Evaluation in Repeated RPS", TMLR 2023, and its open code.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, PyTree

from jaxmarl.core.chance import Uniform, draw
from jaxmarl.core.checks import require, require_int, with_field_types
from jaxmarl.core.policy import Policy, categorical
from jaxmarl.core.rollout import BatchedEnv, batch_params, check_num_steps
from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.rps.repeated import RepeatedRPS, RPSParams
from jaxmarl.learners.base import Learner, Metrics, reward_metrics
from jaxmarl.learners.tables import NUM_MOVES, Contexts, add_in_turn

LAST_STEP = 2**30  # where the count of agent steps stops, far past the end of any schedule


@dataclass(frozen=True)
class QLearningConfig:
    """Settings of `q_learning`; the defaults are those of the published baseline.

    Attributes:
        recall: joint moves that make a context.
        step_size: α.
        discount: γ.
        epsilon_start: probability of a uniform move at the first step.
        epsilon_end: the same once `epsilon_steps` agent steps have been made; it falls linearly between.
        epsilon_steps: agent steps (all lanes together).
        steps_per_update: environment steps of one update; divides the horizon.
        log2_size: of the table, where there are more contexts than rows (see `Contexts`).
        hashed: whether contexts share rows (None: only where they do not fit).
    """

    recall: int = 10
    step_size: float = 0.01
    discount: float = 0.99
    epsilon_start: float = 0.5
    epsilon_end: float = 0.2
    epsilon_steps: int = 1_000_000
    steps_per_update: int = 100
    log2_size: int = 20
    hashed: bool | None = None

    @with_field_types
    def __post_init__(self):
        _check_common(self)
        require(0 < self.step_size <= 1, "step_size", self.step_size, "in (0, 1]")
        for name in ("discount", "epsilon_start", "epsilon_end"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        require_int("epsilon_steps", self.epsilon_steps, 1, LAST_STEP)


@dataclass(frozen=True)
class RegretMatchingConfig:
    """Settings of `regret_matching`; the defaults are those of the published baseline.

    Attributes:
        recall: joint moves that make a context (0: plain regret matching).
        full_information: learn from what each move would have earned, which the opponent's move shows, in place of the
            importance-weighted payoff of the move played: the same in expectation, with less noise.
        epsilon: probability of a uniform move in training.
        initial_regret: of every move.
        steps_per_update: environment steps of one update; divides the horizon.
        log2_size: of the table, where there are more contexts than rows (see `Contexts`).
        hashed: whether contexts share rows (None: only where they do not fit).
    """

    recall: int = 1
    full_information: bool = False
    epsilon: float = 0.1
    initial_regret: float = 1e-6
    steps_per_update: int = 100
    log2_size: int = 20
    hashed: bool | None = None

    @with_field_types
    def __post_init__(self):
        _check_common(self)
        require(isinstance(self.full_information, bool), "full_information", self.full_information, "True or False")
        lowest = "in [0, 1]" if self.full_information else "in (0, 1], since rare moves are weighted by 1 / probability"
        allowed = 0 <= self.epsilon <= 1 and (self.full_information or self.epsilon > 0)
        require(allowed, "epsilon", self.epsilon, lowest)
        require(self.initial_regret >= 0, "initial_regret", self.initial_regret, "non-negative")


@struct.dataclass
class TabularState:
    """State of the learner.

    Attributes:
        table: one row a context, one column a move: action values or summed regrets.
        counts: zeros, the work space of `add_in_turn` (`()` for regret matching).
        env: batch of environment states.
        elapsed: agent steps made, up to the end of the exploration schedule.
        key: consumed by the next update.
    """

    table: Float[Array, "rows 3"]
    counts: PyTree
    env: PyTree
    elapsed: Int32[Array, ""]
    key: Array


def q_learning(env: BatchedEnv, config: QLearningConfig, env_params: PyTree = None) -> Learner:
    """Q-learning with one table for all lanes of `env`; its policy is greedy, with uniform ties.

    The lanes of a fixed-horizon environment end together, and nothing is worth anything after the last throw: with `n`
    lanes in one context its value falls by the share `1 - (1 - α)ⁿ` at once, which a discount near one makes large
    beside the differences of moves. Few lanes a context, long matches and a stop in mid-match keep that small.

    Args:
        env: a `VectorEnv` or `PopulationEnv` of `RepeatedRPS(layout="moves")` that shows `config.recall` throws.
        config: settings.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: another environment, or sizes that do not fit.
    """
    return _learner(env, _QLearning(config, *_prepare(env, config, env_params)), "q_learning")


def regret_matching(env: BatchedEnv, config: RegretMatchingConfig, env_params: PyTree = None) -> Learner:
    """Contextual regret matching with one table for all lanes of `env`; its policy is the current mixture, unexplored.

    Regrets are plain sums over lanes and steps. They are float32: past 2²⁴ a unit payoff is rounded away.

    Args:
        env: a `VectorEnv` or `PopulationEnv` of `RepeatedRPS(layout="moves")` that shows `config.recall` throws.
        config: settings.
        env_params: of the environments (default: `env.default_params`).

    Raises:
        ValueError: another environment, or sizes that do not fit.
    """
    return _learner(env, _RegretMatching(config, *_prepare(env, config, env_params)), "regret_matching")


class _Step(NamedTuple):
    """What all lanes saw in one step, `[B, N]`."""

    context: Int32[Array, "B N"]
    rows: Float[Array, "B N 3"]
    chosen: Float[Array, "B N 3"]  # probabilities of the moves
    action: Int32[Array, "B N"]
    reward: Float[Array, "B N"]
    other: Int32[Array, "B N"]  # the opponent's move
    next_context: Int32[Array, "B N"]
    ended: Bool[Array, "B 1"]


@dataclass(frozen=True, eq=False)
class _QLearning:
    """How a table of action values is started, read and changed."""

    config: QLearningConfig
    env_params: PyTree
    contexts: Contexts

    def start(self):
        """Table and work space before any step."""
        shape = self.contexts.size, NUM_MOVES
        return jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.int32)

    def epsilon(self, elapsed):
        """Probability of a uniform move in training, after `elapsed` agent steps."""
        config = self.config
        done = jnp.minimum(elapsed.astype(jnp.float32) / config.epsilon_steps, 1.0)
        return config.epsilon_start + done * (config.epsilon_end - config.epsilon_start)

    def strategy(self, rows):
        """Probabilities of the moves where nothing is explored."""
        best = rows == jnp.max(rows, axis=-1, keepdims=True)
        return best / jnp.sum(best, axis=-1, keepdims=True, dtype=jnp.float32)

    def learn(self, table, counts, step):
        """Table and work space after a step of all lanes."""
        following = jnp.where(step.ended, 0.0, jnp.max(table[step.next_context], axis=-1))
        value = jnp.take_along_axis(step.rows, step.action[..., None], axis=-1)[..., 0]
        error = step.reward + self.config.discount * following - value
        return add_in_turn(table, counts, step.context, step.action, error, self.config.step_size)


@dataclass(frozen=True, eq=False)
class _RegretMatching:
    """How a table of summed regrets is started, read and changed."""

    config: RegretMatchingConfig
    env_params: PyTree
    contexts: Contexts

    def start(self):
        return jnp.full((self.contexts.size, NUM_MOVES), self.config.initial_regret, jnp.float32), ()

    def epsilon(self, elapsed):
        return jnp.float32(self.config.epsilon)

    def strategy(self, rows):
        positive = jnp.maximum(rows, 0.0)
        total = jnp.sum(positive, axis=-1, keepdims=True)
        return jnp.where(total > 0, positive / jnp.where(total > 0, total, 1.0), 1.0 / NUM_MOVES)

    def learn(self, table, counts, step):
        if self.config.full_information:
            value = jnp.moveaxis(_game_params(self.env_params).payoffs[:, step.other], 0, -1)
        else:
            played = jax.nn.one_hot(step.action, NUM_MOVES)
            value = played * step.reward[..., None] / jnp.where(played > 0, step.chosen, 1.0)
        regret = value - jnp.sum(value * self.strategy(step.rows), axis=-1, keepdims=True)
        return table.at[step.context].add(regret), counts


def _learner(env: BatchedEnv, rule: _QLearning | _RegretMatching, name: str) -> Learner:
    """The learner that applies `rule` to every step of `env`."""
    config, contexts, env_params = rule.config, rule.contexts, rule.env_params
    lanes = env.num_envs, env.num_agents

    def init(key: Array) -> TabularState:
        env_key, key = jax.random.split(key)
        table, counts = rule.start()
        _, env_state = env.reset(env_key, env_params)
        return TabularState(table, counts, env_state, jnp.zeros((), jnp.int32), key)

    def throw(carry, key):
        table, counts, env_state, elapsed, context = carry
        act_key, env_key = jax.random.split(key)
        rows, epsilon = table[context], rule.epsilon(elapsed)
        chosen = (1.0 - epsilon) * rule.strategy(rows) + epsilon / NUM_MOVES
        action = categorical(jnp.log(chosen), draw(Uniform(lanes), act_key))
        obs, env_state, reward, ended, _, _ = env.step(env_key, env_state, action, env_params)
        following = contexts.index(obs)
        step = _Step(context, rows, chosen, action, reward, obs[..., 1], following, ended[:, None])
        table, counts = rule.learn(table, counts, step)
        elapsed = jnp.minimum(elapsed + lanes[0] * lanes[1], LAST_STEP)
        return (table, counts, env_state, elapsed, following), reward

    def update(state: TabularState) -> tuple[TabularState, Metrics]:
        key, begin_key, steps_key = jax.random.split(state.key, 3)
        obs, env_state = env.begin(begin_key, state.env, env_params)
        carry = state.table, state.counts, env_state, state.elapsed, contexts.index(obs)
        carry, rewards = jax.lax.scan(throw, carry, jax.random.split(steps_key, config.steps_per_update))
        table, counts, env_state, elapsed, _ = carry
        metrics = {**reward_metrics(env, rewards), "epsilon": rule.epsilon(elapsed)}
        return TabularState(table, counts, env_state, elapsed, key), metrics

    def act(table, memory, obs, chance):
        return categorical(jnp.log(rule.strategy(table[contexts.index(obs)])), chance), memory

    return Learner(
        init=init,
        update=update,
        policy=Policy(lambda chance: (), act, act_chance=Uniform(), name=name),
        params=lambda state: state.table,
        steps_per_update=config.steps_per_update * lanes[0] * lanes[1],
    )


def _prepare(
    env: BatchedEnv, config: QLearningConfig | RegretMatchingConfig, env_params: PyTree
) -> tuple[PyTree, Contexts]:
    """Params and contexts, once `env` is known to be a batch of the right game."""
    game = getattr(env, "env", None)
    if not isinstance(game, RepeatedRPS) or game.layout != "moves":
        raise ValueError(f"env must be a batch of RepeatedRPS(layout='moves'), got {game!r}")
    separate = isinstance(env, VectorEnv) and env.stacked_params
    require(not separate, "env", "stacked params", "a batch with the same params, since all lanes share one table")
    require_int("recall", config.recall, 0, game.recall)
    check_num_steps(env, config.steps_per_update)
    contexts = Contexts.fitting(config.recall, config.log2_size, config.hashed)
    return batch_params(env, env_params), contexts


def _game_params(env_params: PyTree) -> RPSParams:
    """Params of the stage game, which a `PopulationEnv` pairs with those of the opponents."""
    return env_params if isinstance(env_params, RPSParams) else env_params[0]


def _check_common(config: QLearningConfig | RegretMatchingConfig) -> None:
    require_int("steps_per_update", config.steps_per_update, 1)
    Contexts.fitting(config.recall, config.log2_size, config.hashed)
