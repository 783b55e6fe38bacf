"""Markov (stochastic) games as tables: rewards, transitions, one normal-form game a state once values are given."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxmarl.core.checks import require, require_int
from jaxmarl.games.markov_kernels import DenseKernel, Kernel, layered_kernel
from jaxmarl.games.normal_form import MAX_PLAYERS, NormalFormGame

Policies: TypeAlias = tuple[Float[Array, "*steps num_states _"], ...]
Joint: TypeAlias = Float[Array, "*steps_states_and_actions"]


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class MarkovGame:
    """A game whose state moves with the players' simultaneous actions (Shapley 1953).

    In state `s` a profile `a` pays player i `rewards[i, s, a_1, ..., a_n]` and leads to a state drawn from
    `kernel`. Payoffs are sums of rewards times powers of `discount`, over `horizon` steps or without end. Rewards and
    transitions do not depend on time: a game where they do is one whose state includes the step (`step_in_state`),
    which costs no memory with a `SuccessorKernel`.

    A pytree: games of one shape stack into a batch (`jax.tree.map(lambda *x: jnp.stack(x), *games)`), and functions of
    a game vmap over it. Properties describe one game: read them inside the `vmap`.

    Attributes:
        rewards: `[num_players, S, A_1, ..., A_n]`, expected, floating point, finite.
        kernel: `DenseKernel` or `SuccessorKernel`. Rows may sum to less than 1: the game ends there, with value 0.
        initial: `[S]`, distribution of the first state; None is uniform.
        discount: in [0, 1]; 1 without a horizon needs a game that ends.
        horizon: number of steps, static; None for a game without end.
        masks: per player `[S, A_i]`, true where the action is legal, or None where all are. Rewards of profiles with
            an illegal action are never read for a gap, so any finite padding will do.

    Raises:
        ValueError: shapes that do not fit, rewards that are not finite, an initial distribution that does not sum to
            1, a discount outside [0, 1], a state without a legal action. Values are checked outside `jit` and `vmap`
            only.
    """

    rewards: Float[Array, "num_players num_states *num_actions"]
    kernel: Kernel
    initial: Float[Array, " num_states"] = None  # type: ignore[assignment]  # filled by __post_init__
    discount: Float[Array, ""] = 1.0  # type: ignore[assignment]
    horizon: int | None = None
    masks: tuple[Bool[Array, "num_states _"], ...] | None = None

    def __post_init__(self) -> None:
        rewards = jnp.asarray(self.rewards)
        rewards = rewards if jnp.issubdtype(rewards.dtype, jnp.floating) else rewards.astype(jnp.result_type(float))
        shape, players = rewards.shape, rewards.ndim - 2
        require(
            1 <= players <= MAX_PLAYERS and shape[0] == players and min(shape) >= 1,
            "rewards",
            shape,
            f"of shape [n, S, A_1, ..., A_n] with one axis of actions for each of the n <= {MAX_PLAYERS} players",
        )
        table = (self.kernel.num_states, *self.kernel.num_actions)
        require(table == shape[1:], "kernel", f"rows for {table}", f"a kernel with rows for {shape[1:]}, as rewards")
        size = shape[1]
        initial = jnp.full(size, 1 / size, rewards.dtype) if self.initial is None else jnp.asarray(self.initial)
        require(initial.shape == (size,), "initial", initial.shape, f"a vector of {size} probabilities")
        if self.horizon is not None:
            require_int("horizon", self.horizon, 1)
        object.__setattr__(self, "rewards", rewards)
        object.__setattr__(self, "initial", initial.astype(rewards.dtype))
        object.__setattr__(self, "discount", jnp.asarray(self.discount, rewards.dtype))
        if self.masks is not None:
            self._check_masks(shape[1:])
        if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(self)):
            with jax.ensure_compile_time_eval():  # a game may be built from known numbers inside jit
                self._check_values()

    def _check_masks(self, table: tuple[int, ...]) -> None:
        assert self.masks is not None
        masks = tuple(jnp.asarray(mask, dtype=bool) for mask in self.masks)
        object.__setattr__(self, "masks", masks)
        shapes, wanted = tuple(mask.shape for mask in masks), tuple((table[0], size) for size in table[1:])
        require(shapes == wanted, "masks", shapes, f"one bool matrix a player, of shapes {wanted}")

    def _check_values(self) -> None:
        # NumPy where it will do: each operation of JAX is compiled for each shape of game
        num_bad = int(np.sum(~np.isfinite(np.asarray(self.rewards))))
        require(num_bad == 0, "rewards", f"{num_bad} entries that are NaN or infinite", "finite")
        initial = np.asarray(self.initial)
        low, total = float(initial.min()), float(initial.sum())
        require(
            low >= 0 and abs(total - 1) < 1e-4, "initial", f"{low:g} or more, adding to {total:g}", "a distribution"
        )
        discount = float(self.discount)
        require(0 <= discount <= 1, "discount", discount, "in [0, 1]")
        for i, mask in enumerate(self.masks or ()):
            stuck = int(np.sum(~np.asarray(mask).any(1)))
            require(stuck == 0, f"masks[{i}]", f"{stuck} states without a legal action", "true somewhere in each state")
        if self.horizon is None and discount == 1:
            survival = float(jnp.min(jnp.where(self.legal_profiles(), self.kernel.survival(), 1)))
            require(survival < 1, "discount", 1.0, "below 1 for a game without horizon that never ends")

    def tree_flatten(self) -> tuple[tuple[Any, ...], int | None]:
        return (self.rewards, self.kernel, self.initial, self.discount, self.masks), self.horizon

    @classmethod
    def tree_unflatten(cls, horizon: int | None, leaves: tuple[Any, ...]) -> "MarkovGame":
        # Transformations put placeholders and batches in the leaves: nothing is checked here.
        game = object.__new__(cls)
        for name, leaf in zip(("rewards", "kernel", "initial", "discount", "masks"), leaves, strict=True):
            object.__setattr__(game, name, leaf)
        object.__setattr__(game, "horizon", horizon)
        return game

    @property
    def num_players(self) -> int:
        """Number of players n."""
        return self.rewards.shape[0]

    @property
    def num_states(self) -> int:
        """Number of states S."""
        return self.rewards.shape[1]

    @property
    def num_actions(self) -> tuple[int, ...]:
        """Actions of each player, illegal ones included."""
        return self.rewards.shape[2:]

    def mask(self, player: int) -> Bool[Array, "num_states num_actions"]:
        """Legal actions of a player in each state."""
        shape = (self.num_states, self.num_actions[player])
        return jnp.ones(shape, bool) if self.masks is None else self.masks[player]

    def legal_profiles(self) -> Bool[Array, "num_states *num_actions"]:
        """`[S, A_1, ..., A_n]`: where every action of the profile is legal."""
        legal = jnp.ones(self.rewards.shape[1:], bool)
        for i, size in enumerate(self.num_actions):
            legal &= self.mask(i).reshape(-1, *[size if axis == i else 1 for axis in range(self.num_players)])
        return legal

    def uniform_policies(self) -> Policies:
        """Every player's uniform policy over its legal actions, `[S, A_i]`."""
        masks = [self.mask(i).astype(self.rewards.dtype) for i in range(self.num_players)]
        return tuple(mask / mask.sum(1, keepdims=True) for mask in masks)

    def action_values(
        self, player: int, values: Float[Array, " num_states"]
    ) -> Float[Array, "num_states *num_actions"]:
        """`[S, A_1, ..., A_n]`: reward plus discounted value of what follows, for one player."""
        return self.rewards[player] + self.discount * self.kernel.expect(values)

    def stage_payoffs(
        self, values: Float[Array, "num_players num_states"]
    ) -> Float[Array, "num_players num_states *num_actions"]:
        """`[n, S, A_1, ..., A_n]`: `action_values` of every player."""
        return self.rewards + self.discount * jax.vmap(self.kernel.expect)(values)

    def stage_games(self, payoffs: Float[Array, "num_players num_states *num_actions"]) -> NormalFormGame:
        """A batch (leading axis S) of the normal-form games with these payoffs and the masks of each state."""
        return jax.vmap(NormalFormGame)(jnp.moveaxis(payoffs, 1, 0), self.masks)

    def stage_game(self, values: Float[Array, "num_players num_states"]) -> NormalFormGame:
        """A batch (leading axis S): in each state the game in which what follows is worth `values[i, s']`.

        Its equilibria are the one-step equilibria of the Markov game, and a fixed point of "values are what an
        equilibrium of the stage game pays" is an equilibrium of the whole.
        """
        return self.stage_games(self.stage_payoffs(values))

    def contraction(self) -> Float[Array, ""]:
        """Discount times the largest probability of going on: the modulus of the Bellman operators."""
        return self.discount * jnp.max(jnp.where(self.legal_profiles(), self.kernel.survival(), 0))

    def is_zero_sum(self, tolerance: float = 1e-5) -> Bool[Array, ""]:
        """Whether the rewards of every legal profile add to 0, up to `tolerance` times the largest reward."""
        legal = self.legal_profiles()
        total = jnp.max(jnp.where(legal, jnp.abs(self.rewards.sum(0)), 0))
        return total <= tolerance * jnp.max(jnp.where(legal, jnp.abs(self.rewards), 0))

    def step(
        self, uniform: Float[Array, ""], state: Int[Array, ""], actions: Int[Array, " num_players"]
    ) -> tuple[Int[Array, ""], Float[Array, " num_players"], Bool[Array, ""]]:
        """One move, a deterministic function of a number in [0, 1): the next state, rewards, whether the game ended.

        The horizon is the caller's to count. Where the game ended, the next state is one that the row lists last.
        """
        following, ended = self.kernel.successor(uniform, state, actions)
        return following, self.rewards[(slice(None), state, *actions)], ended


def markov_game_from_normal_form(
    game: NormalFormGame, *, discount: Any = 0.9, horizon: int | None = None
) -> MarkovGame:
    """One normal-form game played again and again: a Markov game with a single state."""
    kernel = DenseKernel(jnp.ones((1, *game.num_actions, 1), game.payoffs.dtype))
    masks = None if game.masks is None else tuple(mask[None] for mask in game.masks)
    return MarkovGame(game.payoffs[:, None], kernel, discount=discount, horizon=horizon, masks=masks)


def step_in_state(game: MarkovGame) -> MarkovGame:
    """A game with a horizon H as one without: state `h * S + s` is state `s` at step `h`, and the last step ends it.

    Policies `[H, S, A_i]` become policies `[H * S, A_i]` by `reshape`; edit `rewards` or `kernel` of the result for
    a game that changes with time.
    """
    require(game.horizon is not None, "game", "horizon None", "a game with a horizon")
    assert game.horizon is not None
    steps = game.horizon
    rewards = jnp.tile(game.rewards, (1, steps, *[1] * game.num_players))
    initial = jnp.zeros(steps * game.num_states, rewards.dtype).at[: game.num_states].set(game.initial)
    masks = None if game.masks is None else tuple(jnp.tile(mask, (steps, 1)) for mask in game.masks)
    return MarkovGame(rewards, layered_kernel(game.kernel, steps), initial, game.discount, None, masks)
