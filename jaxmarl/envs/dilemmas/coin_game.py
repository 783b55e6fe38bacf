"""The Coin Game on a torus (Lerer and Peysakhovich 2017), in its two usual versions."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int32, UInt8

from jaxmarl.core.chance import ChanceSpec, Integers, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete

VERSIONS = ("alternating", "two_coins")
# (row, column) steps, in the order of each version's first implementation
MOVES = {
    "alternating": ((0, -1), (0, 1), (-1, 0), (1, 0)),
    "two_coins": ((0, 1), (0, -1), (1, 0), (-1, 0), (0, 0)),
}
LEADS = (-2, -1, 0, 1, 2)
"""That `show_balance` tells apart; the outer ones stand for what is beyond."""


@struct.dataclass
class CoinGameParams:
    """Numbers of the game.

    Attributes:
        payoff: `[player, 3]`: for taking a coin of one's own, for taking one of the other's, and what one gets when the
            other takes one's own.
    """

    payoff: Float[Array, "2 3"]


@struct.dataclass
class CoinGameState:
    """State of the game. Cells are numbered row by row.

    Attributes:
        t: steps played.
        players: cell of each player.
        coins: cell of each player's coin, -1 where there is none.
        balance: of the round: the other's coins that the first player has taken less those that the second has; None
            where it is not shown.
    """

    t: Int32[Array, ""]
    players: Int32[Array, " 2"]
    coins: Int32[Array, " 2"]
    balance: Int32[Array, ""] | None = None


@register("coin_game")
@dataclass(frozen=True)
class CoinGame(Environment[CoinGameState, CoinGameParams]):
    """Two players pick up coins; each coin belongs to one of them, who loses when the other takes it.

    A player that moves to a coin's cell takes it, and is paid for it; both may take it at once. If the other player is
    among the takers, the owner is paid `payoff[owner, 2]` on top. Taking every coin is dominant in the short run.

    - `"alternating"` (as in LOLA, POLA and LOQA): one coin, whose owner changes whenever it is taken; it then comes up
      in a cell free of players. Actions are left, right, up, down.
    - `"two_coins"` (as in M-FOS and JaxMARL): a coin for each player; one that was taken comes up in any cell, also
      under a player, who must stay there to take it. Actions are right, left, down, up (rows count downwards), stay.

    An observation has four channels: own place, the other's, one's own coin, the other's coin. An episode is truncated
    after `num_rounds * num_steps` steps; whatever lies between two rounds (new random places) is part of a step.

    `info`: `own` and `other`, bool `[2]`: whether a player took a coin of its own, of the other's; `round_ended`.

    Attributes:
        version: `"alternating"` or `"two_coins"`.
        size: n of the n x n torus, 2 to 16.
        num_steps: steps of a round.
        num_rounds: rounds of an episode.
        flat: observations are `[4 n²]` (cell by cell, channels last) in place of `[n, n, 4]`.
        egocentric: the torus is shifted so that one's own place is the middle.
        zero_last: the last step of each round pays nothing, as in JaxMARL.
        show_balance: flat observations end with five marks: who is ahead in taking the other's coins, one's own lead
            being -2 or less, -1, 0, 1, 2 or more. Reciprocity then needs no memory, and can be paid back and forgiven.
    """

    version: str = "alternating"
    size: int = 3
    num_steps: int = 50
    num_rounds: int = 1
    flat: bool = True
    egocentric: bool = False
    zero_last: bool = False
    show_balance: bool = False

    num_agents = 2
    symmetric = True
    differentiable_params = ("payoff",)

    def __post_init__(self):
        require_choice("version", self.version, VERSIONS)
        require_int("size", self.size, 2, 16)
        require_int("num_steps", self.num_steps, 1)
        require_int("num_rounds", self.num_rounds, 1)
        for name in ("flat", "egocentric", "zero_last", "show_balance"):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "True or False")
        require(self.flat or not self.show_balance, "show_balance", self.show_balance, "False unless flat")

    @property
    def agent_names(self) -> tuple[str, ...]:
        return ("red", "blue")

    @property
    def horizon(self) -> int:
        return self.num_steps * self.num_rounds

    @property
    def num_cells(self) -> int:
        """n²."""
        return self.size**2

    @property
    def default_params(self) -> CoinGameParams:
        return CoinGameParams(jnp.asarray([[1, 1, -2], [1, 1, -2]], float))

    def validate(self, params: CoinGameParams) -> None:
        payoff = np.asarray(params.payoff)
        fits = payoff.shape[-2:] == (2, 3) and bool(np.isfinite(payoff).all())
        require(fits, "payoff", payoff.tolist(), "finite numbers [2, 3]")

    def action_space(self, params: CoinGameParams) -> Discrete:
        return Discrete(len(MOVES[self.version]))

    def observation_space(self, params: CoinGameParams) -> Box:
        length = 4 * self.num_cells + (len(LEADS) if self.show_balance else 0)
        return Box(0.0, 1.0, (length,) if self.flat else (self.size, self.size, 4))

    @property
    def coin_chance(self) -> ChanceSpec:
        """Where new coins come up: a cell for each, or the rank of a cell among the free ones."""
        cells = self.num_cells
        # divisible by the number of free cells, whether the players share a cell or not
        return Integers(cells, (2,)) if self.version == "two_coins" else Integers((cells - 1) * (cells - 2))

    @property
    def reset_chance(self) -> ChanceSpec:
        """Places of players and coins, and (one coin) a contest for its first owner."""
        first = Uniform((2,)) if self.version == "alternating" else ()
        return Integers(self.num_cells, (2,)), self.coin_chance, first

    @property
    def step_chance(self) -> ChanceSpec:
        """As at a reset, with which it shares the coins' cells; without further rounds these only."""
        return self.reset_chance if self.num_rounds > 1 else ((), self.coin_chance, ())

    def initial(self, chance, params: CoinGameParams) -> CoinGameState:
        return self._place(jnp.zeros((), jnp.int32), *chance)

    def transition(self, state: CoinGameState, action: Int32[Array, " 2"], chance, params: Any):
        new_players, coin, first = chance
        players = self._moved(state.players, action)
        own, other = players == state.coins, players == state.coins[::-1]
        payoff = params.payoff
        reward = jnp.where(own, payoff[:, 0], 0.0) + jnp.where(other, payoff[:, 1], 0.0)
        reward = reward + jnp.where(other[::-1], payoff[:, 2], 0.0)

        t = state.t + 1
        coins = self._renewed(state.coins, own | other[::-1], players, coin)
        balance = None if state.balance is None else state.balance + other[0] - other[1]
        state = CoinGameState(t, players, coins, balance)
        ended = t % self.num_steps == 0
        if self.zero_last:
            reward = jnp.where(ended, 0.0, reward)
        if self.num_rounds > 1:
            fresh = self._place(t, new_players, coin, first)
            state = CoinGameState(
                t,
                jnp.where(ended, fresh.players, state.players),
                jnp.where(ended, fresh.coins, state.coins),
                None if balance is None else jnp.where(ended, 0, balance),
            )
        return state, reward, jnp.zeros((), bool), {"own": own, "other": other, "round_ended": ended}

    def truncated(self, state: CoinGameState, params: CoinGameParams):
        return state.t >= self.horizon

    def observe(self, state: CoinGameState, params: CoinGameParams) -> Float[Array, "2 ..."]:
        players, coins = state.players, state.coins
        marks = jnp.stack([players, players[::-1], coins, coins[::-1]], axis=-1)  # [2, 4]
        if self.egocentric:
            marks = self._shifted(marks, players[:, None])
        planes = (marks[:, None, :] == jnp.arange(self.num_cells)[:, None]).astype(jnp.float32)
        if not self.flat:
            return planes.reshape(2, self.size, self.size, 4)
        flat = planes.reshape(2, -1)
        if state.balance is None:
            return flat
        lead = jnp.clip(jnp.stack([state.balance, -state.balance]), LEADS[0], LEADS[-1])
        return jnp.concatenate([flat, (lead[:, None] == jnp.asarray(LEADS)).astype(jnp.float32)], axis=1)

    def benchmarks(self, params: CoinGameParams) -> dict[str, Any]:
        """`cooperate`, `defect`: shortest-path policies (`coin_policies`)."""
        from jaxmarl.envs.dilemmas.coin_policies import coin_policy

        return {name: coin_policy(self, name) for name in ("cooperate", "defect")}

    def render(self, state: CoinGameState, params: CoinGameParams) -> UInt8[np.ndarray, "H W 3"]:
        """RGB pixels: players R and B as discs, coins as gold with the owner's letter on its pale colour."""
        from jaxmarl.envs.picture import AGENTS, GOLD, INK, Mark, agent_marks, draw_grid

        marks, coins = [], [int(cell) for cell in np.asarray(state.coins)]
        both = coins[0] == coins[1]
        for owner, cell in enumerate(coins):
            red, green, blue = (255 - (255 - x) * 2 // 5 for x in AGENTS[owner])
            across, width = ((0.25 if owner else -0.25), 0.46) if both else (0.0, 0.96)
            where = divmod(cell, self.size)  # off the grid where there is no coin
            marks += [Mark(where, (red, green, blue), "tile", size=width, offset=(0.0, across))]
            marks += [Mark(where, GOLD, label="RB"[owner], size=min(width, 0.5) - 0.1, offset=(0.0, across), ink=INK)]
        players = agent_marks([divmod(int(cell), self.size) for cell in np.asarray(state.players)], labels="RB")
        return draw_grid((self.size, self.size), [*marks, *players], tile=60)

    def _moved(self, cells: Int32[Array, " 2"], action: Int32[Array, " 2"]) -> Int32[Array, " 2"]:
        return jnp.asarray(move_table(self.version, self.size).reshape(-1))[cells * len(MOVES[self.version]) + action]

    def _place(self, t: Int32[Array, ""], players, coin, first) -> CoinGameState:
        balance = jnp.zeros((), jnp.int32) if self.show_balance else None
        if self.version == "two_coins":
            return CoinGameState(t, players, coin, balance)
        owned = jnp.stack([first[0] >= first[1], first[1] > first[0]])
        return CoinGameState(t, players, jnp.where(owned, self._free_cell(players, coin), -1), balance)

    def _renewed(self, coins, taken: Bool[Array, " 2"], players, coin) -> Int32[Array, " 2"]:
        """Coins after those `taken` came up anew."""
        if self.version == "two_coins":
            return jnp.where(taken, coin, coins)
        changed = jnp.where(coins[::-1] >= 0, self._free_cell(players, coin), -1)
        return jnp.where(taken[0] | taken[1], changed, coins)

    def _free_cell(self, players: Int32[Array, " 2"], word: Int32[Array, ""]) -> Int32[Array, ""]:
        """The cell free of players whose rank is `word`, modulo their number."""
        low, high = jnp.minimum(players[0], players[1]), jnp.maximum(players[0], players[1])
        together = low == high
        rank = jnp.where(together, word % (self.num_cells - 1), word % (self.num_cells - 2))
        cell = rank + (rank >= low)
        return cell + (~together & (cell >= high))

    def _shifted(self, cells: Int32[Array, "2 4"], centre: Int32[Array, "2 1"]) -> Int32[Array, "2 4"]:
        """Cells of the torus on which `centre` is the middle; -1 stays."""
        n, middle = self.size, self.size // 2
        row = (cells // n - centre // n + middle) % n
        column = (cells % n - centre % n + middle) % n
        return jnp.where(cells >= 0, row * n + column, -1)


def move_table(version: str, size: int) -> Int32[np.ndarray, "cells actions"]:
    """Where each action leads from each cell of a torus."""
    row, column = np.divmod(np.arange(size**2)[:, None], size)
    down, right = np.array(MOVES[version]).T
    return ((row + down) % size * size + (column + right) % size).astype(np.int32)
