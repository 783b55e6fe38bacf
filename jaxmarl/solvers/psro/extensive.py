"""Extensive-form games for PSRO: strategies are behaviour strategies, responses are exact (backward induction).

A mixture is drawn once a game. What a responder meets at a terminal node is the mean, over the others' profiles, of
the probabilities of their own moves on the way there; so neither mixtures nor correlated distributions need a walk of
the tree. `mixture_policy` turns the final mixture into the behaviour strategy that plays like it.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmarl.games.extensive import ExtensiveGame
from jaxmarl.games.extensive_metrics import mixture_policy, profile_payoffs, respond_to_reach, terminal_reaches
from jaxmarl.solvers.psro.empirical import Estimates, exact_estimates
from jaxmarl.solvers.psro.game import PolicyGame, Populations

TREMBLE = 1e-6  # the share of all strategies alike in what a response expects: it is sensible off the path too
_LETTERS = "abcdefghijkl"


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class ExtensivePsro(PolicyGame):
    """An extensive-form game with perfect recall as a `PsroGame`; strategies are policies `[I_i, A_i]`.

    Attributes:
        game: any number of players.
    """

    game: ExtensiveGame

    def payoffs(self, profile: tuple[Array, ...]) -> Float[Array, " num_players"]:
        """Expected payoffs."""
        return self.game.expected_payoffs(profile)

    def payoff_row(
        self, seat: int, strategy: Float[Array, "num_info_states num_actions"], populations: Populations, key: Array
    ) -> Estimates:
        """Payoffs against all profiles of the others, by one contraction over terminal nodes."""
        reaches = [
            terminal_reaches(self.game, i, strategy[None] if i == seat else population)
            for i, population in enumerate(populations)
        ]
        return exact_estimates(jnp.squeeze(profile_payoffs(self.game, reaches), axis=seat + 1))

    def best_response(
        self, seat: int, populations: Populations, others: Float[Array, "*others"], key: Array
    ) -> Float[Array, "num_info_states num_actions"]:
        """A pure best response to the others' (possibly correlated) mixture.

        Where the mixture never leads, anything would do, but what is arbitrary there is what later responses exploit:
        Goofspiel with four cards then takes 36 iterations instead of 8. So a share of 1e-6 of the others is taken to
        play all strategies of their populations alike.
        """
        letters, alike = _LETTERS[: others.ndim], jnp.ones((), others.dtype)
        reaches = [terminal_reaches(self.game, i, pop) for i, pop in enumerate(populations) if i != seat]
        equation = f"{letters},{','.join(f'{letter}z' for letter in letters)}->z"
        met = jnp.einsum(equation, others, *reaches, precision="highest")
        for population, reach in zip((p for i, p in enumerate(populations) if i != seat), reaches, strict=True):
            there = jnp.any(population > 0, axis=(1, 2)).astype(reach.dtype)
            alike = alike * jnp.matmul(there / jnp.sum(there), reach, precision="highest")
        met = (1 - TREMBLE) * met + TREMBLE * alike
        return respond_to_reach(self.game, seat, met * self.game.chance_reach[self.game.terminals])[0]

    def mixed_policies(
        self, populations: Populations, mixtures: Float[Array, "num_players capacity"]
    ) -> tuple[Float[Array, "_ _"], ...]:
        """For each seat the behaviour strategy that plays like its mixture of the population."""
        return tuple(mixture_policy(self.game, i, mixtures[i], population) for i, population in enumerate(populations))
