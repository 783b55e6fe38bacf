"""Settings of LOQA, and those for the games that it was published with."""

from dataclasses import dataclass
from typing import Any

from jaxmarl.core.checks import require, require_int, with_field_types


@dataclass(frozen=True)
class LOQAConfig:
    """Settings of `loqa`; the defaults are those published for the Coin Game.

    Attributes:
        num_envs: episodes of one update.
        actor_layers: widths of the layers before the memory (or the output); without any, and without memory, one-hot
            observations have a row of logits each.
        critic_layers: likewise.
        recurrent: whether both networks end in a gated recurrent unit, as wide as their last layer.
        clock: whether the critic sees the share of the episode that is over.
        actor_rate: learning rate of Adam.
        critic_rate: likewise.
        warm_up: first updates, in which only the critic learns; until values are known, what shapes opponents is noise.
        discount: γ.
        temperature: τ.
        trace: λ of the differentiable return.
        return_trace: λ of the opponent's returns in it; below 1 its critic takes the place of later rewards.
        advantage_trace: λ of one's own advantages.
        shaping_weight: of the term that shapes the opponent.
        naive_updates: first updates after the warm-up that leave this term out. Players that defect, and know how to,
            are then among those that `replay` keeps.
        entropy_weight: β.
        logit_weight: of the mean squared logit (less its mean), which keeps policies from being so sure of an action
            that they learn nothing more.
        anneal_updates: updates over which the last two weights fall linearly to zero (0: constant).
        exploration: probability of a random action, of both players, while learning: rare states stay visited, and
            what is improved is the policy that errs so; the learner's policy does not.
        target_decay: of the moving average of the critic that targets are computed with.
        max_grad_norm: the norm of each network's gradient is clipped to it.
        replay: past parameters kept, among which opponents are drawn; 1: always the previous ones.
        replay_every: updates between two entries.
        num_opponents: opponents drawn for one update; divides `num_envs`.
        naive_opponents: how many of them are drawn among those that `replay` keeps from the naive updates.
    """

    num_envs: int = 8192
    actor_layers: tuple[int, ...] = (64,)
    critic_layers: tuple[int, ...] = (64, 64)
    recurrent: bool = True
    clock: bool = False
    actor_rate: float = 3e-3
    critic_rate: float = 1e-2
    warm_up: int = 0
    discount: float = 0.96
    temperature: float = 1.0
    trace: float = 0.9
    return_trace: float = 1.0
    advantage_trace: float = 0.0
    shaping_weight: float = 1.0
    naive_updates: int = 0
    entropy_weight: float = 0.05
    logit_weight: float = 0.0
    anneal_updates: int = 0
    exploration: float = 0.0
    target_decay: float = 0.99
    max_grad_norm: float = 1.0
    replay: int = 1
    replay_every: int = 1
    num_opponents: int = 1
    naive_opponents: int = 0

    @with_field_types
    def __post_init__(self):
        for name in ("num_envs", "replay", "replay_every", "num_opponents"):
            require_int(name, getattr(self, name), 1)
        for name in ("warm_up", "naive_updates", "anneal_updates", "naive_opponents"):
            require_int(name, getattr(self, name), 0)
        for name in ("actor_layers", "critic_layers"):
            widths = getattr(self, name)
            fits = isinstance(widths, tuple) and all(isinstance(w, int) and w >= 1 for w in widths)
            require(
                fits and bool(widths or not self.recurrent), name, widths, "a tuple of widths, not empty if recurrent"
            )
        for name in ("actor_rate", "critic_rate", "temperature", "max_grad_norm"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        for name in ("discount", "trace", "return_trace", "advantage_trace", "target_decay"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        require(0 <= self.exploration < 1, "exploration", self.exploration, "in [0, 1)")
        for name in ("shaping_weight", "entropy_weight", "logit_weight"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "non-negative")
        divides = self.num_envs % self.num_opponents == 0
        require(divides, "num_opponents", self.num_opponents, f"a divisor of num_envs ({self.num_envs})")
        fits = self.naive_opponents <= self.num_opponents
        require(fits, "naive_opponents", self.naive_opponents, f"at most num_opponents ({self.num_opponents})")
        fits = not self.naive_opponents or 1 < self.naive_entries < self.replay
        require(fits, "naive_opponents", self.naive_opponents, "0 unless replay holds an entry after naive updates")

    @property
    def naive_entries(self) -> int:
        """Of the replay, from before the first update that shapes; with `naive_opponents` they stay."""
        return 1 + self.naive_updates // self.replay_every


def ipd_config(**changes: Any) -> LOQAConfig:
    """Settings for the iterated prisoner's dilemma of 50 rounds: a row of logits for each state.

    As in the published runs, actions err while players learn (there with probability 0.2, here 0.3): without errors
    all soon cooperate, and nobody meets those who exploit forgiveness. One's own interest forgives until nothing is
    gained by defecting once, with probability 0.57 among players that err at 0.2, and 0.45 at 0.3; shaping, weighed
    with 1.5 in place of 1, keeps it lower. Rates of learning are higher than published, for a minute on one core.

    Args:
        **changes: fields of `LOQAConfig` to set otherwise.
    """
    settings: dict[str, Any] = {
        "num_envs": 256,
        "actor_layers": (),
        "critic_layers": (16, 16),
        "recurrent": False,
        "clock": True,
        "actor_rate": 1e-2,
        "critic_rate": 2e-2,
        "warm_up": 300,
        "shaping_weight": 1.5,
        "entropy_weight": 0.0,
        "exploration": 0.3,
        "target_decay": 0.9,
    }
    return LOQAConfig(**{**settings, **changes})


def coin_config(**changes: Any) -> LOQAConfig:
    """Settings for the 3 x 3 Coin Game with the alternating coin, `egocentric=True` and `show_balance=True`.

    The published settings (those of `LOQAConfig`) need an accelerator; these take half a minute on one core. The torus
    is shifted, so that going for coins is learned within 100 updates. Who is ahead in taking the other's coins is part
    of the observation, so networks need no memory. One opponent in eight is of those that only learned to take coins.
    Logits are kept small at first: players that are sure of taking coins, from one side of four even, never learn that
    it does not pay. λ-returns in place of sums of rewards take most of the noise out of what shapes the opponent.

    After 800 updates players take a coin back for each that was taken, and none first. Three seeds earned 0.325, 0.322
    and 0.318 a step with themselves (two cooperators: 0.334), 0.33 with a cooperator, and -0.013, -0.012 and -0.013
    with a defector (cooperators: -0.260). The balance is not part of the published observation.

    Args:
        **changes: fields of `LOQAConfig` to set otherwise.
    """
    settings: dict[str, Any] = {
        "num_envs": 128,
        "actor_layers": (64, 64),
        "critic_layers": (64, 64),
        "recurrent": False,
        "clock": True,
        "warm_up": 60,
        "naive_updates": 40,
        "return_trace": 0.6,
        "advantage_trace": 0.6,
        "entropy_weight": 0.02,
        "logit_weight": 1.5e-3,
        "anneal_updates": 600,
        "exploration": 0.1,
        "target_decay": 0.95,
        "replay": 300,
        "replay_every": 20,
        "num_opponents": 8,
        "naive_opponents": 1,
    }
    return LOQAConfig(**{**settings, **changes})
