"""Figures, drawn without a display and without matplotlib's global state. Nothing else in the package imports this."""

from jaxmarl.viz.market import plot_market_day
from jaxmarl.viz.order_book import plot_depth
from jaxmarl.viz.population import plot_population
from jaxmarl.viz.solutions import plot_solution

__all__ = ["plot_depth", "plot_market_day", "plot_population", "plot_solution"]
