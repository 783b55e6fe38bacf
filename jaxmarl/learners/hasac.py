"""Heterogeneous-agent soft actor-critic (Liu et al. 2024, "HASAC"): a team maximises reward plus entropy, off-policy.

Agents share no parameters. Two critics value joint actions; actors improve one after the other in a random order, each
for what those before it have become and those after it still are: with `Q` the less optimistic critic, agent i raises
`E[Q(s, a)] + T_i H(pi_i)` over its own actions, by an exact sum where they are discrete and by a draw where they are
not. Teams settle in quantal response equilibria of temperature T. With a drift, the divergence from the old policy is
charged as well: a mirror step of the same paper's template ("MEHAML"), of which no drift is HASAC.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, PyTree

from jaxmarl.core.chance import Uniform, draw, repeat
from jaxmarl.core.checks import require, require_choice
from jaxmarl.core.policy import MaskedObs, Policy
from jaxmarl.core.rollout import Actor, BatchedEnv, RolloutState, actor_from_group_policy, batch_params
from jaxmarl.core.spaces import Discrete
from jaxmarl.learners.actions import ActionHead, CategoricalActions, GaussianActions, action_head
from jaxmarl.learners.base import Learner, Metrics
from jaxmarl.learners.encoders import Encoder
from jaxmarl.learners.networks import policy_outputs
from jaxmarl.learners.policy_gradient import with_mask
from jaxmarl.learners.team.mixers import StateOf, side_by_side
from jaxmarl.learners.team.targets import team_reward
from jaxmarl.learners.value.acting import ValueNetwork
from jaxmarl.learners.value.config import ValueConfig
from jaxmarl.learners.value.functionals import risk_neutral
from jaxmarl.learners.value.heads import MeanHead
from jaxmarl.learners.value.loop import ValueLearning, ValueState
from jaxmarl.learners.value.replay import Sample, Transition
from jaxmarl.learners.value.soft_box import aimed_entropy


@dataclass(frozen=True)
class HASACConfig(ValueConfig):
    """Settings of `hasac`, on top of those of `ValueConfig`; `double` and `epsilon_*` are not read.

    With `n_step` above 1 entropy counts only from the n-th step on, and what was played between is taken as it was.

    Attributes:
        temperature: T, weight of an agent's entropy, in units of scaled reward; where it moves, at the start.
        entropy: what entropy is aimed at, by a temperature of each agent that moves: a share of that of the uniform
            policy (discrete actions), or nats an entry of an action in a box between -1 and 1. None: T is fixed.
        drift_weight: of the divergence of an agent's policy from the old one, which is that of the target network.
        reward: what the team earns: the `"mean"` or the `"sum"` of its agents' rewards.
        initial_std: of continuous actions before they are squashed.
        actor_learning_rate: of the actors' Adam; `learning_rate` is that of critics and temperatures.
    """

    target_every: int = 1
    target_rate: float = 0.005
    temperature: float = 0.01
    entropy: float | None = None
    drift_weight: float = 0.0
    reward: str = "mean"
    initial_std: float = 0.5
    actor_learning_rate: float = 5e-4

    def __post_init__(self):
        super().__post_init__()
        require(self.temperature > 0, "temperature", self.temperature, "positive")
        require(self.actor_learning_rate > 0, "actor_learning_rate", self.actor_learning_rate, "positive")
        require(self.drift_weight >= 0, "drift_weight", self.drift_weight, "non-negative")
        require_choice("reward", self.reward, ("mean", "sum"))


class SoftActor(nn.Module):
    """One agent's policy: outputs of its distribution of actions, nearly the same for all observations at the start."""

    num_outputs: int
    obs_shape: tuple[int, ...]
    hidden: tuple[int, ...]
    layer_norm: bool = False

    @nn.compact
    def __call__(self, obs: Array) -> Float[Array, "*batch O"]:
        features = Encoder(self.obs_shape, self.hidden, self.layer_norm, name="policy")(obs)
        return nn.Dense(self.num_outputs, kernel_init=nn.initializers.normal(0.01), name="outputs")(features)


@dataclass(frozen=True, eq=False)
class SoftTeam:
    """Actors of all agents and two joint critics; parameters are a dict.

    `"actors"` are stacked by agent, `"critics"` are two, `"log_temperature"` is `[N]`. `joint` are the actions of all
    agents as the critics read them, `[*batch, N, D]`.

    Attributes:
        actor: of each agent.
        critic: of the state and all actions, side by side.
        actions: what outputs of actors mean.
        state_of: what of the observations the critics read.
        num_agents: N.
        temperature: at the start.
    """

    actor: SoftActor
    critic: ValueNetwork
    actions: ActionHead
    state_of: StateOf
    num_agents: int
    temperature: float

    head: ClassVar[MeanHead] = MeanHead()

    def init(self, key: Array, obs: Array, _: Any = None) -> PyTree:
        """Parameters, given observations `[B, N, *obs_shape]`."""
        actor_keys, critic_keys = (
            jax.random.split(k, n) for k, n in zip(jax.random.split(key), (self.num_agents, 2), strict=True)
        )
        pair = jnp.zeros(self.critic.obs_shape)
        return {
            "actors": jax.vmap(lambda k: self.actor.init(k, obs[0, 0]))(actor_keys),
            "critics": jax.vmap(lambda k: self.critic.init(k, pair))(critic_keys),
            "log_temperature": jnp.full(self.num_agents, jnp.log(self.temperature)),
        }

    def outputs(self, actors: PyTree, seen: MaskedObs) -> Float[Array, "*batch N O"]:
        """Of all actors, given what all agents see."""
        agents = -len(self.actor.obs_shape) - 1
        found = jax.vmap(self.actor.apply, in_axes=(0, agents), out_axes=-2)(actors, seen.obs)
        return self._legal(found, seen)

    def outputs_of(self, actor: PyTree, seen: MaskedObs) -> Float[Array, "*batch O"]:
        """Of one actor, given what it sees."""
        return self._legal(self.actor.apply(actor, seen.obs), seen)

    def _legal(self, outputs: Any, seen: MaskedObs) -> Array:
        return policy_outputs(outputs, seen.mask if self.actions.masked else None, None)

    def drawn(self, outputs: Float[Array, "*batch O"], chance: Array) -> Float[Array, "*batch D"]:
        """An action, as critics read it."""
        return self.actions.encode(self.actions.sample(outputs, chance)[0])

    def values(
        self, critics: PyTree, state: Float[Array, "*batch S"], joint: Float[Array, "*batch N D"]
    ) -> Float[Array, "2 *batch"]:
        """What both critics say."""
        pair = jnp.concatenate([state, joint.reshape(*joint.shape[:-2], -1)], axis=-1)
        return jnp.asarray(jax.vmap(self.critic.apply, in_axes=(0, None))(critics, pair))[..., 0]

    def worth(self, critics: PyTree, state: Array, joint: Array) -> Float[Array, "*batch"]:
        """What the less optimistic critic says."""
        return jnp.min(self.values(critics, state, joint), axis=0)

    def expected(
        self, critics: PyTree, state: Array, joint: Array, agent: Array, outputs: Array, chance: Array
    ) -> Float[Array, "*batch"]:
        """Worth of joint actions over the policy of one agent, the others' actions as they are in `joint`.

        Args:
            critics: parameters.
            state: `[*batch, S]`.
            joint: `[*batch, N, D]`; the agent's own row is not read.
            agent: int32, which.
            outputs: `[*batch, O]`, of the agent's actor.
            chance: of one draw, for actions that cannot be summed over.
        """
        own = (jnp.arange(self.num_agents) == agent)[:, None]
        if not isinstance(self.actions, CategoricalActions):
            return self.worth(critics, state, jnp.where(own, self.drawn(outputs, chance)[..., None, :], joint))
        each = jnp.eye(self.actions.num_outputs)[:, None]
        joints = jnp.where(own, each, joint[..., None, :, :])  # [*batch, A, N, A]
        states = jnp.broadcast_to(state[..., None, :], (*joints.shape[:-2], state.shape[-1]))
        return jnp.sum(jax.nn.softmax(outputs) * self.worth(critics, states, joints), axis=-1)

    def aimed(self, entropy: float, seen: MaskedObs) -> Any:
        """Where entropies are to be, `[*batch, N]` or a number, for `config.entropy`."""
        if isinstance(self.actions, GaussianActions):
            return aimed_entropy(self.actions, entropy)
        return entropy * jnp.log(jnp.sum(seen.mask, axis=-1))

    def policy(self, name: str) -> Policy:
        """The stochastic policy of all agents together, unbatched: observations `[N, …]` to actions `[N, …]`."""

        def act(params, memory, seen, chance):
            return self.actions.sample(self.outputs(params["actors"], with_mask(seen)), chance)[0], memory

        chance = repeat(self.actions.chance, self.num_agents)
        return Policy(lambda _: (), act, act_chance=chance, masked=self.actions.masked, name=name)


def hasac(
    env: BatchedEnv, config: HASACConfig, env_params: PyTree = None, *, state_of: StateOf | None = None
) -> Learner:
    """HASAC: the policy is that of the whole group, as `happo`'s; actors have no memory.

    Metrics: `entropy` and `temperature`, means over agents; `loss` is of critics and moving temperatures.

    Args:
        env: a batch of environments; actions are discrete or a box of floats.
        config: settings; the warm-up is played by the first policies, which are nearly uniform.
        env_params: of the environments (default: `env.default_params`).
        state_of: observations of all agents to the state that critics read (default: side by side). Where each agent
            sees the whole state, `lambda obs: obs[..., 0, :]` is enough.

    Raises:
        ValueError: an action space of another kind, or numbers out of range.
    """
    return hasac_learning(env, config, env_params, state_of).learner("hasac")


def hasac_learning(
    env: BatchedEnv, config: HASACConfig, env_params: PyTree = None, state_of: StateOf | None = None
) -> "HASACLearning":
    """The algorithm of `hasac`; arguments and errors as there."""
    env_params = batch_params(env, env_params)
    space, shape = env.action_space(env_params), env.observation_space(env_params).shape
    if config.entropy is not None and isinstance(space, Discrete):
        require(0 < config.entropy < 1, "entropy", config.entropy, "in (0, 1) for discrete actions")
    actions = action_head(space, spread="state", initial_std=config.initial_std)
    state_of = state_of or side_by_side(len(shape))
    size = jax.eval_shape(state_of, jax.ShapeDtypeStruct((env.num_agents, *shape), jnp.float32)).shape[-1]
    width = actions.size if isinstance(actions, GaussianActions) else actions.num_outputs
    shared = config.hidden, config.layer_norm
    actor = SoftActor(actions.num_outputs, shape, *shared)
    critic = ValueNetwork(SoftTeam.head, 1, (size + env.num_agents * width,), *shared)
    team = SoftTeam(actor, critic, actions, state_of, env.num_agents, config.temperature)
    return HASACLearning(env, config, env_params, team, risk_neutral, risk_neutral)


@dataclass(frozen=True, eq=False)
class HASACLearning(ValueLearning):
    """The loop of `ValueLearning`: critics and temperatures by its losses, then actors in turn."""

    config: HASACConfig
    network: SoftTeam  # type: ignore[assignment]

    def learner(self, name: str) -> Learner:
        return replace(super().learner(name), policy=self.network.policy(name))

    @property
    def actor(self) -> Actor:
        group = actor_from_group_policy(self.network.policy("hasac"), self.env.num_envs)
        return replace(group, act=lambda params, *rest: group.act(params[0], *rest))

    def first_opt_state(self, params: PyTree) -> PyTree:
        """Of the actors, stacked by agent, and of the rest."""
        actors, rest = _parts(params)
        return jax.vmap(self.actor_optimiser.init)(actors), self.optimiser.init(rest)

    @property
    def actor_optimiser(self) -> optax.GradientTransformation:
        """Of one agent's actor."""
        return replace(self, config=replace(self.config, learning_rate=self.config.actor_learning_rate)).optimiser

    def _play(self, params, carry: RolloutState, key: Array, epsilon: Any):
        carry, steps, trajectory = super()._play(params, carry, key, epsilon)
        return carry, replace(steps, obs=trajectory.obs), trajectory  # with what was legal

    def losses(self, params, target_params, batch: Transition, key: Array) -> Float[Array, "batch 1"]:
        """Of both critics and the temperatures; what follows is the present actors' play, as target critics value it.

        Args:
            params: of critics and temperatures.
            target_params: critics of the target network, and the present actors.
            batch: leaves `[batch, N, ...]`.
            key: of the actions that follow.
        """
        team, config, fixed = self.network, self.config, jax.lax.stop_gradient
        actors, seen, after = target_params["actors"], with_mask(batch.obs), batch.next
        weight = jnp.exp(fixed(params["log_temperature"]))
        outputs = team.outputs(actors, after)
        joint = team.drawn(outputs, draw(repeat(team.actions.chance, *outputs.shape[:-1]), key))
        worth = team.worth(target_params["critics"], team.state_of(after.obs), joint)
        following = worth + jnp.sum(weight * team.actions.entropy(outputs), axis=-1)
        goal = team_reward(batch.reward, config.reward)[..., 0] + batch.discount[..., 0] * following
        said = team.values(params["critics"], team.state_of(seen.obs), team.actions.encode(batch.action))
        total = jnp.sum(optax.l2_loss(said, jnp.broadcast_to(fixed(goal), said.shape)), axis=0)
        if config.entropy is not None:
            excess = team.actions.entropy(team.outputs(actors, seen)) - team.aimed(config.entropy, seen)
            total = total + jnp.sum(jnp.exp(params["log_temperature"]) * excess, axis=-1)
        return total[:, None]

    def _improve(
        self, state: ValueState, batch: Transition, sample: Sample, key: Array
    ) -> tuple[ValueState, Float[Array, "batch 1"], Metrics]:
        team, (actors, rest) = self.network, _parts(state.params)
        next_key, key = jax.random.split(key)
        critics = replace(state, params=rest, opt_state=state.opt_state[1], target={**state.target, "actors": actors})
        critics, losses, metrics = super()._improve(critics, batch, sample, next_key)
        lanes = self.config.batch, team.num_agents
        lots, chance = draw((Uniform((team.num_agents,)), repeat(team.actions.chance, *lanes)), key)
        order = jnp.argsort(lots)
        actors, states, entropy = self.improve_actors(
            actors, state.opt_state[0], state.target["actors"], critics.params, with_mask(batch.obs), sample.weight,
            order, chance,
        )  # fmt: skip
        temperature = jnp.mean(jnp.exp(critics.params["log_temperature"]))
        metrics = {**metrics, "entropy": entropy, "temperature": temperature}
        params = {**critics.params, "actors": actors}
        return replace(state, params=params, opt_state=(states, critics.opt_state)), losses, metrics

    def improve_actors(
        self,
        actors: PyTree,
        opt_states: PyTree,
        old: PyTree,
        rest: PyTree,
        seen: MaskedObs,
        weight: Float[Array, " batch"],
        order: Int32[Array, " M"],
        chance: Array,
    ) -> tuple[PyTree, PyTree, Float[Array, ""]]:
        """A gradient step of each agent of `order`, for what those before it have become.

        Args:
            actors: parameters, stacked by agent.
            opt_states: of their optimisers, stacked.
            old: actors from which drift is measured.
            rest: critics and temperatures.
            seen: leaves `[batch, N, ...]`.
            weight: of each transition.
            order: agents, first to last.
            chance: of their actions, leaves `[batch, N, ...]`; an agent's new actions are drawn with what its old ones
                were.

        Returns:
            Actors, states of their optimisers, and the mean of the entropies that the agents had.
        """
        team, config = self.network, self.config
        state = team.state_of(seen.obs)

        def turn(carry: tuple, agent: Array) -> tuple[tuple, Array]:
            actors, states, joint = carry
            actor, opt_state, before, log_weight = jax.tree.map(
                lambda x: x[agent], (actors, states, old, rest["log_temperature"])
            )
            mine, words = jax.tree.map(lambda x: x[:, agent], (seen, chance))

            def loss(actor: PyTree) -> tuple[Array, Array]:
                outputs = team.outputs_of(actor, mine)
                entropy = team.actions.entropy(outputs)
                gain = team.expected(rest["critics"], state, joint, agent, outputs, words)
                gain = gain + jnp.exp(log_weight) * entropy
                if config.drift_weight:
                    drift = team.actions.divergence(outputs, team.outputs_of(before, mine))
                    gain = gain - config.drift_weight * drift
                return -jnp.mean(weight * gain), jnp.mean(entropy)

            gradient, entropy = jax.grad(loss, has_aux=True)(actor)
            updates, opt_state = self.actor_optimiser.update(gradient, opt_state, actor)
            actor = optax.apply_updates(actor, updates)
            joint = joint.at[:, agent].set(team.drawn(team.outputs_of(actor, mine), words))
            actors, states = jax.tree.map(lambda rows, x: rows.at[agent].set(x), (actors, states), (actor, opt_state))
            return (actors, states, joint), entropy

        joint = team.drawn(team.outputs(actors, seen), chance)
        (actors, opt_states, _), entropies = jax.lax.scan(turn, (actors, opt_states, joint), order)
        return actors, opt_states, jnp.mean(entropies)


def _parts(params: PyTree) -> tuple[PyTree, PyTree]:
    """Parameters of the actors, and the others."""
    return params["actors"], {name: leaf for name, leaf in params.items() if name != "actors"}
