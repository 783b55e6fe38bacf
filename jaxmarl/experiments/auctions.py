"""Sealed-bid auctions solved by learners, beside the bids that theory knows: settings, answers, tables, files."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from rich.table import Table

from jaxmarl.core.chance import draw
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.files import replace_file
from jaxmarl.envs.auctions.priors import Marginal, Power
from jaxmarl.envs.auctions.sealed_bid import SealedBidAuction, SealedBidParams
from jaxmarl.solvers.auctions.bayes_nash import (
    NPGAConfig,
    best_response_loss,
    discretise,
    npga,
    soda,
)

METHODS = ("soda", "npga")
SODA_OPTIONS = ("method", "step_size", "decay", "tolerance", "max_iterations", "record_every")
CHUNK = 1 << 13  # auctions that are simulated at once
SHOWN = 11  # rows of a table


@dataclass(frozen=True)
class AuctionSetting:
    """What is for sale, how, and to whom.

    Attributes:
        payment: of `mechanism.PAYMENT_RULES`.
        num_bidders: how many.
        prior: of `PRIORS`; its usual numbers, except for `highs` and `exponent`.
        reserve, entry_fee: of the auction.
        risk: exponent of everybody's CRRA utility.
        highs: the largest value of each bidder under an independent prior, or one for all; empty for the usual one.
        exponent: of power laws.
        ties: what equal bids get.
        max_bid: the highest bid level; None for `discretise`'s.
        title: in figures and tables; a description by default.
    """

    payment: str = "first_price"
    num_bidders: int = 2
    prior: str = "uniform"
    reserve: float = 0.0
    entry_fee: float = 0.0
    risk: float = 1.0
    highs: tuple[float, ...] = ()
    exponent: float = 2.0
    ties: str = "lose"
    max_bid: float | None = None
    title: str = ""

    def build(self) -> tuple[SealedBidAuction, SealedBidParams]:
        """The environment and its numbers.

        Raises:
            ValueError: one line, for what is not allowed.
        """
        require_int("bidders", self.num_bidders, 1)
        env = SealedBidAuction(self.payment, self.num_bidders, self.prior, tie_rule=self.ties, max_bid=1e6)
        params = env.default_params
        prior = params.prior
        if self.highs:
            require(isinstance(prior, Marginal), "high", self.highs, f"left out with prior {self.prior}")
            fits = len(self.highs) in (1, self.num_bidders)
            require(fits, "high", self.highs, f"one number, or one for each of {self.num_bidders} bidders")
            prior = replace(prior, high=jnp.broadcast_to(jnp.asarray(self.highs, float), (self.num_bidders,)))
        if isinstance(prior, Power):
            prior = replace(prior, exponent=jnp.full(self.num_bidders, self.exponent, float))
        params = replace(
            params,
            reserve=jnp.asarray(self.reserve, float),
            entry_fee=jnp.asarray(self.entry_fee, float),
            risk=jnp.full(self.num_bidders, self.risk, float),
            prior=prior,
        )
        env.validate(params)
        return env, params

    def __str__(self) -> str:
        if self.title:
            return self.title
        words = [f"{self.payment.replace('_', ' ')}, {self.num_bidders} bidders, {self.prior.replace('_', ' ')}"]
        words += [f"reserve {self.reserve:g}"] if self.reserve else []
        words += [f"fee {self.entry_fee:g}"] if self.entry_fee else []
        words += [f"risk {self.risk:g}"] if self.risk != 1 else []
        return ", ".join(words)


@dataclass(frozen=True)
class AuctionAnswer:
    """Learned bids of the groups of bidders alike, and what they are worth.

    Attributes:
        setting: what was solved.
        method: how.
        types: `[G, n]`, signals.
        mass: `[G, n]`, their probabilities.
        bids: `[G, n]`.
        exact: `[G, n]`, equilibrium bids; None where no formula is known.
        distances: `[G]`, root mean square differences of `bids` and `exact`; empty without.
        utilities, relative_losses: `[G]`; of `soda` in the discretised auction, of `npga` estimated in the continuous
            one.
        revenue: expected.
        known_revenue, known_utilities: of the equilibrium, where a formula is known.
        iterations: that were taken.
        groups: of each bidder.
    """

    setting: AuctionSetting
    method: str
    types: np.ndarray
    mass: np.ndarray
    bids: np.ndarray
    exact: np.ndarray | None
    distances: np.ndarray
    utilities: np.ndarray
    relative_losses: np.ndarray
    revenue: float
    known_revenue: float | None
    known_utilities: np.ndarray | None
    iterations: int
    groups: tuple[int, ...] = field(default=())


def solve_auction(
    setting: AuctionSetting, method: str = "soda", *, levels: int = 64, seed: int = 0, **options: Any
) -> AuctionAnswer:
    """Learns an equilibrium and sets it beside the known one.

    Args:
        setting: the auction.
        method: of `METHODS`.
        levels: types and bids of the discretised auction; points at which a network's bids are shown.
        seed: of the first strategies, or of the network and its samples.
        **options: of `soda`, or fields of `NPGAConfig`.

    Raises:
        ValueError: one line, for numbers or names that are not allowed.
    """
    require_choice("method", method, METHODS)
    env, params = setting.build()
    require_int("levels", levels, 2)
    auction = discretise(env, params, num_types=levels, max_bid=setting.max_bid)
    key = jax.random.key(seed)
    if method == "soda":
        for name in options:
            require_choice("soda's option", name, SODA_OPTIONS)
        rule = "entropic" if auction.shape[0] == 1 else "frank_wolfe"  # mirror steps of unequal bidders circle around
        solution = soda(auction, **{"method": rule, "max_iterations": 1500, "key": key, **options})
        bids, iterations = np.asarray(solution.mean_bids), int(solution.iterations)
        utilities, losses = np.asarray(solution.utilities), np.asarray(solution.relative_losses)
        revenue = float(solution.revenue)
    else:
        config = _config(options)
        train_key, loss_key, revenue_key = jax.random.split(key, 3)
        bid = npga(env, params, train_key, config).bid_function()
        bids, iterations = _on_types(bid, auction.types, auction.groups), config.num_iterations
        firsts = tuple(auction.groups.index(g) for g in range(auction.shape[0]))
        found = best_response_loss(env, params, bid, loss_key, bidders=firsts)
        utilities, losses = np.asarray(found.utilities), np.asarray(found.relative_losses)
        revenue = simulated_revenue(env, params, bid, revenue_key)[0]
    return _beside_theory(setting, method, env, params, auction, bids, utilities, losses, revenue, iterations)


def _config(options: dict[str, Any]) -> NPGAConfig:
    names = [f.name for f in fields(NPGAConfig)]
    for name in options:
        require_choice("npga's option", name, names)
    return NPGAConfig(**options)


def _on_types(bid: Callable[[Array], Array], types: Float[Array, "G n"], groups: tuple[int, ...]) -> np.ndarray:
    bidders = [groups.index(g) for g in range(len(types))]
    return np.asarray(bid(jnp.stack([types[g] for g in groups], axis=-1)))[:, bidders].T


def _beside_theory(setting, method, env, params, auction, bids, utilities, losses, revenue, iterations):
    known = env.benchmarks(params)
    firsts = [auction.groups.index(g) for g in range(auction.shape[0])]
    mass, exact, distances = np.asarray(auction.mass), None, np.zeros(0)
    if "bid" in known:
        exact = _on_types(known["bid"], auction.types, auction.groups)
        distances = np.sqrt(np.sum(mass * (bids - exact) ** 2, axis=1))
    return AuctionAnswer(
        setting=setting,
        method=method,
        types=np.asarray(auction.types),
        mass=mass,
        bids=bids,
        exact=exact,
        distances=distances,
        utilities=utilities,
        relative_losses=losses,
        revenue=revenue,
        known_revenue=float(known["revenue"]) if "revenue" in known else None,
        known_utilities=np.asarray(known["utility"])[firsts] if "utility" in known else None,
        iterations=iterations,
        groups=auction.groups,
    )


def simulated_revenue(
    env: SealedBidAuction,
    params: SealedBidParams,
    bid: Callable[[Array], Array],
    key: Array,
    num_auctions: int = 1 << 17,
) -> tuple[float, float]:
    """Mean revenue of bid functions in the environment, and its standard error."""

    @jax.jit
    def play(key: Array) -> tuple[Array, Array]:
        start, step = jax.random.split(key)
        states = jax.vmap(lambda chance: env.initial(chance, params))(draw(env.reset_chance, start, (CHUNK,)))
        chances = draw(env.step_chance, step, (CHUNK,))
        act = jax.vmap(lambda state, action, chance: env.transition(state, action, chance, params)[3]["revenue"])
        revenue = act(states, bid(states.signals), chances)
        return jnp.mean(revenue), jnp.mean(revenue**2)

    chunks = max(num_auctions // CHUNK, 1)
    first, second = np.mean([play(k) for k in jax.random.split(key, chunks)], axis=0)
    return float(first), float(np.sqrt(max(second - first**2, 0) / (chunks * CHUNK)))


def answer_notes(answer: AuctionAnswer) -> str:
    """What the bids earn, and how far they are from best responses and from the exact ones; a line each."""
    utilities = answer.known_utilities if answer.known_utilities is not None else [None] * len(answer.utilities)
    lines = {
        "utility": [f"{u:.5f}{_known(k)}" for u, k in zip(answer.utilities, utilities, strict=True)],
        "revenue": [f"{answer.revenue:.5f}{_known(answer.known_revenue)}"],
        "relative utility loss": [f"{x:.2g}" for x in answer.relative_losses],
        "distance to the exact bids (L2)": [f"{x:.4f}" for x in answer.distances] or ["no formula is known"],
    }
    ended = f"{answer.method}: {answer.iterations} iterations"
    return "\n".join([ended, *(f"{name}: {', '.join(numbers)}" for name, numbers in lines.items())])


def answer_table(answer: AuctionAnswer) -> Table:
    """Bids at a few signals."""
    table = Table(title=str(answer.setting), min_width=len(str(answer.setting)) + 2)
    many = len(answer.types) > 1
    for g in range(len(answer.types)):
        who = f" of bidder {answer.groups.index(g)}" if many else ""
        table.add_column("value" + who, justify="right")
        table.add_column("bid", justify="right")
        if answer.exact is not None:
            table.add_column("exact", justify="right")
    for k in np.unique(np.linspace(0, answer.types.shape[1] - 1, SHOWN).round().astype(int)):
        cells = []
        for g in range(len(answer.types)):
            exact = [] if answer.exact is None else [answer.exact[g, k]]
            cells += [f"{x:.4f}" for x in (answer.types[g, k], answer.bids[g, k], *exact)]
        table.add_row(*cells)
    return table


def _known(number: Any) -> str:
    return "" if number is None else f" (theory {float(number):.5f})"


def answer_record(answer: AuctionAnswer) -> dict[str, Any]:
    """The answer in JSON's types."""
    record: dict[str, Any] = {"setting": str(answer.setting), "method": answer.method, "iterations": answer.iterations}
    for name in ("types", "bids", "exact", "distances", "utilities", "relative_losses", "known_utilities"):
        numbers = getattr(answer, name)
        record[name] = None if numbers is None else numbers.tolist()
    return {**record, "revenue": answer.revenue, "known_revenue": answer.known_revenue, "groups": answer.groups}


def save_answer(answer: AuctionAnswer, path: str | Path) -> Path:
    """Writes JSON.

    Raises:
        ValueError: another suffix than `.json`.
    """
    path = Path(path)
    require_choice("path's suffix", path.suffix, (".json",))
    path.parent.mkdir(parents=True, exist_ok=True)
    return replace_file(path, (json.dumps(answer_record(answer), indent=1) + "\n").encode())
