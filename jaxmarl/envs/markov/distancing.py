"""The distancing game of Leonardos et al. (2022): a Markov potential game where crowds are good until they spread."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Integers
from jaxmarl.core.checks import require
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Discrete
from jaxmarl.envs.markov.modes import ModeGame, require_discount, require_finite
from jaxmarl.games.markov_fixtures import DISTANCING_PENALTY, DISTANCING_WEIGHTS
from jaxmarl.games.markov_rules import distancing_step


@struct.dataclass
class DistancingParams:
    """Numbers of the game.

    Attributes:
        weights: w_f, what facility f pays to each player there for each player there.
        penalty: lost by everybody in "spread".
        discount: of the benchmarks; rewards are not discounted.
    """

    weights: Float[Array, " facilities"]
    penalty: Float[Array, ""]
    discount: Float[Array, ""]


@register("distancing_game")
@dataclass(frozen=True)
class DistancingGame(ModeGame[DistancingParams]):
    """Players choose among four facilities, and want company; a crowd leads from "safe" to "spread".

    Of k players at facility f each gets `w_f k`, and `params.penalty` less in "spread". More than half of the players
    at one facility lead from "safe" to "spread"; at most a quarter at each lead back. The first state is drawn. The
    table (`jaxmarl.games.markov_fixtures.distancing_game`) plays by the same rules.

    `info`: `users [4]`, `welfare` (sum of rewards).

    Attributes:
        num_agents: players.
        num_steps: steps of an episode.
    """

    mode_names = ("safe", "spread")

    @property
    def default_params(self) -> DistancingParams:
        return DistancingParams(
            jnp.asarray(DISTANCING_WEIGHTS, float), jnp.asarray(DISTANCING_PENALTY, float), jnp.asarray(0.99, float)
        )

    def validate(self, params: DistancingParams) -> None:
        shape = np.asarray(params.weights).shape[-1:]
        require(shape == (4,), "weights", shape, "four, one for each facility")
        require_finite(weights=params.weights, penalty=params.penalty)
        require_discount(params.discount)

    def action_space(self, params: DistancingParams) -> Discrete:
        return Discrete(4)

    @property
    def reset_chance(self) -> ChanceSpec:
        return Integers(2)

    def start(self, chance, params: DistancingParams) -> Int32[Array, ""]:
        return chance

    def play(self, mode: Int32[Array, ""], action: Int32[Array, " N"], chance, params: DistancingParams):
        move = distancing_step(mode, action, params.weights, params.penalty)
        users = jnp.sum(action[:, None] == jnp.arange(4), axis=0, dtype=jnp.int32)
        return move.spread, move.rewards, {"users": users, "welfare": jnp.sum(move.rewards)}

    def benchmarks(self, params: DistancingParams) -> dict[str, Any]:
        """`equilibrium [2, N]`: facilities of each player in both states, and `equilibrium_values [2, N]`, discounted.

        In "safe" half of the players fill the best facility and half the second best, just short of a crowd; in
        "spread" they part evenly, which leads back. For the default weights and penalty and a multiple of four players.
        """
        default = self.default_params
        usual = np.array_equal(params.weights, default.weights) and float(params.penalty) == float(default.penalty)
        if not usual or self.num_agents % 4 or float(params.discount) < 0.9:
            return {}
        safe = np.repeat([3, 2], self.num_agents // 2)
        spread = np.repeat([1, 0, 3, 2], self.num_agents // 4)
        weights, penalty = np.asarray(params.weights, float), float(params.penalty)
        paid = [distancing_step(np.array(mode), action, weights, penalty) for mode, action in enumerate((safe, spread))]
        in_safe = paid[0].rewards / (1 - float(params.discount))
        in_spread = paid[1].rewards + float(params.discount) * in_safe
        return {"equilibrium": np.stack([safe, spread]), "equilibrium_values": np.stack([in_safe, in_spread])}
