"""Multi-agent marginal inverse Q-learning (Haynam et al. 2025, "MAMQL"): policies and rewards of experts.

What agent i does is judged by a marginal critic `Q̄_i(s, a_i)`, an expectation over what the others do, so that its
policy `softmax(Q̄_i / τ)` is its own to choose and inverse soft Q-learning (Garg et al. 2021, "IQ-Learn") applies to it.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, PyTree

from jaxmarl.core.chance import Uniform
from jaxmarl.core.checks import require, require_int
from jaxmarl.core.policy import MaskedObs, Policy, categorical
from jaxmarl.core.rollout import Actor, BatchedEnv, actor_from_group_policy, batch_params, start_rollout
from jaxmarl.learners.base import Metrics
from jaxmarl.learners.offline.inverse_network import InverseNetwork, JointCritic
from jaxmarl.learners.offline.learning import OfflineLearner, draw_sequences, play, repeat_steps
from jaxmarl.learners.team.config import TeamConfig
from jaxmarl.learners.team.mixers import StateOf
from jaxmarl.learners.team.network import team_network
from jaxmarl.learners.team.targets import TeamStep
from jaxmarl.learners.value.heads import chosen
from jaxmarl.learners.value.loop import value_optimiser


@dataclass(frozen=True)
class MAMQLConfig(TeamConfig):
    """Settings of `mamql`, on top of those of the team; mixer, reward, targets and replay are not used.

    Without `interact` and with `alpha` infinite and `consistency` 0, this is behaviour cloning.

    Attributes:
        temperature: τ of the policies `softmax(Q̄ / τ)`, in units of reward.
        alpha: of the χ² penalty `r² / (4 α)` on recovered rewards; infinity: none. Policies differ from the experts'
            by about `r / (2 α)` of their probabilities; with `interact`, values well above the temperature are needed.
        consistency: weight of the squared distance of a marginal critic to the joint critic's expectation over the
            others' current policies.
        samples: joint actions drawn for that expectation,
        exact: unless there are no more than so many, of which all are then weighed.
        anneal_steps: gradient steps in which the learning rate falls to 0 (0: it does not).
        updates: gradient steps of an update.
        interact: whether an update first plays `collect` steps in every environment, which are then half of the steps
            at which values are pushed down and rewards penalised (Al-Hafez et al. 2023, "LS-IQ"); otherwise these are
            the demonstrations' only.
    """

    mixer: str = "none"
    reward: str = "own"
    temperature: float = 1.0
    alpha: float = 0.5
    consistency: float = 0.1
    samples: int = 8
    exact: int = 16
    updates: int = 100
    interact: bool = False

    def __post_init__(self):
        super().__post_init__()
        require(self.mixer == "none", "mixer", self.mixer, "none")
        for name in ("temperature", "alpha"):
            require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        require(self.consistency >= 0, "consistency", self.consistency, "at least 0")
        require_int("samples", self.samples, 1)
        require_int("exact", self.exact, 0)
        require_int("updates", self.updates, 1)
        require(self.communication is None, "communication", self.communication, "None")


@struct.dataclass
class MAMQLState:
    """State of the learner.

    Attributes:
        params: of the critics and rewards (`InverseNetwork`).
        opt_state: of the optimiser.
        rollout: environments (`RolloutState`), where the learner plays; otherwise `()`.
        key: consumed by the next update.
    """

    params: PyTree
    opt_state: PyTree
    rollout: PyTree
    key: Array


def mamql(
    env: BatchedEnv, config: MAMQLConfig, env_params: PyTree = None, *, state_of: StateOf | None = None
) -> OfflineLearner:
    """A learner of what experts do, and of what they want, from demonstrations; their rewards are not read.

    For each agent it minimises, over recorded steps from s to s',

        -E[φ(r)] + E[V̄(s) - γ V̄(s')],   r = Q̄(s, a_i) - γ V̄(s'),   φ(r) = r - r² / (4 α),   V̄ = τ log Σ exp(Q̄ / τ),

    which without the penalty is τ times the cross-entropy of the experts' actions. Rewards are recovered up to
    potential-based shaping, `c(s) - γ E[c(s')]`, and as means over what the others do: more is not in the data. A
    network of rewards `R_i(s, a_i)` is regressed on r, a joint critic `Q_i(s, a)` on `R_i(s, a_i) + γ V̄_i(s')`.

    Its policy plays for all agents together, a `MaskedObs` of `[N, ...]` to actions drawn from their soft policies.

    Args:
        env: what was played, a `VectorEnv` or `PopulationEnv` with discrete actions; played only with `interact`.
        config: settings.
        env_params: of the environments (default: `env.default_params`).
        state_of: as for `team_q`; read by the joint critic.

    Raises:
        ValueError: actions that are not discrete.
    """
    env_params = batch_params(env, env_params)
    algorithm = _MAMQL(env, config, env_params, inverse_network(env, config, env_params, state_of))
    return OfflineLearner(algorithm.init, algorithm.update, algorithm.policy, lambda state: state.params)


def inverse_network(
    env: BatchedEnv, config: MAMQLConfig, env_params: PyTree = None, state_of: StateOf | None = None
) -> InverseNetwork:
    """The networks of `mamql`, to read rewards and values from its parameters; arguments as there."""
    team = team_network(env, config, env_params, state_of)
    critic = JointCritic(team.agents.num_actions, config.hidden, config.layer_norm)
    return InverseNetwork(team, critic, config.temperature, config.discount, config.samples, config.exact)


@dataclass(frozen=True, eq=False)
class _MAMQL:
    """The algorithm, with everything static in one place."""

    env: BatchedEnv
    config: MAMQLConfig
    env_params: PyTree
    network: InverseNetwork

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return value_optimiser(optax.adam, self.config, self.config.anneal_steps)

    @property
    def policy(self) -> Policy:
        """The soft policies of all agents, who draw independently."""
        network, num = self.network, self.network.team.num_agents

        def act(params, memory, seen: MaskedObs, chance):
            memory, marginal = network.team.step(params["critic"], memory, seen.obs, jnp.zeros((), bool))
            return categorical(network.logits(marginal, seen.mask), chance), memory

        init = lambda chance: network.team.agents.initial_memory((num,))  # noqa: E731
        return Policy(init, act, act_chance=Uniform((num,)), masked=True, name="mamql")

    @property
    def actor(self) -> Actor:
        return actor_from_group_policy(self.policy, self.env.num_envs)

    def init(self, key: Array) -> MAMQLState:
        net_key, env_key, key = jax.random.split(key, 3)
        params = self.network.init(net_key)
        carry = start_rollout(self.env, self.actor, env_key, self.env_params) if self.config.interact else ()
        return MAMQLState(params, self.optimiser.init(params), carry, key)

    def update(self, state: MAMQLState, steps: TeamStep) -> tuple[MAMQLState, Metrics]:
        played = None
        if self.config.interact:
            key, play_key = jax.random.split(state.key)
            carry, played = play(
                self.env, self.actor, state.params, state.rollout, play_key, self.config.collect, self.env_params
            )
            state = replace(state, rollout=carry, key=key)
        return repeat_steps(lambda s, key: self._gradient_step(s, steps, played, key), state, self.config.updates)

    def _gradient_step(
        self, state: MAMQLState, steps: TeamStep, played: TeamStep | None, key: Array
    ) -> tuple[MAMQLState, Metrics]:
        batch, length = self.config.batch, self.config.length
        demo_key, play_key, loss_key = jax.random.split(key, 3)
        demos = draw_sequences(steps, demo_key, batch, length)
        own = None if played is None else draw_sequences(played, play_key, batch, length)
        grads, metrics = jax.grad(self.loss, has_aux=True)(state.params, demos, own, loss_key)
        updates, opt_state = self.optimiser.update(grads, state.opt_state, state.params)
        return replace(state, params=optax.apply_updates(state.params, updates), opt_state=opt_state), metrics

    def loss(
        self, params: PyTree, demos: TeamStep, played: TeamStep | None, key: Array
    ) -> tuple[Float[Array, ""], Metrics]:
        """The inverse objective and the regressions on it.

        Args:
            params: of `InverseNetwork`.
            demos: sequences of the experts' steps, leaves `[L, batch, ...]`.
            played: the same of the learner's own, or None.
            key: of the joint actions that stand for the others' policies.
        """
        config, network = self.config, self.network
        kept = slice(config.burn_in, None)
        found = network.values(params["critic"], demos)
        marginal = chosen(found.marginal, demos.action)
        reward = marginal - found.next_value
        fall, square = (jnp.mean(x[kept]) for x in (found.value - found.next_value, reward**2))
        if played is not None:
            own = network.values(params["critic"], played)
            own_reward = chosen(own.marginal, played.action) - own.next_value
            fall = (fall + jnp.mean((own.value - own.next_value)[kept])) / 2
            square = (square + jnp.mean((own_reward**2)[kept])) / 2
        inverse = fall - jnp.mean(reward[kept]) + square / (4 * config.alpha)

        recovered = chosen(network.run(params["reward"], demos)[1], demos.action)
        state = network.team.state_of(demos.obs)
        joint = chosen(network.critic.apply(params["joint"], state, demos.action), demos.action)
        sides = [(recovered, reward, 1.0), (joint, recovered + found.next_value, 1.0)]
        if config.consistency:
            logits = network.logits(found.marginal, demos.mask)
            expected = network.over_others(*jax.lax.stop_gradient((params["joint"], state, logits)), key)
            sides.append((marginal, chosen(expected, demos.action), config.consistency))
        errors = [jnp.mean((x - jax.lax.stop_gradient(y))[kept] ** 2) for x, y, _ in sides]
        regression = sum(weight * error for error, (_, _, weight) in zip(errors, sides, strict=True))
        metrics = {
            "loss": inverse,
            "reward": jnp.mean(reward[kept]),
            "log_likelihood": jnp.mean((marginal - found.value)[kept]) / config.temperature,
            "reward_error": errors[0],
            "joint_error": errors[1],
        }
        return inverse + regression, metrics
