"""Learning with opponent-learning awareness (LOLA; Foerster et al. 2018), exactly and with samples, and naive learning.

Two memory-one players of an iterated game with two actions. Each ascends its own value after the opponent has taken
`lookaheads` gradient steps on the opponent's value, and differentiates through those steps; without any this is naive
policy gradient. Values are sums `Σ γ^t r_t`: those of both players are known exactly, or estimated from episodes by
DiCE (Foerster, Farquhar et al. 2018), whose derivatives of every order are unbiased.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.checks import require, require_choice, require_int, with_field_types
from jaxmarl.core.vector import VectorEnv
from jaxmarl.envs.dilemmas.iterated_matrix import IteratedMatrix, IteratedMatrixParams, memory_one_policy
from jaxmarl.games.iterated import memory_one_values
from jaxmarl.learners.base import Learner, Metrics
from jaxmarl.learners.opponent_shaping import magic_box

Values = Callable[[Float[Array, " 5"], Float[Array, " 5"], Array], Float[Array, " 2"]]
"""(first player's logits, second's, key) -> values of both."""
OPTIMISERS = {"sgd": optax.sgd, "adam": optax.adam}


@dataclass(frozen=True)
class LOLAConfig:
    """Settings of `lola_dice`; the defaults are those published for the iterated prisoner's dilemma.

    Attributes:
        step_size: of one's own ascent.
        lookahead_step_size: of the steps that the opponent is expected to take.
        lookaheads: how many of them; 0: naive policy gradient.
        optimiser: of one's own ascent, `"sgd"` (plain gradients) or `"adam"` (as in the public code that the published
            step sizes come from).
        discount: γ.
        exact: whether values are computed, not sampled.
        num_envs: episodes of one estimate, if sampled.
        baseline_decay: of the moving average that is the baseline (the value of each state), if sampled.
    """

    step_size: float = 0.2
    lookahead_step_size: float = 0.3
    lookaheads: int = 1
    optimiser: str = "adam"
    discount: float = 0.96
    exact: bool = False
    num_envs: int = 1024
    baseline_decay: float = 0.5

    @with_field_types
    def __post_init__(self):
        for name in ("step_size", "lookahead_step_size"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        require_int("lookaheads", self.lookaheads, 0)
        require_choice("optimiser", self.optimiser, OPTIMISERS)
        require_int("num_envs", self.num_envs, 1)
        for name in ("discount", "baseline_decay"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")


@struct.dataclass
class LOLAState:
    """State of the learner.

    Attributes:
        logits: `[2, 5]`, of cooperating in each state, from each player's own side.
        opt_state: of the optimiser.
        baseline: `[2, 5]`, running estimate of the value of each state to each player.
        key: consumed by the next update.
    """

    logits: Float[Array, "2 5"]
    opt_state: PyTree
    baseline: Float[Array, "2 5"]
    key: Array


def lola_dice(env: IteratedMatrix, config: LOLAConfig, env_params: IteratedMatrixParams | None = None) -> Learner:
    """Two LOLA players that learn against each other; the learner's params are both players' probabilities `[2, 5]`.

    Args:
        env: the game; its horizon is the length of sampled episodes.
        config: settings.
        env_params: payoffs (default: `env.default_params`).
    """
    env_params = env.default_params if env_params is None else env_params
    algorithm = _LOLA(env, config, env_params)
    estimates = 2 * (1 + config.lookaheads)  # batches of episodes of both players in one update
    return Learner(
        init=algorithm.init,
        update=algorithm.update,
        policy=memory_one_policy(),
        params=lambda state: jax.nn.sigmoid(state.logits),
        steps_per_update=2 if config.exact else 2 * estimates * config.num_envs * env.num_steps,
    )


def dice_values(
    log_prob: Float[Array, "T B 2"],
    reward: Float[Array, "T B 2"],
    baseline: Float[Array, "T B 2"],
    discount: float,
) -> Float[Array, " 2"]:
    """Discounted returns of both players, whose derivatives of every order are estimates of the values' derivatives.

    Args:
        log_prob: of both players' actions.
        reward: of both.
        baseline: what each expects before each step, which may depend on what came before.
        discount: γ.
    """
    joint = jnp.sum(log_prob, axis=-1, keepdims=True)
    weights = jnp.asarray(discount, reward.dtype) ** jnp.arange(len(reward))[:, None, None]
    returns = magic_box(jnp.cumsum(joint, axis=0)) * weights * reward
    # 0, with the derivative of a score that the baseline is multiplied with
    control = (1 - magic_box(joint)) * weights * baseline
    return jnp.mean(jnp.sum(returns + control, axis=0), axis=0)


@dataclass(frozen=True, eq=False)
class _LOLA:
    """The algorithm, with everything static in one place."""

    env: IteratedMatrix
    config: LOLAConfig
    env_params: IteratedMatrixParams

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return OPTIMISERS[self.config.optimiser](self.config.step_size)

    def init(self, key: Array) -> LOLAState:
        start, key = jax.random.split(key)
        logits = 0.1 * jax.random.normal(start, (2, 5))
        return LOLAState(logits, self.optimiser.init(logits), jnp.zeros((2, 5)), key)

    def update(self, state: LOLAState) -> tuple[LOLAState, Metrics]:
        key, ascent_key, play_key = jax.random.split(state.key, 3)
        values, baseline = self._values(state)
        # one program for both players
        ascent = jax.vmap(lambda player, key: self._gradient(values, state.logits, player, key))(
            jnp.arange(2), jax.random.split(ascent_key)
        )
        steps, opt_state = self.optimiser.update(-ascent, state.opt_state)
        logits = jnp.asarray(optax.apply_updates(state.logits, steps))
        if not self.config.exact:
            baseline = self._learned(state, play_key)
        first, second = jax.nn.sigmoid(state.logits)
        reward = memory_one_values(first, second, self.env_params.payoffs, self.config.discount)
        return LOLAState(logits, opt_state, baseline, key), {
            "reward": jnp.mean(reward),
            "reward_worst": jnp.min(reward),
        }

    def _gradient(self, values: Values, logits, player: Int32[Array, ""], key: Array) -> Float[Array, " 5"]:
        """Of a player's own value after the opponent's expected steps."""
        keys = jax.random.split(key, 1 + self.config.lookaheads)

        def oriented(own, other, key):
            """Own value and the other's."""
            both = values(jnp.where(player == 0, own, other), jnp.where(player == 0, other, own), key)
            return both[player], both[1 - player]

        def after_lookaheads(own):
            theirs = logits[1 - player]
            for k in range(self.config.lookaheads):
                step = jax.grad(lambda x, k=k: oriented(own, x, keys[k])[1])(theirs)
                theirs = theirs + self.config.lookahead_step_size * step
            return oriented(own, theirs, keys[-1])[0]

        return jax.grad(after_lookaheads)(logits[player])

    def _values(self, state: LOLAState) -> tuple[Values, Float[Array, "2 5"]]:
        """What is ascended, and the baseline it uses."""
        payoffs, discount = self.env_params.payoffs, self.config.discount

        def exact(first, second, key):
            normalised = memory_one_values(jax.nn.sigmoid(first), jax.nn.sigmoid(second), payoffs, discount)
            return normalised / (1 - discount)

        def sampled(first, second, key):
            logits = jnp.stack([first, second])
            seen, defected, reward = self._play(jax.lax.stop_gradient(logits), key)
            log_prob = jax.nn.log_sigmoid(jnp.where(defected, -1, 1) * _look_up(logits, seen))
            return dice_values(log_prob, reward, _look_up(state.baseline, seen), discount)

        return exact if self.config.exact else sampled, state.baseline

    def _play(self, logits, key: Array) -> tuple[Int32[Array, "T B 2"], Int32[Array, "T B 2"], Float[Array, "T B 2"]]:
        """Episodes: what was seen (0 to 4), actions, rewards."""
        batch, probability = VectorEnv(self.env, self.config.num_envs), jax.nn.sigmoid(logits)
        start_key, units_key = jax.random.split(key)
        obs, state = batch.reset(start_key, self.env_params)
        units = jax.random.uniform(units_key, (self.env.num_steps, self.config.num_envs, 2))

        def step(carry, unit):
            obs, state = carry
            action = (unit >= jnp.sum(probability * obs, axis=-1)).astype(jnp.int32)
            new_obs, state, reward, _, _, _ = batch.apply(state, action, (), self.env_params)
            return (new_obs, state), (jnp.argmax(obs, axis=-1).astype(jnp.int32), action, reward)

        return jax.lax.scan(step, (obs, state), units)[1]

    def _learned(self, state: LOLAState, key: Array) -> Float[Array, "2 5"]:
        """The baseline moved towards the mean discounted return after each state."""
        seen, _, reward = self._play(state.logits, key)

        def back(later, reward):
            later = reward + self.config.discount * later
            return later, later

        _, returns = jax.lax.scan(back, jnp.zeros_like(reward[0]), reward, reverse=True)
        visits: PyTree = jax.nn.one_hot(seen, 5)
        count = jnp.sum(visits, axis=(0, 1))
        mean = jnp.sum(visits * returns[..., None], axis=(0, 1)) / jnp.maximum(count, 1)
        kept = self.config.baseline_decay
        return jnp.where(count > 0, kept * state.baseline + (1 - kept) * mean, state.baseline)


def _look_up(table: Float[Array, "2 5"], seen: Int32[Array, "T B 2"]) -> Float[Array, "T B 2"]:
    """Each player's entry for what it saw."""
    return jnp.sum(jnp.where(seen[..., None] == jnp.arange(5), table, 0.0), axis=-1)
