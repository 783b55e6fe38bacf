"""Several players pull the arms of a bandit, or of several bandits, and share what they find (or do not)."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Int32

from jaxmarl.core.chance import ChanceSpec, Key, Uniform
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.environment import Environment
from jaxmarl.core.policy import Policy
from jaxmarl.core.registry import register
from jaxmarl.core.spaces import Box, Discrete
from jaxmarl.envs.bandits.allocation import nash_allocation, seat_of

Sharing: TypeAlias = Literal["average", "equal", "collision0", "none"]
Arms: TypeAlias = Literal["bernoulli", "beta"]


@struct.dataclass
class MultiPlayerBanditParams:
    """Numbers of the arms.

    Attributes:
        means: `[M, K]`, mean outcome of each arm of each bandit, in [0, 1].
        concentration: `[M, K]`, a + b of Beta arms, `mean = a / (a + b)`; Bernoulli arms do not read it.
    """

    means: Float[Array, "M K"]
    concentration: Float[Array, "M K"]


@struct.dataclass
class MultiPlayerBanditState:
    """State of the game: what each player did and saw last.

    Attributes:
        t: int32, rounds played.
        arm: int32 `[N]`, -1 before the first round.
        outcome: `[N]`, of that arm.
        count: int32 `[N]`, players who pulled it, this one included.
    """

    t: Int32[Array, ""]
    arm: Int32[Array, " N"]
    outcome: Float[Array, " N"]
    count: Int32[Array, " N"]


@register("multi_player_bandit")
@dataclass(frozen=True)
class MultiPlayerBandit(Environment[MultiPlayerBanditState, MultiPlayerBanditParams]):
    """Players of the same bandit compete for its arms; players of different ones do not meet.

    Each arm has one outcome `X` a round, in [0, 1]. Of `m` players who pull it each is paid by the rule of sharing:

    - `"average"`: `X w_i / Σ w` with fresh weights, uniform in (0, 1]: `X / m` on average (Xu et al. 2023);
    - `"equal"`: `X / m`;
    - `"collision0"`: X to one who is alone, nothing to the others (cognitive radio);
    - `"none"`: everybody has an outcome of its own: what collaborating learners play (Chawla et al. 2023).

    An observation is `[the arm pulled last, one-hot; its outcome X; m / N]`, the last only with `observe_counts`, zeros
    before the first round. Rounds do not depend on each other.

    `info`: `outcome [N]`, `count [N]` (m), and `regret [N]`: how much more the best arm would have been worth, given
    what the others pulled, in expectation. It is 0 for all exactly in a pure equilibrium of the round.

    Attributes:
        num_agents: N.
        num_arms: K, of each bandit.
        num_steps: rounds of an episode.
        sharing: how an outcome is shared.
        arms: `"bernoulli"` or `"beta"` outcomes.
        observe_counts: whether players see how many pulled their arm.
        bandit_of: which bandit each player plays, `0, ..., M - 1`, all of which must occur; empty: all the same one.
    """

    num_agents: int = 4
    num_arms: int = 5
    num_steps: int = 100
    sharing: str = "average"
    arms: str = "bernoulli"
    observe_counts: bool = True
    bandit_of: tuple[int, ...] = ()

    def __post_init__(self):
        require_int("num_agents", self.num_agents, 1)
        require_int("num_arms", self.num_arms, 2)
        require_int("num_steps", self.num_steps, 1)
        require_choice("sharing", self.sharing, get_args(Sharing))
        require_choice("arms", self.arms, get_args(Arms))
        require(isinstance(self.observe_counts, bool), "observe_counts", self.observe_counts, "True or False")
        if self.bandit_of:
            given, wanted = len(self.bandit_of), f"{self.num_agents} entries, one a player"
            require(given == self.num_agents, "bandit_of", f"{given} entries", wanted)
            every = set(self.bandit_of) == set(range(max(self.bandit_of) + 1))
            require(every, "bandit_of", self.bandit_of, "numbers of bandits from 0 on without gaps")

    @property
    def num_bandits(self) -> int:
        """M."""
        return max(self.bandit_of, default=0) + 1

    @property
    def bandits(self) -> np.ndarray:
        """`[N]`, which bandit each player plays."""
        return np.asarray(self.bandit_of or (0,) * self.num_agents, np.int32)

    @property
    def symmetric(self) -> bool:
        return self.num_bandits == 1

    @property
    def horizon(self) -> int:
        return self.num_steps

    @property
    def default_params(self) -> MultiPlayerBanditParams:
        """Means from 0.9 to 0.1, in another order in each bandit."""
        one = np.linspace(0.9, 0.1, self.num_arms)
        means = np.stack([np.roll(one, m) for m in range(self.num_bandits)])
        return MultiPlayerBanditParams(jnp.asarray(means, float), jnp.full(means.shape, 4.0, float))

    def validate(self, params: MultiPlayerBanditParams) -> None:
        means, concentration = np.asarray(params.means), np.asarray(params.concentration)
        inside = (means >= 0) & (means <= 1) if self.arms == "bernoulli" else (means > 0) & (means < 1)
        allowed = "in [0, 1]" if self.arms == "bernoulli" else "strictly between 0 and 1 for Beta arms"
        require(bool(inside.all()), "means", means.tolist(), allowed)
        positive = bool((np.isfinite(concentration) & (concentration > 0)).all())
        require(positive, "concentration", concentration.tolist(), "positive and finite")

    def action_space(self, params: MultiPlayerBanditParams) -> Discrete:
        return Discrete(self.num_arms)

    def observation_space(self, params: MultiPlayerBanditParams) -> Box:
        return Box(0.0, 1.0, (self.num_arms + 1 + self.observe_counts,))

    @property
    def step_chance(self) -> ChanceSpec:
        """Outcomes of arms (or of players, where nothing is shared), and weights of players."""
        shape = (self.num_agents,) if self.sharing == "none" else (self.num_bandits, self.num_arms)
        outcome: Uniform | Key = Uniform(shape)
        if self.arms == "beta":
            outcome = Key(shape if self.sharing == "none" else ())
        return (outcome, Uniform((self.num_agents,))) if self.sharing == "average" else (outcome,)

    def initial(self, chance, params: MultiPlayerBanditParams) -> MultiPlayerBanditState:
        zeros = jnp.zeros(self.num_agents, jnp.int32)
        return MultiPlayerBanditState(
            jnp.zeros((), jnp.int32), zeros - 1, jnp.zeros(self.num_agents, jnp.float32), zeros
        )

    def transition(self, state: MultiPlayerBanditState, action: Int32[Array, " N"], chance, params: Any):
        outcome = self._outcomes(chance[0], action, params)
        together = (self.bandits[:, None] == self.bandits) & (action[:, None] == action)
        count = jnp.sum(together, axis=1, dtype=jnp.int32)
        if self.sharing == "average":
            weights = 1 - chance[1]
            reward = outcome * weights / jnp.sum(jnp.where(together, weights, 0.0), axis=1)
        elif self.sharing == "equal":
            reward = outcome / count
        else:
            reward = jnp.where((self.sharing == "none") | (count == 1), outcome, 0.0)
        payoffs = self.deviation_payoffs(action, params)
        pulled = jnp.arange(self.num_arms) == action[:, None]
        regret = jnp.max(payoffs, axis=1) - jnp.sum(jnp.where(pulled, payoffs, 0.0), axis=1)
        after = MultiPlayerBanditState(state.t + 1, action.astype(jnp.int32), outcome.astype(jnp.float32), count)
        info = {"outcome": outcome, "count": count, "regret": regret}
        return after, reward, after.t >= self.num_steps, info

    def observe(self, state: MultiPlayerBanditState, params: Any) -> Float[Array, "N observed"]:
        pulled = jnp.arange(self.num_arms) == state.arm[:, None]
        parts = [pulled, state.outcome[:, None]]
        if self.observe_counts:
            parts.append(state.count[:, None] / self.num_agents)
        return jnp.concatenate([part.astype(jnp.float32) for part in parts], axis=1)

    def deviation_payoffs(self, arms: Int32[Array, " N"], params: Any) -> Float[Array, "N K"]:
        """What each player could expect from each arm this round, the others pulling `arms`."""
        means = params.means[self.bandits]
        if self.sharing == "none":
            return means
        pulled = (jnp.arange(self.num_arms) == arms[:, None]).astype(jnp.int32)
        rivals = (self.bandits[:, None] == self.bandits) & ~np.eye(self.num_agents, dtype=bool)
        others = jnp.sum(jnp.where(rivals[:, :, None], pulled, 0), axis=1)
        return jnp.where(others == 0, means, 0.0) if self.sharing == "collision0" else means / (others + 1)

    def benchmarks(self, params: MultiPlayerBanditParams) -> dict[str, Any]:
        """What players would do who knew the means.

        `allocation [M, K]`: how many pull each arm in the pure equilibrium (where nothing is shared, the best arm);
        `threshold [M]`: the least that a player gets, in expectation; `arms [N]`: an assignment of players;
        `payoffs [N]`; `welfare`: their sum; `optimal_welfare`: the largest sum there is; `policy`: plays the arm that
        is its params.
        """
        best, allocations, thresholds = 0.0, [], []
        arms = np.zeros(self.num_agents, np.int32)
        for m, means in enumerate(np.asarray(params.means)):
            members = np.flatnonzero(self.bandits == m)
            pulls, level = self._allocation(means, len(members))
            arms[members] = [int(seat_of(pulls, jnp.int32(i))) for i in range(len(members))]
            allocations.append(np.asarray(pulls))
            thresholds.append(level)
            top = np.sort(means)[::-1]
            best += len(members) * top[0] if self.sharing == "none" else top[: len(members)].sum()
        expected = np.asarray(self.deviation_payoffs(jnp.asarray(arms), params))
        payoffs = expected[np.arange(self.num_agents), arms]
        return {
            "allocation": np.stack(allocations),
            "threshold": np.array(thresholds),
            "arms": arms,
            "payoffs": payoffs,
            "welfare": float(payoffs.sum()),
            "optimal_welfare": float(best),
            "policy": Policy(lambda chance: (), lambda arm, memory, obs, chance: (arm, memory), name="known_means"),
        }

    def _allocation(self, means: np.ndarray, num_players: int) -> tuple[Array, float]:
        if self.sharing in ("average", "equal"):
            pulls, level = nash_allocation(jnp.asarray(means), num_players)
            return pulls, float(level)
        order = np.argsort(-means, kind="stable")
        counts = np.zeros(self.num_arms, np.int32)
        if self.sharing == "none":
            counts[order[0]] = num_players
            return jnp.asarray(counts), float(means[order[0]])
        # with more players than arms the others collide wherever they go; the worst arm is where that costs least
        counts[order[:num_players]] = 1
        counts[order[-1]] += max(num_players - self.num_arms, 0)
        return jnp.asarray(counts), float(means[order[num_players - 1]]) if num_players <= self.num_arms else 0.0

    def _outcomes(self, drawn: Array, action: Array, params: Any) -> Float[Array, " N"]:
        """Each player's outcome; players of one arm of one bandit have the same, unless nothing is shared."""
        at = self.bandits, action
        own = self.sharing == "none"
        means = params.means[at] if own else params.means
        if self.arms == "bernoulli":
            found = (drawn < means).astype(jnp.float32)
        else:
            total = params.concentration[at] if own else params.concentration
            sample = jax.vmap(jax.random.beta) if own else jax.random.beta
            found = sample(drawn, means * total, (1 - means) * total).astype(jnp.float32)
        return found if own else found[at]
