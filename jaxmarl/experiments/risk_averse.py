"""The risk-averse equilibrium of populations, beside populations and training that only look at means.

Tasks, methods and their training; `risk_averse_evaluation` plays what they have learned. The design follows Slumbers
et al. (2023); environments and sizes are this project's own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from jaxmarl.core.checks import require_choice
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.population import PopulationEnv
from jaxmarl.core.rollout import BatchedEnv
from jaxmarl.core.seating import Player
from jaxmarl.core.vector import VectorEnv
from jaxmarl.core.wrappers import ReturnObserved, Wrapper
from jaxmarl.envs.driving import Overtaking
from jaxmarl.envs.gridworlds.stag_hunt import MarkovStagHunt, StagHuntParams
from jaxmarl.learners.base import Learner
from jaxmarl.learners.mean_variance import MeanVarianceEnv
from jaxmarl.learners.ppo import PPOConfig, ppo
from jaxmarl.solvers.psro import Psro, PsroSettings
from jaxmarl.solvers.psro.environment import EnvironmentPsro, Oracle
from jaxmarl.solvers.risk import risk_report

TREMBLE = 0.1


@dataclass(frozen=True)
class Task:
    """A game with something to be afraid of.

    Attributes:
        name: of the task.
        env: the game.
        params: of it.
        harm: name in `info` of `[N]` flags, what is to be avoided.
        counts: names in `info` of other things to count.
    """

    name: str
    env: AnyEnvironment
    params: PyTree
    harm: str
    counts: tuple[str, ...]

    @cached_property
    def game(self) -> ReturnObserved:
        """The game as learners see it: with the return so far."""
        return ReturnObserved(self.env)


def make_task(name: str) -> Task:
    """`"trust_dilemma"`: a stag worth 5 to two hunters, -2 to one; `"overtaking"`: cars that crash for -10."""
    require_choice("task", name, TASKS)
    if name == "overtaking":
        env = Overtaking()
        return Task(name, env, env.default_params, "crashed", ("arrived",))
    hunt = MarkovStagHunt(size=5, num_plants=2, num_steps=25, charges=False)
    params = StagHuntParams(*(jnp.asarray(x, float) for x in (5.0, 2.0, 1.0, 0.5)))
    return Task(name, hunt, params, "gored", ("catches", "plants"))


TASKS = ("trust_dilemma", "overtaking")


@dataclass(frozen=True)
class Method:
    """A way to train.

    Attributes:
        label: for tables.
        kind: `"psro"`, `"self_play"` or `"adversarial"`.
        meta: meta-solver of PSRO.
        risk_aversion: gamma of the oracle (and of the meta-solver, where it is the risk-averse equilibrium).
        meta_risk_aversion: that of the meta-solver alone.
    """

    label: str
    kind: str
    meta: str = ""
    risk_aversion: float = 0.0
    meta_risk_aversion: float = 0.0


METHODS = {
    "psro_rae": Method("PSRO-RAE, gamma = 0.1", "psro", "rae", 0.1, 0.1),
    "psro_rae_strong": Method("PSRO-RAE, gamma = 0.5", "psro", "rae", 0.5, 0.5),
    "psro_nash": Method("PSRO-Nash", "psro", "logit_limit"),
    "psro_uniform": Method("PSRO-uniform", "psro", "uniform"),
    "self_play": Method("self-play", "self_play"),
    "self_play_risk": Method("self-play, gamma = 0.1", "self_play", risk_aversion=0.1),
    "adversarial": Method("adversarial", "adversarial"),
}


@dataclass(frozen=True)
class Sizes:
    """How much is trained: all methods make `responses * updates` updates of 64 episodes.

    Attributes:
        responses: oracle calls of PSRO, the last of which only certifies.
        updates: of PPO, in each.
        episodes: of each new pair of strategies.
        hidden: width of the networks.
    """

    responses: int = 6
    updates: int = 200
    episodes: int = 256
    hidden: int = 32


@dataclass(frozen=True)
class Trained:
    """What a run of a method has learned.

    Attributes:
        population: parameters of its policies, stacked, `[K, …]`.
        weights: `[K]`, how often each is to be played (drawn once an episode).
        certificates: numbers about the run, by name.
    """

    population: PyTree
    weights: np.ndarray
    certificates: dict[str, Any] = field(default_factory=dict)


def ppo_config(task: Task, sizes: Sizes) -> PPOConfig:
    """Of every learner. Returns are not discounted, as their variance could not be."""
    return PPOConfig(
        hidden=sizes.hidden,
        recurrent=False,
        chunk_length=task.game.horizon or 1,
        epochs=4,
        minibatches=4,
        learning_rate=2e-3,
        discount=1.0,
        label_weight=0.0,
        value_norm=True,
        value_decay=0.95,
    )


def make_oracle(task: Task, sizes: Sizes, risk_aversion: float) -> Oracle:
    """PPO on mean, or mean less variance, of the return."""
    config = ppo_config(task, sizes)

    def oracle(env: BatchedEnv, params: PyTree) -> Learner:
        return ppo(MeanVarianceEnv(env, risk_aversion) if risk_aversion else env, config, params)

    return oracle


def trainer(task: Task, method: Method, sizes: Sizes) -> Callable[[Array], Trained]:
    """`train(key)`, compiled at its first call and then used for all seeds."""
    makers = {"psro": _psro, "self_play": _self_play, "adversarial": _adversarial}
    require_choice("kind", method.kind, tuple(makers))
    return makers[method.kind](task, method, sizes)


def _psro(task: Task, method: Method, sizes: Sizes) -> Callable[[Array], Trained]:
    averse = method.meta == "rae"
    aversion: dict[str, Any] = {"risk_aversion": method.meta_risk_aversion, "tremble": TREMBLE} if averse else {}
    settings = PsroSettings(
        capacity=sizes.responses,
        meta_solver=method.meta,
        meta_options=tuple(aversion.items()),
        single_oracle=True,
        tremble=TREMBLE if averse else 0.0,
    )
    game = EnvironmentPsro(
        task.game,
        make_oracle(task, sizes, method.risk_aversion),
        updates=sizes.updates,
        matches=4,
        episodes=sizes.episodes,
        env_params=task.params,
        warm_start=True,
    )
    psro = Psro(game, settings)

    def train(key: Array) -> Trained:
        state = psro.run(key)
        rows, empirical, count = state.rows(), state.empirical, int(state.empirical.sizes[0])
        found: dict[str, Any] = {name: rows[name][:, 0] for name in ("gain", "gain_error", "value")}
        found["payoffs"] = empirical.cells.mean[0, :count, :count]
        if averse:
            report = risk_report(empirical.game, tuple(state.mixtures), variances=empirical.cells.variance, **aversion)
            found["risk_gap"] = report.gap
        population = jax.tree.map(lambda leaf: leaf[:count], state.populations[0])
        weights = np.asarray(state.mixtures[0][:count], float)
        return Trained(population, weights / weights.sum(), {k: np.asarray(v).tolist() for k, v in found.items()})

    return train


def _one(params: PyTree) -> Trained:
    return Trained(jax.tree.map(lambda leaf: leaf[None], params), np.ones(1))


def _self_play(task: Task, method: Method, sizes: Sizes) -> Callable[[Array], Trained]:
    """One network plays both seats of half as many matches."""
    learner = make_oracle(task, sizes, method.risk_aversion)(VectorEnv(task.game, 32), task.params)

    @jax.jit
    def train(key: Array) -> PyTree:
        def update(state: PyTree, _: None) -> tuple[PyTree, None]:
            return learner.update(state)[0], None

        return learner.params(jax.lax.scan(update, learner.init(key), None, sizes.responses * sizes.updates)[0])

    return lambda key: _one(train(key))


@dataclass(frozen=True)
class Opposed(Wrapper):
    """The first player's game: the second one's rewards are its losses."""

    zero_sum = True
    symmetric = False

    def transition(self, state, action, chance, params):
        state, reward, terminated, info = self.env.transition(state, action, chance, params)
        return state, jnp.stack([reward[0], -reward[0]]), terminated, info


def _adversarial(task: Task, method: Method, sizes: Sizes) -> Callable[[Array], Trained]:
    """A protagonist and an adversary that is paid its losses, in turns (as in Pinto et al. 2017)."""
    game, oracle = ReturnObserved(Opposed(task.env)), make_oracle(task, sizes, 0.0)
    policy = oracle(VectorEnv(game, 32), task.params).policy
    arenas = [PopulationEnv(game, (Player(policy),), 64, seat) for seat in (0, 1)]

    def learner(seat: int, rival: PyTree) -> Learner:
        return oracle(arenas[seat], (task.params, (rival,)))

    @jax.jit
    def train(key: Array) -> PyTree:
        keys = jax.random.split(key, 3)
        template = oracle(VectorEnv(game, 32), task.params)
        params = [template.params(template.init(k)) for k in keys[1:]]
        states = tuple(learner(seat, params[1 - seat]).init(keys[seat + 1]) for seat in (0, 1))

        def turn(states: Any, _: None) -> tuple[Any, None]:
            first, second = states
            first = learner(0, second.params).update(first)[0]
            second = learner(1, first.params).update(second)[0]
            return (first, second), None

        return jax.lax.scan(turn, states, None, sizes.responses * sizes.updates // 2)[0][0].params

    return lambda key: _one(train(key))
