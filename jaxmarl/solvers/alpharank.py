"""Alpha-rank: pure profiles ranked by how long evolving populations stay in them (Omidshafiei et al. 2019).

A population a player, each of one strategy but for rare mutants; a mutant takes its population over with a probability
that depends on the payoffs, the ranking intensity alpha and the size of the population. The ranking is the stationary
distribution of the chain of take-overs (arXiv 1903.01373). It exists, is unique, and needs no equilibrium.
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.games.normal_form import NormalFormGame
from jaxmarl.solvers.markov_chain import LOG_ZERO, host_stationary_distribution, stationary_distribution
from jaxmarl.solvers.registry import register_solver
from jaxmarl.solvers.solution import Solution, correlated_solution

MAX_COMPILED_PROFILES = 512
MAX_PROFILES = 8192

Scalar: TypeAlias = float | Float[Array, ""]


@register_solver("alpha_rank", games="any", gap_kind="cce_gap")
def alpha_rank(
    game: NormalFormGame,
    *,
    alpha: Scalar | None = None,
    population_size: int = 50,
    noise: float = 1e-12,
    tie_tolerance: float = 1e-6,
) -> Solution:
    """Alpha-rank with a population a player: a distribution over pure profiles, its marginals and its CCE gap.

    Without `alpha`, the limit of an infinite ranking intensity, which does not depend on the scale of payoffs: better
    mutants take over, worse ones with probability `noise`, equal ones with probability 1/2. Any accuracy of the limit
    is reached at once, since small rates cost the elimination of states no digits.

    Args:
        game: any number of players; under `jit` or `vmap`, at most 512 profiles. Larger games (up to 8192 profiles)
            are solved on the host in float64.
        alpha: ranking intensity, per unit of payoff; None for the infinite limit.
        population_size: individuals in each population, with a finite `alpha`.
        noise: probability epsilon that a worse mutant takes over in the infinite limit, in (0, 1/2).
        tie_tolerance: payoffs nearer than this times the player's range are equal in the infinite limit.

    Returns:
        `joint` is the stationary distribution over profiles, `strategies` its marginals. Nothing is promised of the
        gap: a chain of best responses that cycles is not a correlated equilibrium.
    """
    num_profiles = int(np.prod(game.num_actions))
    require(num_profiles <= MAX_PROFILES, "game", f"{num_profiles} profiles", f"of at most {MAX_PROFILES} profiles")
    if num_profiles <= MAX_COMPILED_PROFILES:
        log_rates = profile_log_rates(game, alpha, population_size, noise, tie_tolerance)
        joint = stationary_distribution(log_rates, game.legal_profiles().ravel())
        return correlated_solution(game, joint.reshape(game.num_actions), "cce_gap")
    require(
        not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(game)),
        "game",
        f"{num_profiles} profiles",
        f"of at most {MAX_COMPILED_PROFILES} profiles inside jit and vmap",
    )
    exact = _host_joint(game, alpha, population_size, noise, tie_tolerance)
    return correlated_solution(game, jnp.asarray(exact, game.payoffs.dtype), "cce_gap")


def profile_log_rates(
    game: NormalFormGame,
    alpha: Scalar | None = None,
    population_size: int = 50,
    noise: float = 1e-12,
    tie_tolerance: float = 1e-6,
) -> Float[Array, "profiles profiles"]:
    """`[s, r]`: logarithm of the probability that profile s becomes r in one step; arguments as in `alpha_rank`.

    Profiles are in C order. Exactly one player differs between s and r, at probability `fixation / sum_k (A_k - 1)`;
    other entries, the diagonal and illegal profiles included, are `LOG_ZERO`.
    """
    _check_options(alpha, population_size, noise)
    num_profiles = int(np.prod(game.num_actions))
    profiles = np.arange(num_profiles)
    legal, ranges = game.legal_profiles().ravel(), game.payoff_range()
    num_mutants = sum(jnp.sum(game.mask(i)) - 1 for i in range(game.num_players))
    log_rates = jnp.full((num_profiles, num_profiles), LOG_ZERO, game.payoffs.dtype)
    for i in range(game.num_players):
        targets = unilateral_profiles(game.num_actions, i)
        payoffs = game.payoffs[i].ravel()
        gains = payoffs[targets] - payoffs[:, None]
        if alpha is None:
            log_fixation = _limit_log_fixation(gains, noise, tie_tolerance * ranges[i])
        else:
            log_fixation = log_fixation_probability(alpha * gains, population_size)
        possible = legal[:, None] & legal[targets] & (targets != profiles[:, None])
        log_rates = log_rates.at[profiles[:, None], targets].set(jnp.where(possible, log_fixation, LOG_ZERO))
    offset = jnp.log(jnp.maximum(num_mutants, 1).astype(log_rates.dtype))
    return jnp.where(log_rates > LOG_ZERO, log_rates - offset, LOG_ZERO)


def unilateral_profiles(num_actions: tuple[int, ...], player: int) -> Int[np.ndarray, "profiles own"]:
    """`[s, a]`: index, in C order, of the profile in which the player changes to its action a and the others stay."""
    profiles, stride = np.arange(int(np.prod(num_actions))), int(np.prod(num_actions[player + 1 :]))
    own = np.unravel_index(profiles, num_actions)[player]
    return profiles[:, None] + (np.arange(num_actions[player]) - own[:, None]) * stride


def alpha_rank_symmetric(
    row_payoffs: Float[Array, "strategies strategies"],
    *,
    alpha: Scalar | None = None,
    population_size: int = 50,
    selection: str = "local",
    noise: float = 1e-12,
    tie_tolerance: float = 1e-6,
) -> Float[Array, " strategies"]:
    """Alpha-rank of a symmetric two-player game with a single population: a distribution over strategies.

    Args:
        row_payoffs: `[S, S]`, the payoff of a strategy (row) against another (column); at most 512 strategies.
        alpha: as in `alpha_rank`.
        population_size: as in `alpha_rank`.
        selection: whom an individual is compared with under a finite `alpha`: `"local"`, one opponent of the other
            strategy; `"global"`, everybody else in the population, the general model of the paper.
        noise: as in `alpha_rank`.
        tie_tolerance: as in `alpha_rank`, times the range of all payoffs.

    Returns:
        The stationary distribution.
    """
    return stationary_distribution(
        strategy_log_rates(row_payoffs, alpha, population_size, selection, noise, tie_tolerance)
    )


def strategy_log_rates(
    row_payoffs: Float[Array, "strategies strategies"],
    alpha: Scalar | None = None,
    population_size: int = 50,
    selection: str = "local",
    noise: float = 1e-12,
    tie_tolerance: float = 1e-6,
) -> Float[Array, "strategies strategies"]:
    """`[s, r]`: logarithm of the probability that strategy s becomes r, off the diagonal, in a single population.

    Arguments as in `alpha_rank_symmetric`.
    """
    size = row_payoffs.shape[0]
    require(row_payoffs.shape == (size, size), "row_payoffs", row_payoffs.shape, "a square matrix")
    require(size <= MAX_COMPILED_PROFILES, "row_payoffs", f"{size} strategies", f"at most {MAX_COMPILED_PROFILES}")
    require_choice("selection", selection, ("local", "global"))
    _check_options(alpha, population_size, noise)
    gains = row_payoffs.T - row_payoffs  # [s, r]: what r gets against s, less what s gets against r
    if alpha is None:
        log_fixation = _limit_log_fixation(gains, noise, tie_tolerance * jnp.ptp(row_payoffs))
    elif selection == "local":
        log_fixation = log_fixation_probability(alpha * gains, population_size)
    else:
        log_fixation = _global_log_fixation(row_payoffs, alpha, population_size)
    return jnp.where(jnp.eye(size, dtype=bool), LOG_ZERO, log_fixation - np.log(max(size - 1, 1)))


def log_fixation_probability(advantage: Float[Array, "*shape"], population_size: int) -> Float[Array, "*shape"]:
    """Logarithm of `(1 - e^-u) / (1 - e^-mu)`: that one mutant of advantage u takes over m individuals; 1/m at 0."""
    size = jnp.abs(advantage)
    tied = size < jnp.finfo(advantage.dtype).tiny * 1e4
    size = jnp.where(tied, 1, size)
    # For u < 0 this is e^(-(m - 1) |u|) times the probability at |u|.
    ratio = jnp.log(-jnp.expm1(-size)) - jnp.log(-jnp.expm1(-population_size * size))
    log_probability = ratio - (population_size - 1) * jnp.where(advantage < 0, size, 0)
    return jnp.where(tied, -np.log(population_size), log_probability)


_compiled_log_rates = jax.jit(profile_log_rates, static_argnames=("population_size", "noise", "tie_tolerance"))


def _host_joint(game: NormalFormGame, *options: Any) -> np.ndarray:
    """`[A_1, ..., A_n]` in float64, by elimination on the host; `options` as those of `profile_log_rates`."""
    with jax.enable_x64(True):
        double = NormalFormGame(jnp.asarray(game.payoffs, jnp.float64), game.masks)
        log_rates = np.asarray(_compiled_log_rates(double, *options))
        legal = np.flatnonzero(np.asarray(game.legal_profiles()))
    joint = np.zeros(game.num_actions)
    joint.ravel()[legal] = host_stationary_distribution(log_rates[np.ix_(legal, legal)])
    return joint


def rank_profiles(
    joint: Float[Array, "*num_actions"], count: int
) -> tuple[Int[Array, "count num_players"], Float[Array, " count"]]:
    """The `count` profiles with the largest probability, best first (equals in C order), and their probabilities."""
    require_int("count", count, 1, joint.size)
    masses, order = jax.lax.top_k(joint.ravel(), count)
    return jnp.stack(jnp.unravel_index(order, joint.shape), axis=-1), masses


def _limit_log_fixation(gains: Array, noise: float, tie: Array) -> Array:
    log_chance = jnp.where(gains > tie, np.log1p(-noise), np.log(noise))
    return jnp.where(jnp.abs(gains) <= tie, np.log(0.5), log_chance).astype(gains.dtype)


def _global_log_fixation(payoffs: Array, alpha: Scalar, m: int) -> Array:
    """`[s, r]`, `-log(1 + sum_{l < m} exp(-alpha sum_{p <= l} (f_r(p) - f_s(p))))`, p individuals playing r.

    Fitness is the mean payoff against the m - 1 others. For constant-sum payoffs this is the closed form above at
    `u = alpha m / (m - 1) (M[r, s] - sum / 2)`.
    """
    own = jnp.diagonal(payoffs)
    r_against_r, s_against_s, r_against_s, s_against_r = own[None, :], own[:, None], payoffs.T, payoffs

    def add(step: Array, total: Array) -> Array:
        length = step.astype(payoffs.dtype)
        others, pairs = length * (length - 1) / 2, length * (length + 1) / 2
        mutant = others * r_against_r + (m * length - pairs) * r_against_s
        resident = ((m - 1) * length - pairs) * s_against_s + pairs * s_against_r
        return jnp.logaddexp(total, -alpha * (mutant - resident) / (m - 1))

    return -jax.lax.fori_loop(1, m, add, jnp.zeros_like(payoffs))


def _check_options(alpha: Scalar | None, population_size: int, noise: float) -> None:
    require_int("population_size", population_size, 2)
    require(0 < noise < 0.5, "noise", noise, "in (0, 0.5)")
    if isinstance(alpha, float | int):
        require(alpha > 0, "alpha", alpha, "positive, or None for the infinite limit")
