"""Firms that pollute until all of them are taxed, after Narasimha et al. (2022) and Jordan et al. (2024)."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Discrete
from jaxmarl.envs.markov.modes import ModeGame, require_discount, require_finite

CLEAN, DIRTY = 0, 1


@struct.dataclass
class PollutionTaxParams:
    """Numbers of the game.

    Attributes:
        clean: reward of clean production.
        dirty: of dirty production, before tax.
        tax: on dirty production, while there is one.
        tolerated: m; more than m dirty firms bring the tax for the next step.
        discount: of the benchmarks; rewards are not discounted.
    """

    clean: Float[Array, ""]
    dirty: Float[Array, ""]
    tax: Float[Array, ""]
    tolerated: Float[Array, ""]
    discount: Float[Array, ""]


@register("pollution_tax")
@dataclass(frozen=True)
class PollutionTax(ModeGame[PollutionTaxParams]):
    """Firms produce clean (0) or dirty (1); more than `params.tolerated` dirty ones have dirt taxed at the next step.

    It begins without tax. The constants are ours. `info`: `dirty` (firms), `welfare` (sum of rewards).

    Attributes:
        num_agents: firms.
        num_steps: steps of an episode.
    """

    mode_names = ("tax_free", "taxed")

    @property
    def default_params(self) -> PollutionTaxParams:
        return PollutionTaxParams(*(jnp.asarray(x, float) for x in (2.0, 4.0, 8.0, 4.0, 0.95)))

    def validate(self, params: PollutionTaxParams) -> None:
        require_finite(clean=params.clean, dirty=params.dirty, tax=params.tax, tolerated=params.tolerated)
        require_discount(params.discount)

    def action_space(self, params: PollutionTaxParams) -> Discrete:
        return Discrete(2)

    def start(self, chance, params: PollutionTaxParams) -> Int32[Array, ""]:
        return jnp.zeros((), jnp.int32)

    def play(self, mode: Int32[Array, ""], action: Int32[Array, " N"], chance, params: PollutionTaxParams):
        dirty = jnp.sum(action == DIRTY, dtype=jnp.int32)
        rewards = jnp.where(action == DIRTY, params.dirty - params.tax * mode, params.clean)
        return (dirty > params.tolerated).astype(jnp.int32), rewards, {"dirty": dirty, "welfare": jnp.sum(rewards)}

    def benchmarks(self, params: PollutionTaxParams) -> dict[str, Any]:
        """`equilibrium [2, N]`: all are dirty until the tax and clean under it; `equilibrium_values [2]`, discounted.

        An equilibrium where one firm alone can neither keep the tax away nor bring it, and taxed dirt does not pay.
        """
        clean, dirty, tax, tolerated, discount = (
            float(getattr(params, name)) for name in ("clean", "dirty", "tax", "tolerated", "discount")
        )
        powerless = 1 <= tolerated < self.num_agents - 1
        if not (powerless and dirty - tax <= clean <= dirty):
            return {}
        free = (dirty + discount * clean) / (1 - discount**2)
        return {
            "equilibrium": np.repeat([[DIRTY], [CLEAN]], self.num_agents, axis=1),
            "equilibrium_values": np.array([free, clean + discount * free]),
        }
