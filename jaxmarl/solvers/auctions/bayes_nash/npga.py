"""NPGA: bid functions as small networks that follow pseudo-gradients of expected utility."""

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxmarl.core.checks import require, require_int
from jaxmarl.envs.auctions.sealed_bid import SealedBidAuction, SealedBidParams, SealedBidState
from jaxmarl.solvers.auctions.bayes_nash.groups import checked_groups
from jaxmarl.solvers.auctions.bayes_nash.sampling import shifted_lattice, signals_of_all
from jaxmarl.solvers.auctions.bayes_nash.signals import signal_law

# Reduced precision on an accelerator would be louder than the perturbations.
Dense = functools.partial(nn.Dense, precision="highest")


class BidNetwork(nn.Module):
    """A bid from a signal, both in units of the largest signal. What it puts out below 0 is a bid of 0.

    Attributes:
        widths: of the hidden layers, with SELU activations.
    """

    widths: tuple[int, ...] = (10, 10)

    @nn.compact
    def __call__(self, signals: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        hidden = signals[..., None]
        for width in self.widths:
            hidden = nn.selu(Dense(width)(hidden))
        return Dense(1)(hidden)[..., 0]


@dataclass(frozen=True)
class NPGAConfig:
    """What fixes shapes and lengths.

    Attributes:
        num_iterations: gradient steps.
        num_samples: auctions per step, evenly spread over signals.
        num_pairs: antithetic pairs of perturbations per step and group.
        num_pretraining: steps of regression on truthful bids, before.
        learning_rate: of Adam, at the start; it falls to 0 along a cosine.
        perturbation: standard deviation of the parameters' perturbations; None for 1 / number of parameters.
        widths: of the network's hidden layers.
    """

    num_iterations: int = 1000
    num_samples: int = 512
    num_pairs: int = 16
    num_pretraining: int = 500
    learning_rate: float = 3e-3
    perturbation: float | None = None
    widths: tuple[int, ...] = (10, 10)

    def __post_init__(self):
        for name in ("num_iterations", "num_samples", "num_pairs", "num_pretraining"):
            require_int(name, getattr(self, name), 1)
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "positive")
        require(self.perturbation is None or self.perturbation > 0, "perturbation", self.perturbation, "positive")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NPGAResult:
    """Trained bid functions. A pytree: under `vmap` over keys every array gets a leading axis.

    Attributes:
        parameters: `[G, D]`, of each group's network, flat.
        scale: unit of signals and bids in the networks.
        utilities: `[T, G]`, estimated before each step.
        groups: of each bidder.
        widths: of the networks.
    """

    parameters: Float[Array, "G D"]
    scale: Float[Array, ""]
    utilities: Float[Array, "T G"]
    groups: tuple[int, ...] = field(metadata={"static": True})
    widths: tuple[int, ...] = field(metadata={"static": True})

    def bid_function(self) -> Partial:
        """Of one result: a function from signals `[..., N]` to bids `[..., N]`."""
        return Partial(functools.partial(_bids, self.widths), self.parameters[np.asarray(self.groups)], self.scale)


def npga(
    env: SealedBidAuction,
    params: SealedBidParams,
    key: Array,
    config: NPGAConfig = NPGAConfig(),  # noqa: B008 (frozen)
    *,
    groups: tuple[int, ...] | None = None,
) -> NPGAResult:
    """Neural pseudo-gradient ascent (Bichler et al., *Nature Machine Intelligence* 2021), in one scan.

    Utilities jump where a bid passes another one, so that derivatives of sampled utilities miss the chance of winning.
    Instead each group's parameters are perturbed by `±ε`, the others' staying as they are, and the differences of mean
    utility, over the same auctions, weight `ε`. All groups step at the same time. The differences are of order
    `perturbation`, and the utilities they are taken from carry rounding errors of 1e-7 in float32: much smaller
    perturbations than the default drown in these. Nothing is promised; judge the result with `best_response_loss`.
    Seeds are a `vmap` over `key`.

    Args:
        env: the auction. Its bids are taken to be continuous, and `"random"` ties are split.
        params: its numbers.
        key: of first parameters, auctions and perturbations.
        config: sizes and rates.
        groups: as in `discretise`.

    Raises:
        ValueError: numbers out of range, a group whose bidders are not alike.
    """
    groups = checked_groups(params, groups)
    env = dataclasses.replace(
        env, num_bid_levels=None, tie_rule="lose" if env.tie_rule == "lose" else "split", max_bid=float("inf")
    )
    return _train(env, params, key, config, groups)


def _unravel(widths: tuple[int, ...]) -> tuple[int, Any]:
    """Number of parameters of a network, and what makes them of a vector."""
    shapes = jax.eval_shape(BidNetwork(widths).init, jax.random.key(0), jnp.zeros(1))
    flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))
    return flat.size, unravel


def _raw_bid(widths: tuple[int, ...], parameters: Float[Array, " D"], signals: Array) -> Array:
    return BidNetwork(widths).apply(_unravel(widths)[1](parameters), signals)  # type: ignore[return-value]


def _bid(widths: tuple[int, ...], parameters: Float[Array, " D"], signals: Array) -> Array:
    return nn.relu(_raw_bid(widths, parameters, signals))


def _bids(widths: tuple[int, ...], parameters: Float[Array, "N D"], scale: Array, signals: Array) -> Array:
    bid = jax.vmap(functools.partial(_bid, widths), in_axes=(0, -1), out_axes=-1)
    return scale * bid(parameters, signals / scale)


class _State(NamedTuple):
    parameters: Float[Array, "G D"]
    optimiser: Any


@functools.partial(jax.jit, static_argnames=("env", "config", "groups"))
def _train(
    env: SealedBidAuction, params: SealedBidParams, key: Array, config: NPGAConfig, groups: tuple[int, ...]
) -> NPGAResult:
    widths, bidders = config.widths, np.asarray(groups)
    num_groups, (size, _) = max(groups) + 1, _unravel(widths)
    firsts = jnp.asarray([groups.index(g) for g in range(num_groups)])
    sigma = 1 / size if config.perturbation is None else config.perturbation
    law = signal_law(params.prior, jnp.sum(params.active))
    scale = jnp.max(jax.vmap(lambda i: law.support(i)[1])(firsts))
    init_key, shift_key, noise_key = jax.random.split(key, 3)
    network = BidNetwork(widths)
    first = jax.vmap(lambda k: ravel_pytree(network.init(k, jnp.zeros(1)))[0])(jax.random.split(init_key, num_groups))
    optimiser = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.num_iterations))
    pretrained = _pretrain(widths, first, config)

    def utility(signals: Array, values: Array, bids: Array, bidder: Array, own: Array) -> Float[Array, ""]:
        def reward(signals, values, bids, own):
            return env.transition(SealedBidState(signals, values), bids.at[bidder].set(own), (), params)[1][bidder]

        return jnp.mean(jax.vmap(reward)(signals, values, bids, own))

    def step(state: _State, t: Array) -> tuple[_State, Array]:
        uniform = shifted_lattice(jax.random.fold_in(shift_key, t), config.num_samples, env.num_agents + 1)
        signals, values = signals_of_all(params, uniform)
        bids = _bids(widths, state.parameters[bidders], scale, signals)
        noise = jax.random.normal(jax.random.fold_in(noise_key, t), (num_groups, config.num_pairs, size))

        def pseudo_gradient(parameters, bidder, noise):
            own = scale * jax.vmap(functools.partial(_bid, widths), in_axes=(0, None))(
                jnp.concatenate([parameters + sigma * noise, parameters - sigma * noise]), signals[:, bidder] / scale
            )
            earned = jax.vmap(functools.partial(utility, signals, values, bids, bidder))(own)
            up, down = jnp.split(earned, 2)
            return (up - down) @ noise / (2 * sigma * config.num_pairs), earned.mean()

        ascent, utilities = jax.vmap(pseudo_gradient)(state.parameters, firsts, noise)
        change, memory = optimiser.update(-ascent, state.optimiser)
        return _State(optax.apply_updates(state.parameters, change), memory), utilities  # type: ignore[arg-type]

    last, utilities = jax.lax.scan(step, _State(pretrained, optimiser.init(pretrained)), jnp.arange(config.num_iterations))
    return NPGAResult(last.parameters, scale, utilities, groups, widths)


def _pretrain(widths: tuple[int, ...], parameters: Float[Array, "G D"], config: NPGAConfig) -> Float[Array, "G D"]:
    """Regression on the truthful bid, before the cut at 0: a network that only bids 0 would never learn otherwise."""
    signals = (jnp.arange(64) + 0.5) / 64
    optimiser = optax.adam(1e-2)

    def error(parameters):
        bids = jax.vmap(functools.partial(_raw_bid, widths), in_axes=(0, None))(parameters, signals)
        return jnp.sum(jnp.mean((bids - signals) ** 2, axis=-1))

    def step(carry, _):
        parameters, memory = carry
        change, memory = optimiser.update(jax.grad(error)(parameters), memory)
        return (optax.apply_updates(parameters, change), memory), None

    (parameters, _), _ = jax.lax.scan(step, (parameters, optimiser.init(parameters)), length=config.num_pretraining)
    return parameters
