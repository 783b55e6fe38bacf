"""Bayes-Nash equilibria of sealed-bid auctions, learned and certified without knowing a formula."""

from jaxmarl.solvers.auctions.bayes_nash.best_response import BestResponseLoss, best_response_loss
from jaxmarl.solvers.auctions.bayes_nash.discretised import DiscretisedAuction, discretise
from jaxmarl.solvers.auctions.bayes_nash.npga import NPGAConfig, NPGAResult, npga
from jaxmarl.solvers.auctions.bayes_nash.soda import BayesNashSolution, certified, soda
from jaxmarl.solvers.auctions.bayes_nash.update_rules import UPDATE_RULES, UpdateRule

__all__ = [
    "UPDATE_RULES",
    "BayesNashSolution",
    "BestResponseLoss",
    "DiscretisedAuction",
    "NPGAConfig",
    "NPGAResult",
    "UpdateRule",
    "best_response_loss",
    "certified",
    "discretise",
    "npga",
    "soda",
]
