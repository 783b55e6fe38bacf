"""`jaxmarl solve auction`: equilibrium bids of a sealed-bid auction, learned and beside the exact ones."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from jaxmarl.core.checks import require_choice


def solve_auction(
    format: str = "first_price",
    bidders: int = 2,
    prior: str = "uniform",
    high: tuple[float, ...] = (),
    exponent: float = 2.0,
    reserve: float = 0.0,
    fee: float = 0.0,
    risk: float = 1.0,
    ties: str = "lose",
    levels: int = 64,
    max_bid: float | None = None,
    method: str = "soda",
    seed: int = 0,
    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="NAME=VALUE ...")] = (),
    out: Annotated[str, tyro.conf.arg(metavar="FILE.json")] = "",
    figure: Annotated[str, tyro.conf.arg(metavar="FILE.png")] = "",
) -> None:
    """Learns equilibrium bids of a sealed-bid auction; prints them with utility, revenue and relative utility loss.

    Args:
        format: first_price, second_price, third_price, all_pay or war_of_attrition.
        bidders: how many.
        prior: uniform, power, truncated_normal, bernoulli_weights (private values), wallet, affiliated, mineral_rights
            or common_value.
        high: largest value, of all or of each bidder (uniform, power and truncated_normal).
        exponent: of prior power, whose distribution function is a power.
        reserve: least bid.
        fee: paid by everyone who takes part.
        risk: exponent of bidders' CRRA utility; 1 is neutral, below is averse.
        ties: what equal bids get: lose (all lose) or split (equal parts).
        levels: types and bids of the discretised auction.
        max_bid: the highest of these bids (default: by format and prior).
        method: soda (gradient steps on the discretised auction) or npga (a network as the bid function).
        seed: of first strategies, or of the network and its samples.
        settings: options of the method, as in --set step_size=10 max_iterations=5000, or num_iterations=500.
        out: write the answer to this JSON file.
        figure: draw the bids to this PNG.
    """
    from jaxmarl.envs.auctions.mechanism import PAYMENT_RULES
    from jaxmarl.experiments import auctions
    from jaxmarl.experiments.config import assignments

    require_choice("format", format, PAYMENT_RULES)
    if out:
        require_choice("out's suffix", Path(out).suffix, (".json",))
    setting = auctions.AuctionSetting(format, bidders, prior, reserve, fee, risk, high, exponent, ties, max_bid)
    console = Console()
    with console.status(f"{method} …"):
        answer = auctions.solve_auction(setting, method, levels=levels, seed=seed, **assignments("set", settings))
    console.print(auctions.answer_table(answer))
    console.print(auctions.answer_notes(answer), highlight=False)
    written = [auctions.save_answer(answer, out)] if out else []
    if figure:
        from jaxmarl.viz.auctions import plot_bids

        written.append(plot_bids([answer], figure))
    if written:
        console.print(f"wrote {', '.join(map(str, written))}", highlight=False)
