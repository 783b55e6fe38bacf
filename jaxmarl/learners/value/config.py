"""Settings that all deep value learners share."""

from dataclasses import dataclass

from jaxmarl.core.checks import require, require_int, with_field_types


@dataclass(frozen=True)
class ValueConfig:
    """Settings of the network, of acting and of learning from a replay.

    A *round* plays `collect` steps in each environment and makes `gradient_steps`. Times are counted in agent steps.

    Attributes:
        hidden: widths of the encoder's dense layers.
        layer_norm: whether each layer is normalised.
        collect: steps of a round in each environment; must divide the horizon of a fixed-horizon environment.
        gradient_steps: of a round.
        rounds: of an update.
        batch: transitions of a gradient step.
        capacity: steps that the replay keeps, of all environments together.
        warmup: steps played at random before the first gradient step, of all environments together.
        n_step: steps merged into a transition.
        discount: γ.
        learning_rate: of Adam.
        adam_epsilon: of Adam.
        anneal_steps: agent steps over which the learning rate falls linearly to zero (0: constant).
        max_grad_norm: global gradient norm is clipped to it.
        target_every: gradient steps between two updates of the target network.
        target_rate: how far the target network then moves to the online one (1: all the way).
        double: whether the online network chooses the next action (van Hasselt et al. 2016).
        epsilon_start: probability of a random action, at the start.
        epsilon_end: the same in the end.
        epsilon_steps: agent steps over which it falls linearly.
        priority: exponent of priorities in the replay; 0 draws uniformly.
        importance: exponent of the weights that correct for priorities.
        reward_scale: multiplies rewards.
    """

    hidden: tuple[int, ...] = (128, 128)
    layer_norm: bool = False
    collect: int = 4
    gradient_steps: int = 1
    rounds: int = 10
    batch: int = 64
    capacity: int = 20_000
    warmup: int = 1000
    n_step: int = 1
    discount: float = 0.99
    learning_rate: float = 5e-4
    adam_epsilon: float = 1e-8
    anneal_steps: int = 0
    max_grad_norm: float = 10.0
    target_every: int = 200
    target_rate: float = 1.0
    double: bool = True
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    epsilon_steps: int = 10_000
    priority: float = 0.0
    importance: float = 0.4
    reward_scale: float = 1.0

    @with_field_types
    def __post_init__(self):
        for name in ("collect", "gradient_steps", "rounds", "batch", "capacity", "warmup", "n_step", "target_every"):
            require_int(name, getattr(self, name), 1)
        for name in ("anneal_steps", "epsilon_steps"):
            require_int(name, getattr(self, name), 0)
        for name in ("learning_rate", "adam_epsilon", "max_grad_norm", "reward_scale"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        for name in ("discount", "epsilon_start", "epsilon_end", "priority", "importance"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        require(0 < self.target_rate <= 1, "target_rate", self.target_rate, "in (0, 1]")
