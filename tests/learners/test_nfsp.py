"""NFSP: the reservoir, transitions from own turn to own turn, what is stored, and where it ends on Kuhn poker."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.policy import MaskedObs
from jaxmarl.envs.trees import KuhnPoker, behaviour_strategies
from jaxmarl.games.extensive_metrics import extensive_nash_conv
from jaxmarl.learners import NFSPConfig, nfsp, over_seeds
from jaxmarl.learners.reservoir import Reservoir
from jaxmarl.learners.value.replay import Step, merge_turns

SMALL = {"hidden": (8,), "collect": 4, "rounds": 5, "batch": 16, "average_batch": 16, "capacity": 800, "warmup": 64}


@pytest.fixture(scope="module")
def learned():
    """A learner, its first parameters, and its state and metrics after one update."""
    learner = nfsp(VectorEnv(KuhnPoker(), 16), NFSPConfig(anticipation=0.3, reservoir=500, **SMALL))

    @jax.jit
    def run(key):
        state = learner.init(key)
        return state.params, *learner.update(state)

    return learner, *run(jax.random.key(0))


def test_each_entry_is_kept_with_the_same_probability():
    reservoir, length, block, runs = Reservoir(8, 4), 40, 10, 4000

    @jax.jit
    @jax.vmap
    def kept(key):
        def add(state, inputs):
            first, key = inputs
            entries = first + jnp.arange(block)
            return reservoir.add(state, entries, entries % 5 != 4, jax.random.uniform(key, (block,))), None

        state = reservoir.init(jnp.zeros((), jnp.int32))
        firsts = jnp.arange(0, length, block)
        state, _ = jax.lax.scan(add, state, (firsts, jax.random.split(key, len(firsts))))
        return state

    states = kept(jax.random.split(jax.random.key(0), runs))
    assert (np.asarray(states.seen) == 32).all()
    shares = np.bincount(np.asarray(states.entries).ravel(), minlength=length) / runs
    counted = np.arange(length) % 5 != 4
    assert shares[~counted].tolist() == [0] * 8
    error = np.sqrt(0.25 * 0.75 / runs)
    np.testing.assert_allclose(shares[counted], 8 / 32, atol=4.5 * error)  # 32 shares at once
    for entries in np.asarray(states.entries)[:20]:
        assert len(set(entries.tolist())) == 8


def test_a_reservoir_fills_in_order_and_says_when_it_is_empty():
    reservoir = Reservoir(8, 4)
    empty = reservoir.init(jnp.zeros((), jnp.int32))
    assert not bool(reservoir.sample(empty, jax.random.key(0))[1])
    entries, counts = jnp.array([7, 8, 9]), jnp.array([True, False, True])
    some = jax.jit(reservoir.add)(empty, entries, counts, jnp.full(3, 0.9))
    assert some.entries.tolist() == [7, 9, 0, 0, 0, 0, 0, 0]
    batch, there = reservoir.sample(some, jax.random.key(0))
    assert bool(there)
    assert set(batch.tolist()) <= {7, 9}


def test_turns_are_merged_up_to_the_next_own_one_or_the_end():
    """One sequence of three steps and two agents: the first moves at steps 0 and 2, the second at 1, where it ends."""

    def seen(turns):
        turns = jnp.asarray(turns)[None]
        return MaskedObs(jnp.arange(6.0).reshape(1, 3, 2, 1), jnp.stack([jnp.ones_like(turns), turns], axis=-1))

    def merged(terminated, done):
        now, after = [[True, False], [False, True], [True, False]], [[False, True], [True, False], [False, True]]
        reward = jnp.array([[[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]]])
        ends = jnp.array([terminated]), jnp.array([done])
        steps = Step(seen(now), jnp.zeros((1, 3, 2), jnp.int32), reward, seen(after), *ends)
        return jax.jit(merge_turns, static_argnums=1)(steps, 0.5)

    going, counts = merged([False] * 3, [False] * 3)
    assert counts.tolist() == [[True, False]]
    assert float(going.reward[0, 0]) == 1 + 0.5 * 2
    assert float(going.discount[0, 0]) == 0.25
    assert float(going.next.obs[0, 0, 0]) == 2.0  # what the first agent sees after the second step
    ended, counts = merged([True, False, False], [True, False, False])
    assert counts.tolist() == [[True, False]]
    assert float(ended.reward[0, 0]) == 1
    assert float(ended.discount[0, 0]) == 0
    cut, _ = merged([False] * 3, [True, False, False])
    assert float(cut.discount[0, 0]) == 0.5


def test_the_reservoir_holds_decisions_of_best_responses_only(learned):
    _, _, state, _ = learned
    reservoir = state.replay[1]
    filled = int(reservoir.seen)
    seen = jax.tree.map(lambda x: np.asarray(x[:filled]), reservoir.entries.seen)
    assert seen.mask.all()  # on the move there are two actions in Kuhn poker
    assert (seen.obs.sum(-1) == 1).all()
    # half of the agents are on the move, 30 % of them by their best response
    played = 16 * 4 * 5 + 64
    assert filled == pytest.approx(0.3 * played, abs=5 * np.sqrt(played))


def test_both_networks_learn_and_share_nothing(learned):
    _, first, state, metrics = learned
    assert np.isfinite(float(metrics["loss"]))
    moved = jax.tree.map(lambda x, y: float(jnp.max(jnp.abs(x - y))), first["params"], state.params["params"])
    assert set(moved) == {"response", "average"}
    assert all(max(jax.tree.leaves(part)) > 1e-4 for part in moved.values())


def test_the_policy_is_the_average(learned):
    learner, _, state, _ = learned
    env = KuhnPoker()
    strategies = behaviour_strategies(env, learner.policy, learner.params(state))
    for table, mask in zip(strategies, env.game.masks, strict=True):
        assert table.shape == mask.shape
        np.testing.assert_allclose(table.sum(1), 1, atol=1e-5)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="anticipation must be in"):
        NFSPConfig(anticipation=0.0)
    with pytest.raises(ValueError, match="priority must be 0"):
        NFSPConfig(priority=0.5)


@pytest.mark.slow
def test_the_average_on_kuhn_poker_is_near_equilibrium():
    env = KuhnPoker()
    settings = {"collect": 8, "rounds": 20, "gradient_steps": 2, "learning_rate": 2e-3, "average_rate": 2e-3}
    learner = nfsp(VectorEnv(env, 64), NFSPConfig(epsilon_steps=2_000_000, **settings))
    many = over_seeds(learner, 3)

    @jax.jit
    def gaps(key):
        state = jax.lax.scan(lambda s, _: (many.update(s)[0], None), many.init(key), length=150)[0]
        judge = lambda params: extensive_nash_conv(env.game, behaviour_strategies(env, learner.policy, params))  # noqa: E731
        return jax.vmap(judge)(many.params(state))

    assert float(jnp.mean(gaps(jax.random.key(1)))) < 0.1
