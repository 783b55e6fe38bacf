"""Traffic on parallel links of which one at a time is slow: a Markov game with Rosenthal's potential (1973)."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int, Int32

from jaxmarl.core.chance import ChanceSpec, Integers, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Discrete
from jaxmarl.envs.markov.modes import ModeGame, require_discount
from jaxmarl.games.zoo._profiles import namespace


@struct.dataclass
class RoutingParams:
    """Numbers of the network.

    Attributes:
        constants: a_e, latency of link e when free.
        slopes: b_e, more for each driver on it.
        slowdown: what the degraded link's latency is multiplied by.
        change: probability that after a step the next link is degraded in place of this one.
        discount: of potentials and values; rewards are not discounted.
    """

    constants: Float[Array, " links"]
    slopes: Float[Array, " links"]
    slowdown: Float[Array, ""]
    change: Float[Array, ""]
    discount: Float[Array, ""]


@register("markov_routing")
@dataclass(frozen=True)
class MarkovRouting(ModeGame[RoutingParams]):
    """Each step every driver chooses one of several parallel links and loses that link's latency.

    Link e costs each of its n drivers `a_e + b_e n`, times `params.slowdown` while it is the degraded one. Which link
    is degraded everybody sees; after each step, with probability `params.change`, it is the next one. Actions have no
    part in that, so that the sum of Rosenthal's potentials is a potential of the whole game.

    `info`: `users [links]`, `total_latency`.

    Attributes:
        num_agents: drivers.
        num_steps: steps of an episode.
        num_links: parallel links, and states.
    """

    num_agents: int = 4
    num_links: int = 2

    def __post_init__(self):
        super().__post_init__()
        require_int("num_links", self.num_links, 1)

    @property
    def mode_names(self) -> tuple[str, ...]:
        return tuple(f"link_{i}_degraded" for i in range(self.num_links))

    @property
    def default_params(self) -> RoutingParams:
        constants = jnp.arange(1.0, self.num_links + 1, dtype=float)
        return RoutingParams(
            constants, jnp.ones(self.num_links, float), *(jnp.asarray(x, float) for x in (2.0, 0.2, 0.95))
        )

    def validate(self, params: RoutingParams) -> None:
        for name in ("constants", "slopes"):
            numbers = np.asarray(getattr(params, name))
            require(numbers.shape[-1:] == (self.num_links,), name, numbers.shape, f"{self.num_links}, one a link")
            require(
                bool((np.isfinite(numbers) & (numbers >= 0)).all()), name, numbers.tolist(), "at least 0 and finite"
            )
        slowdown, change = np.asarray(params.slowdown), np.asarray(params.change)
        require(bool((np.isfinite(slowdown) & (slowdown > 0)).all()), "slowdown", slowdown.tolist(), "positive")
        require(bool(((change >= 0) & (change <= 1)).all()), "change", change.tolist(), "a probability")
        require_discount(params.discount)

    def action_space(self, params: RoutingParams) -> Discrete:
        return Discrete(self.num_links)

    @property
    def reset_chance(self) -> ChanceSpec:
        """Which link is degraded first."""
        return Integers(self.num_links)

    @property
    def step_chance(self) -> ChanceSpec:
        """Whether that changes."""
        return Uniform()

    def start(self, chance, params: RoutingParams) -> Int32[Array, ""]:
        return chance

    def play(self, mode: Int32[Array, ""], action: Int32[Array, " N"], chance, params: RoutingParams):
        users = jnp.sum(action[:, None] == jnp.arange(self.num_links), axis=0, dtype=jnp.int32)
        latency = latencies(users, mode, params)
        following = (mode + (chance < params.change)) % self.num_links
        return following, -latency[action], {"users": users, "total_latency": jnp.sum(users * latency)}

    def step_outcomes(self, state, action: Int32[Array, " N"], params: RoutingParams):
        chance = jnp.array([0.0, 1.0])
        return chance, jnp.stack([params.change, 1 - params.change])

    def benchmarks(self, params: RoutingParams) -> dict[str, Any]:
        """By state: `equilibrium_users [S, links]` and `optimal_users`, and the `..._latency [S]` of all drivers.

        Drivers who come one by one and take the link that is then fastest end in an equilibrium; those who take the
        link on which they add least to the total, in an optimum.
        """
        host = jax.tree.map(np.asarray, params)
        known: dict[str, Any] = {}
        for name, selfish in (("equilibrium", True), ("optimal", False)):
            users = np.stack([_greedy(self, mode, host, selfish) for mode in range(self.num_links)])
            totals = [np.sum(row * latencies(row, mode, host)) for mode, row in enumerate(users)]
            known |= {f"{name}_users": users, f"{name}_latency": np.array(totals)}
        return known


def latencies(users: Any, mode: Any, params: RoutingParams) -> Any:
    """Latency of each link with `users [..., links]` on them, in NumPy or traced."""
    xp = namespace(users, mode, params)
    return _slow(xp, mode, params) * (params.constants + params.slopes * users)


def rosenthal_potential(users: Any, mode: Any, params: RoutingParams) -> Any:
    """`Φ = sum_e sum_{k = 1..n_e} l_e(k)`: a driver who changes links changes Φ as much as its own latency.

    Args:
        users: `[..., links]`, drivers on each link.
        mode: which link is degraded.
        params: of the network.
    """
    xp = namespace(users, mode, params)
    summed = params.constants * users + params.slopes * users * (users + 1) / 2
    return xp.sum(_slow(xp, mode, params) * summed, axis=-1)


def affine_flows(
    constants: Float[np.ndarray, " links"], slopes: Float[np.ndarray, " links"], demand: float = 1.0
) -> Float[np.ndarray, " links"]:
    """Wardrop equilibrium of infinitely many small drivers on parallel links of latency `a_e + b_e x_e`.

    All links in use have one latency, which no other link is below. The optimum is the equilibrium for slopes `2 b`:
    Pigou's links (1 and x) carry (0, 1) at cost 1 in equilibrium and (1/2, 1/2) at cost 3/4 in the optimum.

    Args:
        constants: a, at least 0.
        slopes: b, at least 0.
        demand: traffic in all, at least 0.
    """
    require(bool(np.min(slopes) >= 0 and np.min(constants) >= 0), "slopes and constants", (slopes, constants), ">= 0")
    flat = slopes == 0
    cap = np.min(constants[flat]) if flat.any() else np.inf
    speeds = np.where(flat, 0.0, 1 / np.where(flat, 1.0, slopes))
    # levels at which the m cheapest links together carry the demand; the lowest one is the common latency
    order = np.argsort(constants)
    speed, weighted = np.cumsum(speeds[order]), np.cumsum((speeds * constants)[order])
    levels = np.where(speed > 0, (demand + weighted) / np.where(speed > 0, speed, 1.0), np.inf)
    level = min(cap, float(np.min(levels)))
    flows = speeds * np.maximum(level - constants, 0)
    if level == cap:  # links of constant latency take the rest, the first of the cheapest all of it
        flows[int(np.flatnonzero(flat & (constants == cap))[0])] += demand - flows.sum()
    return flows


def _slow(xp: Any, mode: Any, params: RoutingParams) -> Any:
    return xp.where(np.arange(params.constants.shape[-1]) == mode, params.slowdown, 1.0)


def _greedy(env: MarkovRouting, mode: int, params: RoutingParams, selfish: bool) -> Int[np.ndarray, " links"]:
    users = np.zeros(env.num_links, int)
    for _ in range(env.num_agents):
        after = latencies(users + 1, mode, params)
        added = after if selfish else (users + 1) * after - users * latencies(users, mode, params)
        users[int(np.argmin(added))] += 1
    return users
