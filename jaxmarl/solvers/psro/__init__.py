"""Policy-space response oracles: populations that grow by best responses, mixed by any solver of this package.

`Psro(game, settings).run(key)` on a `PsroGame`: `NormalFormPsro`, `MarkovPsro` and `ExtensivePsro` have exact oracles;
`environment.EnvironmentPsro` (which needs flax and optax) trains a `Learner` against the population; a game of another
kind implements the protocol in `game`. Runs that are saved and resumed are in `saved`.
"""

from jaxmarl.solvers.psro.diversity import effective_diversity, expected_cardinality
from jaxmarl.solvers.psro.empirical import EmpiricalGame, Estimates, exact_estimates, sample_estimates
from jaxmarl.solvers.psro.extensive import ExtensivePsro
from jaxmarl.solvers.psro.game import ExactGame, Populations, PsroGame, Strategy, is_member, member, mix
from jaxmarl.solvers.psro.markov import MarkovPsro, unroll
from jaxmarl.solvers.psro.meta_solvers import MetaSolver, meta_solver, meta_solver_names
from jaxmarl.solvers.psro.normal_form import NormalFormPsro
from jaxmarl.solvers.psro.run import Psro, double_oracle, run_inside_jit
from jaxmarl.solvers.psro.state import VARIANTS, PsroSettings, PsroState

__all__ = [
    "VARIANTS",
    "EmpiricalGame",
    "Estimates",
    "ExactGame",
    "ExtensivePsro",
    "MarkovPsro",
    "MetaSolver",
    "NormalFormPsro",
    "Populations",
    "Psro",
    "PsroGame",
    "PsroSettings",
    "PsroState",
    "Strategy",
    "double_oracle",
    "effective_diversity",
    "exact_estimates",
    "expected_cardinality",
    "is_member",
    "member",
    "meta_solver",
    "meta_solver_names",
    "mix",
    "run_inside_jit",
    "sample_estimates",
    "unroll",
]
