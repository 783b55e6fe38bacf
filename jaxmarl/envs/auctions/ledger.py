"""Money paid over many rounds: sums that float32 does not spoil, however many terms they have."""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float


def compensated_add(total: Array, rounding: Array, amount: Array) -> tuple[Array, Array]:
    """Kahan's sum: returns the new total and rounding; `total - rounding` is exact to second order."""
    corrected = amount - rounding
    raised = total + corrected
    return raised, (raised - total) - corrected


@struct.dataclass
class Ledger:
    """What each bidder has paid so far.

    Attributes:
        spent: `[N]`.
        rounding: `[N]`, what rounding has added to `spent`.
    """

    spent: Float[Array, " N"]
    rounding: Float[Array, " N"]

    @classmethod
    def empty(cls, like: Float[Array, " N"]) -> "Ledger":
        """Nothing paid, by as many bidders as `like` has entries."""
        return cls(jnp.zeros_like(like), jnp.zeros_like(like))

    def left(self, budgets: Float[Array, " N"]) -> Float[Array, " N"]:
        """Of the budgets, never negative."""
        return jnp.maximum((budgets - self.spent) + self.rounding, 0.0)

    def pay(self, amounts: Float[Array, " N"]) -> "Ledger":
        """The ledger after these payments."""
        return Ledger(*compensated_add(self.spent, self.rounding, amounts))
