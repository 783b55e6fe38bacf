"""Any game in extensive form as an environment: the tree is static, its payoffs and odds are params."""

import abc
import functools
import hashlib
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Uniform
from jaxmarl.core.checks import require, require_choice
from jaxmarl.core.environment import Environment
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.games.extensive import CHANCE, TERMINAL, ExtensiveGame


@struct.dataclass
class TreeParams:
    """Numbers of the game.

    Attributes:
        payoffs: `[n, T]`, read at terminal nodes.
        chance: `[T]`, probability of the branch to each node, read where chance takes it.
    """

    payoffs: Float[Array, "n T"]
    chance: Float[Array, " T"]


@struct.dataclass
class TreeState:
    """State of the game.

    Attributes:
        node: int32, where play stands: a player's turn, or the end.
        t: int32, steps played.
    """

    node: Int32[Array, ""]
    t: Int32[Array, ""]


@dataclass(frozen=True, eq=False)
class TreeTables:
    """A tree as play looks it up, on the host; equal where the arrays are equal.

    Attributes:
        children: `[T, W]`, node after each action or outcome of chance, -1 where there is none.
        player: `[T]`, who moves, as in `ExtensiveGame`.
        number: `[T]`, number of the mover's information state among those of all players, S where nobody moves.
        num_info_states: of each player.
        num_actions: of each player.
        first_draws: most moves of chance before the first player's move.
        later_draws: most moves of chance between two moves of players.
        shortest: least moves of players in a game.
        longest: most moves of players in a game.
        payoffs: `[n, T]`, of the tree as it was given.
        chance: `[T]`, probabilities of branches, of the tree as it was given.
        zero_sum: whether those payoffs add to 0.
    """

    children: np.ndarray
    player: np.ndarray
    number: np.ndarray
    num_info_states: tuple[int, ...]
    num_actions: tuple[int, ...]
    first_draws: int
    later_draws: int
    shortest: int
    longest: int
    payoffs: np.ndarray
    chance: np.ndarray
    zero_sum: bool

    @functools.cached_property
    def digest(self) -> bytes:
        """What tells trees apart."""
        arrays = (self.children, self.player, self.number, self.payoffs, self.chance)
        return hashlib.sha256(b"".join(repr(x.shape).encode() + x.tobytes() for x in arrays)).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeTables) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True)
class TreeGame(Environment[TreeState, TreeParams]):
    """A game in extensive form, one move of a player a step; moves of chance are part of the step before them.

    A player on the move sees its information state, one-hot among those of all players (so players may share one
    network), and may take the actions that are legal there. The others see zeros and have one legal action, 0, which
    is ignored; an illegal action of the mover counts as its first legal one. The last step pays everyone's payoff.
    Learners should count the movers only: `death_masking` of PPO takes those who see zeros out of all losses.

    What the environment declares about zero sums holds for the tree's own payoffs.

    Attributes:
        observation: `"features"`, or `"index"`: the number of the information state among those of all players, and
            their number where another player moves.
        padded: whether all wait after a game's end until the longest would be over. Then episodes have one length, and
            roll-outs are whole games.
    """

    observation: str = field(default="features", kw_only=True)
    padded: bool = field(default=False, kw_only=True)

    def __post_init__(self):
        require_choice("observation", self.observation, ("features", "index"))
        require(isinstance(self.padded, bool), "padded", self.padded, "True or False")

    @abc.abstractmethod
    def build(self) -> ExtensiveGame:
        """The game."""

    @property
    def game(self) -> ExtensiveGame:
        """The game, for what is computed on trees: values, best responses, NashConv."""
        return _game(self)

    @property
    def tables(self) -> TreeTables:
        """The tree as play looks it up."""
        return _tables(self)

    @property
    def num_agents(self) -> int:
        return len(self.tables.num_info_states)

    @property
    def num_info_states(self) -> int:
        """Information states S of all players together."""
        return sum(self.tables.num_info_states)

    @property
    def horizon(self) -> int | None:
        tables = self.tables
        return self._longest if self.padded or tables.shortest == tables.longest > 0 else None

    @property
    def _longest(self) -> int:
        """Steps of the longest game; one that chance alone decides takes a step, too."""
        return max(self.tables.longest, 1)

    @property
    def zero_sum(self) -> bool:
        return self.tables.zero_sum

    @property
    def deterministic(self) -> bool:
        return self.tables.first_draws + self.tables.later_draws == 0

    @property
    def default_params(self) -> TreeParams:
        tables = self.tables
        return TreeParams(jnp.asarray(tables.payoffs, jnp.float32), jnp.asarray(tables.chance, jnp.float32))

    def validate(self, params: TreeParams) -> None:
        tables, payoffs, chance = self.tables, np.asarray(params.payoffs), np.asarray(params.chance)
        shapes = (tables.payoffs.shape, tables.chance.shape)
        got = payoffs.shape[-2:], chance.shape[-1:]
        require(got == shapes, "params", got, f"of shapes {shapes} (stacked or not)")
        require(bool(np.isfinite(payoffs).all()), "payoffs", payoffs.ravel()[:4].tolist(), "finite")
        rows = tables.children[tables.player == CHANCE]
        odds = np.where(rows >= 0, chance[..., rows], 0.0)
        good = bool((odds >= 0).all() and np.all(np.abs(odds.sum(-1) - 1) < 1e-4))
        require(good, "chance", odds.sum(-1).ravel()[:4].tolist(), "non-negative, adding to 1 at each move of chance")

    def has_own_numbers(self, params: TreeParams) -> bool:
        """Whether payoffs and odds are those of the tree itself. On the host."""
        own = self.default_params
        return all(map(np.array_equal, (params.payoffs, params.chance), (own.payoffs, own.chance)))

    def action_space(self, params: TreeParams) -> Discrete:
        return Discrete(max(self.tables.num_actions))

    def observation_space(self, params: TreeParams) -> Box | Discrete:
        count = self.num_info_states
        return Discrete(count + 1) if self.observation == "index" else Box(0.0, 1.0, (count,))

    @property
    def reset_chance(self) -> ChanceSpec:
        """A number for each move of chance before the first player's."""
        return Uniform((self.tables.first_draws,)) if self.tables.first_draws else ()

    @property
    def step_chance(self) -> ChanceSpec:
        """A number for each move of chance after a player's."""
        return Uniform((self.tables.later_draws,)) if self.tables.later_draws else ()

    def initial(self, chance, params: TreeParams) -> TreeState:
        zero = jnp.zeros((), jnp.int32)
        return TreeState(self._after_chance(zero, chance, self.tables.first_draws, params), zero)

    def transition(self, state: TreeState, action: Int32[Array, " n"], chance, params: TreeParams):
        mover = jnp.asarray(self.tables.player)[state.node]
        row = jnp.asarray(self.tables.children)[state.node]
        choice = action[jnp.maximum(mover, 0)]
        choice = jnp.where(row[choice] >= 0, choice, jnp.argmax(row >= 0))
        node = jnp.where(mover >= 0, row[choice], state.node)
        node = self._after_chance(node, chance, self.tables.later_draws, params)
        ended = jnp.asarray(self.tables.player)[node] == TERMINAL
        paid = ended & ((mover != TERMINAL) | (state.t == 0))  # once, though play may wait at the end
        reward = jnp.where(paid, params.payoffs[:, node], 0.0).astype(jnp.float32)
        after = TreeState(node, state.t + 1)
        return after, reward, after.t >= self._longest if self.padded else ended, {}

    def observe(self, state: TreeState, params: TreeParams) -> Array:
        moves = jnp.asarray(self.tables.player)[state.node] == jnp.arange(self.num_agents)
        index = jnp.where(moves, jnp.asarray(self.tables.number)[state.node], self.num_info_states).astype(jnp.int32)
        return index if self.observation == "index" else self.features(index)

    def features(self, index: Int32[Array, "*batch"]) -> Float[Array, "*batch S"]:
        """What players see in numbered information states: one-hot, zeros for the number S."""
        return jax.nn.one_hot(index, self.num_info_states, dtype=jnp.float32)

    def action_mask(self, state: TreeState, params: TreeParams) -> Bool[Array, "n A"]:
        moves = jnp.asarray(self.tables.player)[state.node] == jnp.arange(self.num_agents)
        width = max(self.tables.num_actions)
        legal = jnp.asarray(self.tables.children[:, :width])[state.node] >= 0
        return jnp.where(moves[:, None], legal, jnp.arange(width) == 0)

    def _after_chance(self, node: Int32[Array, ""], chance, draws: int, params: TreeParams) -> Int32[Array, ""]:
        """The node that the draws lead to, each used where chance is on the move."""
        for k in range(draws):
            row = jnp.asarray(self.tables.children)[node]
            odds = jnp.where(row >= 0, params.chance[row], 0.0)
            cumulative = jnp.cumsum(odds)
            last = odds.shape[0] - 1 - jnp.argmax(odds[::-1] > 0)  # rounding must not draw what is impossible
            outcome = jnp.minimum(jnp.sum(chance[k] * cumulative[-1] >= cumulative), last)
            node = jnp.where(jnp.asarray(self.tables.player)[node] == CHANCE, row[outcome], node)
        return node.astype(jnp.int32)


@dataclass(frozen=True, eq=False)
class GivenTree:
    """A game in extensive form as a value: equal where tree, payoffs and odds are equal."""

    game: ExtensiveGame

    @functools.cached_property
    def tables(self) -> TreeTables:
        """The tree as play looks it up."""
        return tree_tables(self.game)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GivenTree) and self.tables == other.tables

    def __hash__(self) -> int:
        return hash(self.tables)


@dataclass(frozen=True)
class ExplicitTree(TreeGame):
    """The `TreeGame` of a given tree; made by `tree_game`.

    Attributes:
        tree: the game.
    """

    tree: GivenTree

    def build(self) -> ExtensiveGame:
        return self.tree.game


def tree_game(
    game: ExtensiveGame, *, observation: str = "features", padded: bool = False
) -> tuple[ExplicitTree, TreeParams]:
    """The environment of a game in extensive form, and its payoffs and odds as params.

    Args:
        game: one game, not a batch, with perfect recall (as all that `extensive_game` makes).
        observation: see `TreeGame`.
        padded: see `TreeGame`.
    """
    env = ExplicitTree(GivenTree(game), observation=observation, padded=padded)
    return env, env.default_params


@functools.lru_cache(maxsize=64)
def _game(env: TreeGame) -> ExtensiveGame:
    with jax.ensure_compile_time_eval():  # it may be asked for first within a traced function
        return env.build()


@functools.lru_cache(maxsize=64)
def _tables(env: TreeGame) -> TreeTables:
    with jax.ensure_compile_time_eval():
        return env.tree.tables if isinstance(env, ExplicitTree) else tree_tables(env.game)


def tree_tables(game: ExtensiveGame) -> TreeTables:
    """The look-up tables of a game. On the host."""
    parent, branch, player, known = (
        np.asarray(leaf) for leaf in (game.parent, game.branch, game.player, game.info_state)
    )
    children = np.full((len(parent), max(int(branch[1:].max(initial=0)) + 1, *game.num_actions)), -1, np.int32)
    children[parent[1:], branch[1:]] = np.arange(1, len(parent))
    offsets = np.cumsum((0, *game.num_info_states))
    number = np.where(player >= 0, offsets[np.maximum(player, 0)] + known, offsets[-1])
    moves, draws, begun = (np.zeros(len(parent), np.int64) for _ in range(3))
    for node in range(1, len(parent)):
        above = parent[node]
        moves[node] = moves[above] + (player[above] >= 0)
        draws[node] = draws[above] + 1 if player[above] == CHANCE else 0
        begun[node] = moves[node] > 0
    lengths = np.unique(moves[player == TERMINAL])
    terminal = player == TERMINAL
    payoffs = np.where(terminal, np.asarray(game.payoffs), 0).astype(np.float32)
    return TreeTables(
        children=children,
        player=player.astype(np.int32),
        number=number.astype(np.int32),
        num_info_states=game.num_info_states,
        num_actions=game.num_actions,
        first_draws=int(draws[begun == 0].max(initial=0)),
        later_draws=int(draws[begun == 1].max(initial=0)),
        shortest=int(lengths[0]),
        longest=int(lengths[-1]),
        payoffs=payoffs,
        chance=np.asarray(game.chance, np.float32),
        zero_sum=bool(np.allclose(payoffs.sum(0), 0, atol=1e-5)),
    )
