"""Figures, drawn without a display and without matplotlib's global state. Nothing else in the package imports this."""

from jaxmarl.viz.population import plot_population

__all__ = ["plot_population"]
