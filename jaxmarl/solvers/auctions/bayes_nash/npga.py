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
from jaxmarl.solvers.auctions.bayes_nash.sampling import shifted_lattice, signals_given_own, signals_of_one
from jaxmarl.solvers.auctions.bayes_nash.signals import signal_law

WORTH_RATE = 0.05  # of the running means that weight signals; weights that saw the same draws would bias bids upwards
SHARPNESS = 40.0  # of the bend at 0, in units of the largest signal
# Reduced precision on an accelerator would be louder than the perturbations.
Dense = functools.partial(nn.Dense, precision="highest")


class BidNetwork(nn.Module):
    """What a bid is made of, from a signal, both in units of the largest signal.

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
        num_signals: own signals at which bids are tried in a step.
        num_samples: draws of the others for each of these.
        num_levels: bids at which utility is computed; it is linear between them, which smooths its jumps.
        num_pairs: antithetic pairs of perturbations per step and group.
        num_pretraining: steps of regression on truthful bids, before.
        learning_rate: of Adam, at the start; it falls to 0 along a cosine.
        perturbation: standard deviation of the parameters' perturbations; None for half of 1 / number of parameters.
        flatness: utility at each signal counts in units of what the best bid earns there, plus this share of its mean
            over signals. Equilibria stay the same, and signals that rarely win are not left to the noise. Large values
            weight all signals alike.
        widths: of the network's hidden layers.
    """

    num_iterations: int = 1200
    num_signals: int = 64
    num_samples: int = 128
    num_levels: int = 24
    num_pairs: int = 32
    num_pretraining: int = 500
    learning_rate: float = 2e-3
    perturbation: float | None = None
    flatness: float = 0.005
    widths: tuple[int, ...] = (10, 10)

    def __post_init__(self):
        for name in ("num_iterations", "num_signals", "num_samples", "num_levels", "num_pairs", "num_pretraining"):
            require_int(name, getattr(self, name), 1)
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "positive")
        require(self.flatness > 0, "flatness", self.flatness, "positive")
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
    config: NPGAConfig = NPGAConfig(),
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
    """Positive whatever the network puts out: where a bid were cut at 0, nothing would ever raise it again."""
    return nn.softplus(SHARPNESS * _raw_bid(widths, parameters, signals)) / SHARPNESS


def _bids(widths: tuple[int, ...], parameters: Float[Array, "N D"], scale: Array, signals: Array) -> Array:
    bid = jax.vmap(functools.partial(_bid, widths), in_axes=(0, -1), out_axes=-1)
    return scale * bid(parameters, signals / scale)


def _between(table: Float[Array, "S L"], places: Float[Array, "P S"]) -> Float[Array, "P S"]:
    """Entries of each row at fractional places, which are cut to the row."""
    last = table.shape[1] - 1
    places = jnp.clip(places, 0, last)
    left = jnp.minimum(places.astype(jnp.int32), last - 1)
    row = jnp.arange(table.shape[0])
    low, high = table[row, left], table[row, left + 1]
    return low + (places - left) * (high - low)


def _utility_table(
    env: SealedBidAuction,
    params: SealedBidParams,
    bidder: Array,
    values: Float[Array, "S K"],
    bids: Float[Array, "S K N"],
    levels: Float[Array, " L"],
) -> Float[Array, "S L"]:
    """Mean reward of each bid of `bidder` against draws of the others', at each of its signals."""

    def utility(value: Array, bids: Array, own: Array) -> Array:
        def reward(value, bids):
            state = SealedBidState(bids, jnp.broadcast_to(value, bids.shape))  # rewards do not look at signals
            return env.transition(state, bids.at[bidder].set(own), (), params)[1][bidder]

        return jnp.mean(jax.vmap(reward)(value, bids))

    return jax.vmap(jax.vmap(utility, in_axes=(None, None, 0)), in_axes=(0, 0, None))(values, bids, levels)


class _State(NamedTuple):
    parameters: Float[Array, "G D"]
    optimiser: Any
    worth: Float[Array, "G S"]  # running mean of what the best bid earns at each quantile of the signals


@functools.partial(jax.jit, static_argnames=("env", "config", "groups"))
def _train(
    env: SealedBidAuction, params: SealedBidParams, key: Array, config: NPGAConfig, groups: tuple[int, ...]
) -> NPGAResult:
    widths, bidders = config.widths, np.asarray(groups)
    num_groups, (size, _) = max(groups) + 1, _unravel(widths)
    firsts = jnp.asarray([groups.index(g) for g in range(num_groups)])
    sigma = 0.5 / size if config.perturbation is None else config.perturbation
    law = signal_law(params.prior, jnp.sum(params.active))
    scale = jnp.max(jax.vmap(lambda i: law.support(i)[1])(firsts))
    init_key, step_key = jax.random.split(key)
    network = BidNetwork(widths)
    first = jax.vmap(lambda k: ravel_pytree(network.init(k, jnp.zeros(1)))[0])(jax.random.split(init_key, num_groups))
    optimiser = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.num_iterations))
    pretrained = _pretrain(widths, first, config)

    def pseudo_gradient(
        parameters: Float[Array, "G D"], worth: Float[Array, " S"], group: Array, key: Array
    ) -> tuple[Array, Array, Array]:
        bidder, keys = firsts[group], jax.random.split(key, 3)
        own = jnp.sort(signals_of_one(params, bidder, shifted_lattice(keys[0], config.num_signals, 2)))
        # points at every S-th place of the lattice are spread evenly, too
        points = shifted_lattice(keys[1], config.num_signals * config.num_samples, env.num_agents)
        points = points.reshape(config.num_samples, config.num_signals, env.num_agents).swapaxes(0, 1)
        signals, values = jax.vmap(functools.partial(signals_given_own, params, bidder))(own, points)
        bids = _bids(widths, parameters[bidders], scale, signals)
        top = 1.1 * jnp.max(bids) + 0.01 * scale
        levels = top * jnp.linspace(0.0, 1.0, config.num_levels)
        table = _utility_table(env, params, bidder, values, bids, levels)
        noise = jax.random.normal(keys[2], (config.num_pairs, size), parameters.dtype)
        perturbed = parameters[group] + sigma * jnp.concatenate([noise, -noise])
        tried = scale * jax.vmap(functools.partial(_bid, widths), in_axes=(0, None))(perturbed, own / scale)
        earned = _between(table, tried / top * (config.num_levels - 1))
        weights = 1 / (worth + config.flatness * worth.mean() + 1e-6 * scale)
        up, down = jnp.split(jnp.mean(weights * earned, axis=1), 2)
        gradient = (up - down) @ noise / (2 * sigma * config.num_pairs)
        return gradient, earned.mean(), worth + WORTH_RATE * (table.max(axis=1) - worth)

    def step(state: _State, key: Array) -> tuple[_State, Array]:
        of_group = jax.vmap(pseudo_gradient, in_axes=(None, 0, 0, 0))
        keys = jax.random.split(key, num_groups)
        ascent, utilities, worth = of_group(state.parameters, state.worth, jnp.arange(num_groups), keys)
        change, memory = optimiser.update(-ascent, state.optimiser)
        parameters = optax.apply_updates(state.parameters, change)
        return _State(parameters, memory, worth), utilities

    keys = jax.random.split(step_key, config.num_iterations)
    last, utilities = jax.lax.scan(
        step, _State(pretrained, optimiser.init(pretrained), jnp.full((num_groups, config.num_signals), scale)), keys
    )
    return NPGAResult(last.parameters, scale, utilities, groups, widths)


def _pretrain(widths: tuple[int, ...], parameters: Float[Array, "G D"], config: NPGAConfig) -> Float[Array, "G D"]:
    """Regression on the truthful bid, before the bend at 0: a network that starts far below would learn slowly."""
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
