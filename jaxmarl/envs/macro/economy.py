"""What economies of many households share: their number, shocks drawn once a period, and a fixed number of periods."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.environment import Environment, Params, State


@dataclass(frozen=True)
class HouseholdEconomy(Environment[State, Params]):
    """Households under an aggregate shock and shocks of their own; one uniform number each moves them.

    Attributes:
        num_households: N.
        num_productivities: Z; 1 leaves individual risk only.
        num_incomes: E.
        num_steps: periods of an episode.
    """

    num_households: int = 32
    num_productivities: int = 30
    num_incomes: int = 3
    num_steps: int = 100

    def __post_init__(self):
        require_int("num_households", self.num_households, 1)
        require_int("num_productivities", self.num_productivities, 1)
        require_int("num_incomes", self.num_incomes, 2)
        require_int("num_steps", self.num_steps, 1)

    @property
    def num_agents(self) -> int:
        return self.num_households

    @property
    def agent_names(self) -> tuple[str, ...]:
        return tuple(f"household_{i}" for i in range(self.num_households))

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def reset_chance(self) -> ChanceSpec:
        return Uniform((self.num_households,))

    @property
    def step_chance(self) -> ChanceSpec:
        """What becomes of productivity, and of each household."""
        return Uniform(), Uniform((self.num_households,))


def require_positive(params: Any, names: tuple[str, ...]) -> None:
    """Refuses params of which an entry is not positive."""
    for name in names:
        value = np.asarray(getattr(params, name))
        require(bool((value > 0).all()), name, value.ravel()[:5].tolist(), "positive")


def require_probabilities(params: Any, names: tuple[str, ...]) -> None:
    """Refuses params whose rows are no probabilities that add to 1."""
    for name in names:
        value = np.asarray(getattr(params, name))
        sums = bool((value >= 0).all() and np.allclose(value.sum(axis=-1), 1, atol=1e-4))
        require(sums, name, value.ravel()[:5].tolist(), "probabilities that add to 1")
