"""When must a team coordinate? Independent and central values, and a switch between them (Mguni et al. 2023, "MANSA").

Two learners of one replay: independent agents (IQL), and values of the team (VDN, QMIX). At each step a switch that
sees the global state says whose actions are played; a call of the central ones costs `cost`. The switch learns the
team's reward less that cost. Since both sides are deterministic, a transition says what calling (or not) leads to
whenever its joint action is the one that side would choose now, whoever was asked then.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.chance import Uniform, draw, repeat
from jaxmarl.core.checks import require, require_choice, require_int
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.rollout import Actor, BatchedEnv, batch_params
from jaxmarl.learners.base import Learner, Metrics
from jaxmarl.learners.team.config import REWARDS, TeamConfig
from jaxmarl.learners.team.learning import TeamLearning
from jaxmarl.learners.team.mixers import StateOf
from jaxmarl.learners.team.network import TeamNetwork, legal, team_network
from jaxmarl.learners.team.targets import TeamStep, evaluate, team_reward
from jaxmarl.learners.value.acting import explore
from jaxmarl.learners.value.functionals import risk_neutral
from jaxmarl.learners.value.heads import MeanHead
from jaxmarl.learners.value.loop import ValueState, value_optimiser
from jaxmarl.learners.value.replay import Sample

PARTS = ("independent", "central", "switch")


@dataclass(frozen=True)
class SwitchConfig(TeamConfig):
    """Settings of `mansa`, on top of those of the central learner.

    Attributes:
        own_reward: what independent agents learn from: `"own"`, `"sum"` or `"mean"`.
        cost: c, of a step of central actions; infinite: there are none.
        budget: steps of central actions that an episode may have; 0: no limit.
        switch_epsilon: probability of a random side while learning (with calls left, and a finite cost).
    """

    own_reward: str = "own"
    cost: float = 0.1
    budget: int = 0
    switch_epsilon: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        require(self.mixer != "none", "mixer", self.mixer, "sum or monotonic")
        require_choice("own_reward", self.own_reward, REWARDS)
        require(self.cost >= 0, "cost", self.cost, "at least 0")
        require_int("budget", self.budget, 0)
        require(0 <= self.switch_epsilon <= 1, "switch_epsilon", self.switch_epsilon, "in [0, 1]")

    @property
    def independent(self) -> TeamConfig:
        """Settings of the independent agents, as if they were alone."""
        shared = {field.name: getattr(self, field.name) for field in fields(TeamConfig)}
        return TeamConfig(**{**shared, "mixer": "none", "reward": self.own_reward})


class SwitchMemory(NamedTuple):
    """Memory of a team with a switch.

    Attributes:
        independent: of the independent agents.
        central: of those with a team's value.
        left: `[*batch]`, calls left in the episode (0 where there is no budget).
        calls: `[*batch]`, calls so far, of all episodes.
    """

    independent: PyTree
    central: PyTree
    left: Int32[Array, "*batch"]
    calls: Int32[Array, "*batch"]


class Switch(nn.Module):
    """Values of not calling and of calling, without the cost of the call itself."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, state: Float[Array, "*batch S"], left: Float[Array, "*batch"]) -> Float[Array, "*batch 2"]:
        """Given the state and the share of the budget that is left."""
        x = jnp.concatenate([state, left[..., None]], -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(2)(x)


@dataclass(frozen=True, eq=False)
class SwitchNetwork:
    """Both teams and the switch; parameters are a dict of `PARTS`.

    Attributes:
        independent: agents with values of their own.
        central: agents with a team's value.
        switch: between them.
        config: settings.
    """

    independent: TeamNetwork
    central: TeamNetwork
    switch: Switch
    config: SwitchConfig

    head: ClassVar[MeanHead] = MeanHead()

    def init(self, key: Array, obs: Array, _: Any = None) -> PyTree:
        """Parameters; those of the independent agents are what the same key gives them alone."""
        state = self.central.state_of(obs)
        keys = (jax.random.fold_in(key, i) for i in range(2))
        return {
            "independent": self.independent.init(key, obs),
            "central": self.central.init(next(keys), obs),
            "switch": self.switch.init(next(keys), state, jnp.zeros(state.shape[:-1])),
        }

    def initial_memory(self, batch: tuple[int, ...]) -> SwitchMemory:
        """At an episode's start; `batch` has no axis of agents."""
        lanes = (*batch, self.central.num_agents)
        own, joint = (part.agents.initial_memory(lanes) for part in (self.independent, self.central))
        return SwitchMemory(own, joint, jnp.full(batch, self.config.budget, jnp.int32), jnp.zeros(batch, jnp.int32))

    def worth(self, params: PyTree, state: Array, left: Array) -> Float[Array, "*batch 2"]:
        """Values of not calling and of calling, the cost paid; minus infinity where there is no call left."""
        config = self.config
        share = left / max(config.budget, 1)
        values = jnp.asarray(self.switch.apply(params["switch"], state, share.astype(jnp.float32)))
        paid = values - jnp.array([0.0, config.cost])
        return paid if not config.budget else paid.at[..., 1].set(jnp.where(left > 0, paid[..., 1], -jnp.inf))

    def step(self, params: PyTree, memory: SwitchMemory, seen: MaskedObs, start: Array, coins: Array | None = None):
        """Memory after a step, and values `[*batch, N, A]` of the side that plays; `coins [2, *batch]` explore."""
        own, own_values = self.independent.step(params["independent"], memory.independent, seen.obs, start)
        joint, joint_values = self.central.step(params["central"], memory.central, seen.obs, start)
        left = jnp.where(start, self.config.budget, memory.left)
        worth = self.worth(params, self.central.state_of(seen.obs), left)
        call = worth[..., 1] > worth[..., 0]
        if coins is not None:
            call = jnp.where(coins[0] < self.config.switch_epsilon, coins[1] < 0.5, call)
        call = call & jnp.isfinite(worth[..., 1])
        used = call.astype(jnp.int32)
        after = SwitchMemory(own, joint, left - used * bool(self.config.budget), memory.calls + used)
        return after, jnp.where(call[..., None, None], joint_values, own_values)

    def actor(self, env: BatchedEnv) -> Actor:
        """Plays all seats, as `network.team_actor` does."""
        lanes = env.num_envs, env.num_agents

        def act(params, memory, seen: MaskedObs, start, key):
            weights, epsilon = params
            coin, pick = draw(repeat((Uniform(), Uniform()), *lanes), key)
            # from another key, so that agents act as they would without a switch
            coins = draw(Uniform((2, env.num_envs)), jax.random.fold_in(key, 0))
            after, values = self.step(weights, memory, seen, start, coins)
            before = memory._replace(left=jnp.where(start, self.config.budget, memory.left))
            return explore(legal(values, seen.mask), seen.mask, epsilon, coin, pick), after, before

        return Actor(lambda key: self.initial_memory((env.num_envs,)), act, masked=True)

    def policy(self, name: str) -> Policy:
        """The greedy policy of all agents together, unbatched; its memory counts the calls."""

        def act(params, memory, seen: MaskedObs, chance):
            memory, values = self.step(params, memory, seen, jnp.zeros((), bool))
            return jnp.argmax(legal(values, seen.mask), -1).astype(jnp.int32), memory

        return Policy(lambda chance: self.initial_memory(()), act, masked=True, name=name)


def mansa(
    env: BatchedEnv, config: SwitchConfig, env_params: PyTree = None, *, state_of: StateOf | None = None
) -> Learner:
    """Independent and central learners with a switch; arguments as for `team_q`.

    Metrics: `calls`, the share of steps that were played by central actions. With an infinite cost the independent
    agents learn and act as they do alone, given the same keys.

    Raises:
        ValueError: actions that are not discrete, sizes that do not fit.
    """
    return mansa_learning(env, config, env_params, state_of).learner("mansa")


def mansa_learning(
    env: BatchedEnv, config: SwitchConfig, env_params: PyTree = None, state_of: StateOf | None = None
) -> "SwitchLearning":
    """The algorithm of `mansa`."""
    env_params = batch_params(env, env_params)
    own, joint = (team_network(env, settings, env_params, state_of) for settings in (config.independent, config))
    network = SwitchNetwork(own, joint, Switch(config.hidden), config)
    return SwitchLearning(env, config, env_params, network, risk_neutral, risk_neutral)


@dataclass(frozen=True, eq=False)
class SwitchLearning(TeamLearning):
    """`TeamLearning` of three losses, whose gradients are clipped and stepped apart."""

    config: SwitchConfig
    network: SwitchNetwork  # type: ignore[assignment]

    def policy(self, name: str) -> Policy:
        return self.network.policy(name)

    @property
    def actor(self) -> Actor:
        return self.network.actor(self.env)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        config = self.config
        updates = config.anneal_steps * config.gradient_steps // self.steps_per_round
        rule = value_optimiser(optax.adam, config, updates)
        return optax.multi_transform(dict.fromkeys(PARTS, rule), {part: part for part in PARTS})

    def update(self, state: ValueState) -> tuple[ValueState, Metrics]:
        before = jnp.sum(state.rollout.memory.calls)
        state, metrics = super().update(state)
        steps = self.config.rounds * self.config.collect * self.env.num_envs
        return state, {**metrics, "calls": (jnp.sum(state.rollout.memory.calls) - before) / steps}

    def _loss(self, params, target_params, batch: TeamStep, sample: Sample, key: Array):  # type: ignore[override]
        config, network, losses, choices = self.config, self.network, [], []
        for part, settings in (("independent", config.independent), ("central", config)):
            team, steps = getattr(network, part), batch.replace(memory=getattr(batch.memory, part))  # type: ignore[attr-defined]
            found = evaluate(team, settings, params[part], target_params[part], steps)
            losses.append(jnp.mean(network.head.loss(found.value, found.target)[config.burn_in :], axis=0))
            choices.append(jnp.argmax(legal(found.outputs, batch.mask), -1))
        # calls left do not change what steps lead to: drawn anew, every transition teaches all budgets
        left = jax.random.randint(key, batch.start.shape, 0, config.budget + 1)
        losses.append(self._switch_loss(params, target_params, batch, left, jnp.stack(choices)))
        total = sum(jnp.mean(sample.weight[:, None] * x) for x in losses)
        return total, jnp.concatenate(losses, axis=-1)

    def _switch_loss(
        self, params, target_params, batch: TeamStep, left: Int32[Array, "L batch"], choices: Array
    ) -> Float[Array, "batch 1"]:
        """Of both sides' values, each where its own choice `[side, L, batch, N]` is what was played."""
        config, network = self.config, self.network
        state_of = network.central.state_of
        now = network.worth(params, state_of(batch.obs), left) + jnp.array([0.0, min(config.cost, 1e9)])
        reward = jnp.mean(team_reward(batch.reward, config.reward), axis=-1)
        same = jnp.all(choices == batch.action, axis=-1)
        total = jnp.zeros_like(reward)
        for side in range(1 if math.isinf(config.cost) else 2):
            after = left - side * bool(config.budget)
            worth = jnp.max(network.worth(target_params, state_of(batch.next.obs), after), -1)
            target = reward + config.discount * jnp.where(batch.terminated, 0.0, worth)
            counts = same[side] & jnp.isfinite(now[..., side])
            error = jnp.where(counts, now[..., side], 0.0) - jnp.where(counts, jax.lax.stop_gradient(target), 0.0)
            total = total + 0.5 * error**2
        return jnp.mean(total[config.burn_in :], axis=0)[:, None]
