"""Log-linear learning: which equilibrium players end up in who revise one at a time and err now and then."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.core.checks import require
from jaxmarl.games.normal_form import NormalFormGame
from jaxmarl.solvers.alpharank import MAX_COMPILED_PROFILES, unilateral_profiles
from jaxmarl.solvers.markov_chain import LOG_ZERO, stationary_distribution
from jaxmarl.solvers.registry import register_solver
from jaxmarl.solvers.solution import Solution, correlated_solution


@register_solver("log_linear_learning", games="any", gap_kind="cce_gap")
def log_linear_learning(game: NormalFormGame, *, temperature: float | Float[Array, ""] = 0.1) -> Solution:
    """Long-run distribution over profiles where, each step, a random player revises by the logit rule (Blume 1993).

    The player drawn plays action a with probability proportional to `exp(u_i(a, others as they are) / temperature)`.
    The stationary distribution of that chain is computed, not simulated, and by an elimination without subtractions, so
    that no temperature is too low. In an exact potential game it is proportional to `exp(potential / temperature)`: as
    the temperature falls, play settles on the maximum of the potential.

    Args:
        game: at most 512 profiles; `vmap` for batches.
        temperature: positive, in units of payoff.

    Returns:
        `joint` is the distribution over profiles, `strategies` its marginals. Nothing is promised of the gap.
    """
    if not isinstance(temperature, jax.core.Tracer):
        require(float(temperature) > 0, "temperature", temperature, "positive")
    log_rates = log_linear_log_rates(game, temperature)
    joint = stationary_distribution(log_rates, game.legal_profiles().ravel())
    return correlated_solution(game, joint.reshape(game.num_actions), "cce_gap")


def log_linear_log_rates(
    game: NormalFormGame, temperature: float | Float[Array, ""]
) -> Float[Array, "profiles profiles"]:
    """`[s, r]`: logarithm of the probability that profile s becomes r in a step, off the diagonal, in C order."""
    num_profiles = math.prod(game.num_actions)
    allowed = f"of at most {MAX_COMPILED_PROFILES} profiles"
    require(num_profiles <= MAX_COMPILED_PROFILES, "game", f"{num_profiles} profiles", allowed)
    legal = game.legal_profiles().ravel()
    log_rates = jnp.full((num_profiles, num_profiles), LOG_ZERO, game.payoffs.dtype)
    for player in range(game.num_players):
        targets = unilateral_profiles(game.num_actions, player)
        scores = jnp.where(legal[targets], game.payoffs[player].ravel()[targets] / temperature, LOG_ZERO)
        chosen = jax.nn.log_softmax(scores) - math.log(game.num_players)
        possible = legal[:, None] & legal[targets]
        log_rates = log_rates.at[jnp.arange(num_profiles)[:, None], targets].set(
            jnp.where(possible, jnp.maximum(chosen, LOG_ZERO), LOG_ZERO)
        )
    return log_rates
