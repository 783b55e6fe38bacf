"""Settings of learners of a team's values."""

from dataclasses import dataclass
from typing import Any

from jaxmarl.core.checks import require, require_choice, require_int, with_field_types
from jaxmarl.learners.value.config import ValueConfig

MIXERS = ("none", "sum", "monotonic")
REWARDS = ("own", "sum", "mean")


@dataclass(frozen=True)
class Communication:
    """Sizes of the messages' transformer (`communication.Messages`).

    Attributes:
        layers: of the encoder.
        width: of messages; a multiple of `heads`.
        heads: of attention.
        feed_forward: width of the hidden layer of each encoder layer.
    """

    layers: int = 1
    width: int = 64
    heads: int = 4
    feed_forward: int = 128

    @with_field_types
    def __post_init__(self):
        for name in ("layers", "width", "heads", "feed_forward"):
            require_int(name, getattr(self, name), 1)
        require(self.width % self.heads == 0, "width", self.width, f"a multiple of heads, {self.heads}")


@dataclass(frozen=True)
class TeamConfig(ValueConfig):
    """Settings of `team_q`, on top of those of `ValueConfig`.

    What is drawn from the replay are sequences of `burn_in + sequence` consecutive steps, which may span episodes; a
    network without memory needs no more than one. `n_step` stays 1: targets of several steps are those of `trace`.

    Attributes:
        mixer: how the agents' values make the team's: `"none"`, they do not and each learns its own (IQL); `"sum"`
            (VDN); `"monotonic"`, a network of the global state (QMIX).
        embed: hidden units of the monotonic mixer.
        hypernet: width of the networks that generate its weights.
        reward: what is learned from: `"own"` rewards (without a mixer only), their `"sum"`, or their `"mean"`.
        agent_id: whether networks also read which agent it is, as a one-hot vector.
        recurrent: whether agents remember, by a GRU as wide as the last layer of the encoder.
        sequence: steps of a sequence that are learned from.
        burn_in: steps before them that only refresh the stored memory (Kapturowski et al. 2019).
        trace: λ of the targets within a sequence; off-policy actions are not corrected for (Peng and Williams 1996).
        communication: the messages that agents exchange before they act (MACTAS); None: they do not.
        absent_zeros: whether agents that see nothing but zeros have left, so that nobody hears them.
    """

    mixer: str = "monotonic"
    embed: int = 32
    hypernet: int = 64
    reward: str = "sum"
    agent_id: bool = True
    recurrent: bool = False
    sequence: int = 1
    burn_in: int = 0
    trace: float = 0.0
    communication: Communication | None = None
    absent_zeros: bool = False

    def __post_init__(self):
        super().__post_init__()
        require_choice("mixer", self.mixer, MIXERS)
        require_choice("reward", self.reward, REWARDS)
        require(self.mixer == "none" or self.reward != "own", "reward", self.reward, "sum or mean with a mixer")
        for name in ("embed", "hypernet", "sequence"):
            require_int(name, getattr(self, name), 1)
        require_int("burn_in", self.burn_in, 0)
        require(self.recurrent or self.burn_in == 0, "burn_in", self.burn_in, "0 without a memory")
        require(self.n_step == 1, "n_step", self.n_step, "1: use sequence and trace")
        require(0 <= self.trace <= 1, "trace", self.trace, "in [0, 1]")

    @property
    def length(self) -> int:
        """Steps of a sequence from the replay."""
        return self.burn_in + self.sequence


def iql_config(**settings: Any) -> TeamConfig:
    """Independent learners, each of its own rewards unless `reward` says otherwise (Tan 1993; Tampuu et al. 2017)."""
    return TeamConfig(**{"mixer": "none", "reward": "own", **settings})


def vdn_config(**settings: Any) -> TeamConfig:
    """Values that add up (Sunehag et al. 2018)."""
    return TeamConfig(**{"mixer": "sum", **settings})


def qmix_config(**settings: Any) -> TeamConfig:
    """Values that a monotonic network mixes (Rashid et al. 2018)."""
    return TeamConfig(**{"mixer": "monotonic", **settings})
