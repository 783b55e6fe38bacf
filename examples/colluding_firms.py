"""Q-learning firms set prices again and again: sixteen sessions at once, and how far they get towards collusion.

    python examples/colluding_firms.py

Exploration ends a hundred times sooner than in the published study, which `scripts/reproduce/collusion.py` repeats.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxmarl
from jaxmarl.learners import RepeatedQConfig, repeated_q, run_until_stable
from jaxmarl.learners.greedy_play import cycle_mean, limit_cycle, profit_gain
from jaxmarl.learners.repeated_q import joint_table


def main() -> None:
    """Learns, then measures profits over the cycles in which greedy play ends."""
    env, params = jaxmarl.make("logit_pricing", num_prices=7)
    payoffs = env.stage_payoffs(params)
    config = RepeatedQConfig(stable_periods=5000)
    learner = repeated_q(payoffs, 0.15, 4e-4, config, num_sessions=16)
    state = run_until_stable(learner, learner.init(jax.random.key(0)), 200_000 // config.steps_per_update)
    policies, table = jnp.swapaxes(learner.params(state), 1, 2), joint_table(payoffs)
    cycles = jax.jit(jax.vmap(partial(limit_cycle, num_actions=7)))(policies, state.history)
    profits = np.asarray(jax.vmap(cycle_mean, (0, None))(cycles, table))
    known = env.benchmarks(params)
    low, high = known["nash"].profits, known["monopoly"].profits
    gain = profit_gain(profits, low, high)
    print(f"profits {profits.mean():.3f}; Nash {low[0]:.3f}, monopoly {high[0]:.3f}")
    print(f"share of the way from Nash to monopoly: {np.mean(gain):.2f} ± {np.std(gain):.2f} over sessions")


if __name__ == "__main__":
    main()
