"""Environments small enough to be written down as a table: their chance is enumerated, their states are numbered."""

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.chance import Chance, ChanceSpec, Integers, Uniform, is_leaf
from jaxmarl.core.checks import require, require_choice
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy, categorical
from jaxmarl.core.spaces import Box, Discrete, Space

State = TypeVar("State")
Params = TypeVar("Params")

MAX_OUTCOMES = 4096


class FiniteChance:
    """Hooks of `enumerate_game`. These defaults serve every environment that draws nothing but `Integers`.

    An environment that draws anything else derives from this class and lists its outcomes itself: values of the chance
    that `transition` is to be called with, and how likely it is to do what it then does.
    """

    reset_chance: Any
    step_chance: Any

    def reset_outcomes(self, params: PyTree) -> tuple[Chance, Float[Array, " num_outcomes"]]:
        """What `initial` may be given, stacked, and probabilities."""
        return equally_likely(self.reset_chance)

    def step_outcomes(
        self, state: PyTree, action: Array, params: PyTree
    ) -> tuple[Chance, Float[Array, " num_outcomes"]]:
        """What `transition` may be given in `state` after `action`, stacked, and probabilities (0 is allowed)."""
        return equally_likely(self.step_chance)

    def essence(self, state: PyTree, params: PyTree) -> PyTree:
        """The part of a state that the future depends on: states that agree in it are one state of the table.

        Leave out what only a time limit or a picture reads.
        """
        return state

    def all_states(self, params: PyTree) -> PyTree:
        """The states of the table in order, stacked; None for those that play can reach, in order of discovery."""
        return None


@dataclass(frozen=True)
class FiniteEnvironment(FiniteChance, Environment[State, Params]):
    """An environment whose states have numbers, which agents may be shown in place of features.

    A subclass writes `num_states`, `state_index`, `features` and `feature_space`. Views of the same game
    (`core.Player.view`) differ in the field `observation`.

    Attributes:
        observation: `"features"`, or `"index"`: the number of the state, for tabular policies.
    """

    observation: str = field(default="features", kw_only=True)

    def __post_init__(self):
        require_choice("observation", self.observation, ("features", "index"))

    @property
    def num_states(self) -> int:
        """Number of states S of the table."""
        raise NotImplementedError

    def state_index(self, state: State, params: Params) -> Int32[Array, ""]:
        """Number of a state, in the order of `all_states`."""
        raise NotImplementedError

    def features(self, state: State, params: Params) -> Float[Array, "num_agents *features"]:
        """What agents see, unless they see the index."""
        raise NotImplementedError

    def feature_space(self, params: Params) -> Box:
        """Space of one agent's features."""
        raise NotImplementedError

    def observation_space(self, params: Params) -> Space:
        return Discrete(self.num_states) if self.observation == "index" else self.feature_space(params)

    def observe(self, state: State, params: Params) -> Array:
        if self.observation == "index":
            return jnp.broadcast_to(self.state_index(state, params), (self.num_agents,))
        return self.features(state, params)


def equally_likely(spec: ChanceSpec) -> tuple[Chance, Float[Array, " num_outcomes"]]:
    """All outcomes of a chance specification made of `Integers`, stacked, each as probable as the others.

    Raises:
        ValueError: leaves of other kinds, or more than 4096 outcomes.
    """
    leaves, structure = jax.tree.flatten(spec, is_leaf=is_leaf)
    for leaf in leaves:
        require(isinstance(leaf, Integers), "chance", leaf, "made of Integers (else write the hooks of FiniteChance)")
    highs = [leaf.high for leaf in leaves for _ in range(math.prod(leaf.shape))]
    count = math.prod(highs)
    require(count <= MAX_OUTCOMES, "chance", f"{count} outcomes", f"of at most {MAX_OUTCOMES}")
    table = np.array(list(itertools.product(*map(range, highs))), np.int32).reshape(count, len(highs))
    columns = np.split(table, np.cumsum([math.prod(leaf.shape) for leaf in leaves]), axis=1)
    drawn = [jnp.asarray(column.reshape(count, *leaf.shape)) for column, leaf in zip(columns[:-1], leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn), jnp.full(count, 1 / count, float)


def table_policy(name: str = "table") -> Policy:
    """A tabular policy of one agent: params are probabilities `[S, A]`, observations are numbers of states.

    Seat it with `Player(table_policy(), table, view=replace(env, observation="index"))`.
    """

    def act(params, memory, obs, chance):
        return categorical(jnp.log(params[obs]), chance), memory

    return Policy(lambda chance: (), act, act_chance=Uniform(), name=name)
