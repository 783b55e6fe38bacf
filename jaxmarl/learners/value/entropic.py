"""Values under exponential utility, by the Itakura-Saito loss (Udovichenko et al. 2025)."""

from dataclasses import dataclass

import jax.numpy as jnp

from jaxmarl.core.checks import require
from jaxmarl.distributional.losses import itakura_saito_loss
from jaxmarl.learners.value.heads import ReturnHead, certain


@dataclass(frozen=True)
class EntropicHead(ReturnHead):
    """Certainty equivalents `-(1 / a) log E exp(-a G)` of returns.

    Undiscounted, the certainty equivalent of what follows adds to the reward, so that learning it step by step and
    acting greedily maximises that of the whole return. With a discount the objective is a nested one.

    Attributes:
        aversion: a, in 1 / return: positive avoids risk, negative seeks it. Scale rewards so that `a` times the
            spread of returns is a small number: rare bad returns decide the value, and must have been seen.
        limit: of the exponent, see `itakura_saito_loss`.
    """

    aversion: float = 1.0
    limit: float = 10.0

    def __post_init__(self):
        require(self.aversion != 0, "aversion", self.aversion, "a number that is not 0; `MeanHead` is neutral")
        require(self.limit > 0, "limit", self.limit, "positive")

    def outputs(self, features, num_actions, key):
        return self.dense(features, num_actions, 1)[..., 0]

    def law(self, outputs, obs):
        """As if the return were its certainty equivalent: all that is known of it."""
        return certain(outputs)

    def target(self, outputs, reward, discount):
        return reward + discount * outputs

    def loss(self, outputs, target):
        return itakura_saito_loss(outputs, target, self.aversion, self.limit)

    def against(self, outputs, law):
        return jnp.sum(law.weights * self.loss(outputs[..., None], law.atoms), -1)
