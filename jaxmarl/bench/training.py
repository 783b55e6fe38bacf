"""Agent steps a second of learners, learning included."""

from collections.abc import Callable

import jax

from jaxmarl.bench.harness import REPEATS, chained, reset_peak_memory
from jaxmarl.bench.results import Row, make_row
from jaxmarl.core import VectorEnv, make
from jaxmarl.learners.base import Learner

UPDATES = 2  # in a timed call
DEFAULT_SIZES = (256,)


def measure(names: tuple[str, ...], sizes: tuple[int, ...] = DEFAULT_SIZES, repeats: int = REPEATS) -> list[Row]:
    """A row for each learner and number of instances that play at once."""
    return [_row(name, size, repeats) for name in names for size in sizes]


def _row(name: str, size: int, repeats: int) -> Row:
    learner = LEARNERS[name](size)

    def chunk(state):
        return jax.lax.scan(lambda s, _: (learner.update(s)[0], None), state, length=UPDATES)[0]

    reset_peak_memory()
    timing = chained(chunk, jax.jit(learner.init)(jax.random.key(0)), repeats)
    return make_row("training", name, size, "agent steps/s", timing, UPDATES * learner.steps_per_update)


def _ppo(size: int) -> Learner:
    from jaxmarl.learners import PPOConfig, ppo

    env = VectorEnv(make("coin_game", num_steps=16)[0], size)
    return ppo(env, PPOConfig(hidden=32, recurrent=False, chunk_length=16, epochs=2, minibatches=4))


def _recurrent_ppo(size: int) -> Learner:
    from jaxmarl.learners import PPOConfig, ppo

    env = VectorEnv(make("repeated_rps", num_throws=100)[0], size)
    return ppo(env, PPOConfig(hidden=32, chunk_length=20, epochs=2, minibatches=4))


def _repeated_q(size: int) -> Learner:
    from jaxmarl.envs.pricing import LogitPricing
    from jaxmarl.learners import RepeatedQConfig, repeated_q

    env = LogitPricing(num_prices=15)
    config = RepeatedQConfig(steps_per_update=1000)
    return repeated_q(env.stage_payoffs(env.default_params), 0.15, 0.0, config, epsilon=0.1, num_sessions=size)


LEARNERS: dict[str, Callable[[int], Learner]] = {
    "ppo_coin_game": _ppo,
    "recurrent_ppo_repeated_rps": _recurrent_ppo,
    "repeated_q_logit_pricing": _repeated_q,
}
DEFAULT_NAMES = tuple(LEARNERS)
