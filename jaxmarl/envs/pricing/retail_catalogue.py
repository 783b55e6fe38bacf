"""Catalogues of a retailer: seeded synthetic ones, and one read from a file of transactions (host side)."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.checks import require, require_int

ELASTICITY_RANGE = (-3.0, -1.2)
DATE_FORMATS = ("%d/%m/%Y %H:%M", "%m/%d/%y %H:%M")  # beside ISO 8601, of spreadsheets' exports
COLUMNS = ("Invoice", "StockCode", "Quantity", "InvoiceDate", "Price")


@struct.dataclass
class RetailGraphParams:
    """Numbers of a catalogue of `N` products with at most `K` neighbours each.

    Attributes:
        cost: c, of a unit.
        base_price: p0, at which demand is the base demand.
        base_demand: D, units a week at base prices.
        elasticity: ε < -1, of demand with respect to the own price.
        phase: φ, weeks by which a product's season is early.
        neighbours: int32, indices of neighbours in the graph; any index where `linked` is false.
        linked: which entries of `neighbours` are there.
        cross: γ, elasticity of demand with respect to each neighbour's price (0 where there is none); positive for
            substitutes, negative for complements.
        season: amplitude of the logarithm of demand over a year.
        noise: σ, standard deviation of the logarithm of demand.
        volatility_weight: price of one unit of mean `|Δ log p|` in the reward.
        fairness_weight: price of one unit of `1 - Jain index` in the reward.
        floor: lowest price, in units of the cost.
        ceiling: highest price, in units of the base price.
    """

    cost: Float[Array, " N"]
    base_price: Float[Array, " N"]
    base_demand: Float[Array, " N"]
    elasticity: Float[Array, " N"]
    phase: Float[Array, " N"]
    neighbours: Int32[Array, "N K"]
    linked: Bool[Array, "N K"]
    cross: Float[Array, "N K"]
    season: Float[Array, ""]
    noise: Float[Array, ""]
    volatility_weight: Float[Array, ""]
    fairness_weight: Float[Array, ""]
    floor: Float[Array, ""]
    ceiling: Float[Array, ""]


def synthetic_catalogue(
    num_products: int = 20, num_neighbours: int = 8, num_categories: int = 4, seed: int = 0
) -> RetailGraphParams:
    """A random catalogue, the same for the same arguments.

    Costs are log-normal around 2 (0.5), margins at base prices uniform on 30–100 %, weekly demand log-normal around
    40 (0.8), elasticities uniform on [-3, -1.2]. Products belong to categories in turn and are linked, both ways
    alike, with probability 0.5 within a category and 0.05 across, as long as both have room. Seven links of ten within
    a category are substitutes (γ uniform on [0.05, 0.3]); other links are complements (γ uniform on [-0.2, -0.05]).

    Args:
        num_products: `N`.
        num_neighbours: `K`, the most neighbours of a product.
        num_categories: the fewer, the more links.
        seed: of the catalogue.
    """
    require_int("num_products", num_products, 1)
    require_int("num_neighbours", num_neighbours, 1)
    require_int("num_categories", num_categories, 1)
    require_int("seed", seed, 0)
    rng = np.random.default_rng(seed)
    cost = rng.lognormal(np.log(2.0), 0.5, num_products)
    base_price = cost * (1 + rng.uniform(0.3, 1.0, num_products))
    base_demand = rng.lognormal(np.log(40.0), 0.8, num_products)
    elasticity = rng.uniform(*ELASTICITY_RANGE, num_products)
    phase = rng.uniform(0, 52, num_products)

    lists: list[dict[int, float]] = [{} for _ in range(num_products)]
    pairs = np.argwhere(np.triu(np.ones((num_products, num_products), bool), 1))
    for i, j in rng.permutation(pairs).tolist():
        within = i % num_categories == j % num_categories
        linked = rng.random() < (0.5 if within else 0.05)
        substitutes = within and rng.random() < 0.7
        effect = rng.uniform(0.05, 0.3) if substitutes else rng.uniform(-0.2, -0.05)
        if linked and max(len(lists[i]), len(lists[j])) < num_neighbours:
            lists[i][j] = lists[j][i] = effect
    return _catalogue(cost, base_price, base_demand, elasticity, phase, lists, num_neighbours)


def _catalogue(cost, base_price, base_demand, elasticity, phase, lists, num_neighbours) -> RetailGraphParams:
    """Params from lists of `{neighbour: γ}`, with substitution kept below what own elasticity takes away."""
    neighbours = np.zeros((len(cost), num_neighbours), np.int32)
    linked, cross = np.zeros(neighbours.shape, bool), np.zeros(neighbours.shape)
    for i, effects in enumerate(lists):
        neighbours[i, : len(effects)] = sorted(effects)
        linked[i, : len(effects)] = True
        cross[i, : len(effects)] = [effects[j] for j in sorted(effects)]
    gained = np.maximum(cross, 0).sum(axis=1)
    shrink = np.minimum(1.0, 0.95 * (np.abs(elasticity) - 1) / np.maximum(gained, 1e-12))
    cross = np.where(cross > 0, cross * shrink[:, None], cross)

    def number(x):
        return jnp.asarray(x, float)

    return RetailGraphParams(
        cost=number(cost),
        base_price=number(base_price),
        base_demand=number(base_demand),
        elasticity=number(elasticity),
        phase=number(phase),
        neighbours=jnp.asarray(neighbours),
        linked=jnp.asarray(linked),
        cross=number(cross),
        season=number(0.2),
        noise=number(0.1),
        volatility_weight=number(0.1),
        fairness_weight=number(0.05),
        floor=number(1.01),
        ceiling=number(2.5),
    )


class _Sale(NamedTuple):
    invoice: str
    product: str
    quantity: float
    date: datetime
    price: float


def read_online_retail(
    path: str | Path,
    num_products: int = 20,
    num_neighbours: int = 8,
    margin: float = 0.5,
    cross_elasticity: float = -0.1,
) -> RetailGraphParams:
    """A catalogue from a CSV file in the format of the UCI data set *Online Retail II* (one line a sold item).

    The products are those of the highest revenue. Cancellations (invoices that start with C) and lines without a
    positive quantity and price are dropped. Base prices are mean prices weighted by quantity, base demand is the mean
    of weekly quantities, and elasticities are least-squares slopes of log quantity on log price over the weeks, clipped
    to [-3, -1.2] (-2 where the price never changed). Neighbours are the products most often bought together, by the
    Jaccard index J of their sets of invoices. The file knows neither costs nor cross effects, so both are assumed.

    Args:
        path: of the file, with the columns Invoice, StockCode, Quantity, InvoiceDate and Price.
        num_products: `N`.
        num_neighbours: `K`.
        margin: assumed `(p0 - c) / c` of all products.
        cross_elasticity: assumed γ of the pair most often bought together; that of others is in proportion to J.

    Raises:
        ValueError: an argument out of range; a file without a column, with an unreadable number or date, or with too
            few products.
        OSError: the file cannot be read.
    """
    require_int("num_products", num_products, 1)
    require_int("num_neighbours", num_neighbours, 1)
    require(margin > 0, "margin", margin, "positive")
    require(-1 < cross_elasticity < 1, "cross_elasticity", cross_elasticity, "between -1 and 1")
    revenue: dict[str, float] = defaultdict(float)
    first, last = datetime.max, datetime.min
    for sale in _sales(Path(path)):
        revenue[sale.product] += sale.quantity * sale.price
        first, last = min(first, sale.date), max(last, sale.date)
    found = f"{path} with {len(revenue)} products sold"
    require(len(revenue) >= num_products, "path", found, f"a file that has {num_products} of them")
    products = sorted(revenue, key=lambda code: (-revenue[code], code))[:num_products]
    num_weeks = (last - first).days // 7 + 1

    place = {code: i for i, code in enumerate(products)}
    quantity, takings = np.zeros((2, num_products, num_weeks))
    invoices: list[set[str]] = [set() for _ in products]
    for sale in _sales(Path(path)):
        i = place.get(sale.product)
        if i is not None:
            week = (sale.date - first).days // 7
            quantity[i, week] += sale.quantity
            takings[i, week] += sale.quantity * sale.price
            invoices[i].add(sale.invoice)
    base_price = takings.sum(axis=1) / quantity.sum(axis=1)
    elasticity = np.array([_slope(q, m) for q, m in zip(quantity, takings, strict=True)])
    lists = _bought_together(invoices, num_neighbours, cross_elasticity)
    cost, phase = base_price / (1 + margin), np.zeros(num_products)
    return _catalogue(cost, base_price, quantity.mean(axis=1), elasticity, phase, lists, num_neighbours)


def _sales(path: Path) -> Iterator[_Sale]:
    """Lines of a file that are sales."""
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows, [])]
        for name in COLUMNS:
            require(name in header, "path", f"{path} without it", f"a file with the column {name}")
        places = [header.index(name) for name in COLUMNS]
        for number, row in enumerate(rows, start=2):
            if not row:
                continue
            require(len(row) > max(places), "path", f"{len(row)} in line {number}", f"a file of {len(header)} columns")
            invoice, product, quantity, date, price = (row[place].strip() for place in places)
            try:
                amount, unit = float(quantity), float(price)
            except ValueError:
                raise ValueError(
                    f"path must be a file of numbers, got {quantity!r} and {price!r} in line {number}"
                ) from None
            if not invoice.upper().startswith("C") and amount > 0 and unit > 0:
                yield _Sale(invoice, product, amount, _date(date, number), unit)


def _date(text: str, line: int) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for known in DATE_FORMATS:
        try:
            return datetime.strptime(text, known)
        except ValueError:
            continue
    raise ValueError(f"path must be a file of dates such as 2010-12-01 08:26:00, got {text!r} in line {line}")


def _slope(quantity: np.ndarray, takings: np.ndarray) -> float:
    """Least-squares elasticity over the weeks with sales, in the range of the synthetic catalogues."""
    sold = quantity > 0
    log_quantity, log_price = np.log(quantity[sold]), np.log(takings[sold] / quantity[sold])
    spread = log_price - log_price.mean()
    if (spread**2).sum() < 1e-12:
        return -2.0
    return float(np.clip((spread * log_quantity).sum() / (spread**2).sum(), *ELASTICITY_RANGE))


def _bought_together(invoices: list[set[str]], most: int, strongest: float) -> list[dict[int, float]]:
    """For each product its `{neighbour: γ}`, at most `most` of them, γ in proportion to the Jaccard index."""
    num = len(invoices)
    jaccard = np.zeros((num, num))
    for i in range(num):
        for j in range(i):
            common = len(invoices[i] & invoices[j])
            jaccard[i, j] = jaccard[j, i] = common / (len(invoices[i]) + len(invoices[j]) - common)
    scale = strongest / max(jaccard.max(), 1e-12)
    order = np.argsort(-jaccard, axis=1, kind="stable")[:, :most]
    return [{int(j): scale * jaccard[i, j] for j in order[i] if jaccard[i, j] > 0} for i in range(num)]
