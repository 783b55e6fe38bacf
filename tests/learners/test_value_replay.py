"""Replay: n steps as one transition, and what is drawn from the ring, inside jit and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmarl.core import VectorEnv
from jaxmarl.core.policy import MaskedObs
from jaxmarl.core.rollout import Actor, rollout, start_rollout
from jaxmarl.learners.value.replay import Replay, Step, merge, steps_of
from jaxmarl.testing.probes import TimeLimited


def numbered(first, length, rows=1, end=(), terminal=()):
    """Steps `[T, B]` numbered from `first`; the reward of a step is its number, ends are given by number."""
    number = jnp.broadcast_to((first + jnp.arange(length, dtype=jnp.float32))[:, None, None], (length, rows, 1))
    terminated = jnp.isin(number[..., 0], jnp.array([*terminal, -1.0]))
    done = terminated | jnp.isin(number[..., 0], jnp.array([*end, -1.0]))
    after = MaskedObs(number[..., None] + 0.5, jnp.ones((*number.shape, 2), bool))
    return Step(number[..., None], number.astype(jnp.int32), number, after, terminated, done)


def sequence(**ends):
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), numbered(1, 3, **ends))


def test_three_steps_become_one_up_to_the_first_end():
    whole, cut, over = merge(sequence(), 0.5), merge(sequence(end=(2.0,)), 0.5), merge(sequence(terminal=(1.0,)), 0.5)
    # 1 + 2/2 + 3/4, then 0.125 of what follows step 3; a limit keeps what follows, the game's end does not
    found = [[float(x.squeeze()) for x in (t.reward, t.discount, t.span, t.next.obs)] for t in (whole, cut, over)]
    np.testing.assert_allclose(found, [[2.75, 0.125, 0.125, 3.5], [2.0, 0.25, 0.25, 2.5], [1.0, 0.0, 0.5, 1.5]])
    assert int(whole.action.squeeze()) == 1


@pytest.mark.parametrize("priority", [0.0, 1.0])
def test_the_ring_keeps_the_newest_steps_in_order(priority):
    replay = Replay(num_envs=2, capacity=16, batch=64, n_step=2, discount=1.0, priority=priority)

    def play(key):
        state = replay.init(jax.tree.map(lambda x: x[0, 0], numbered(0, 1)))
        more = jax.vmap(lambda k: numbered(3 * k, 3, rows=2))(jnp.arange(4))  # 12 steps a row, of which 8 remain
        state, _ = jax.lax.scan(lambda state, steps: (replay.add(state, steps), None), state, more)
        first = replay.sample(state, key)
        ranked = replay.rank(state, first, jnp.where(first.transition.obs[:, 0, 0] == 7, 1.0, 0.0))
        return first, replay.sample(ranked, key)

    first, second = jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), 3))
    number = np.asarray(first.transition.obs).squeeze()
    assert number.shape == (3, 64)
    assert set(np.unique(number)) == set(range(4, 11))  # a pair never spans the newest step and the oldest
    np.testing.assert_allclose(np.asarray(first.transition.reward).squeeze(), 2 * number + 1)
    np.testing.assert_allclose(np.asarray(first.weight), 1, atol=1e-6)  # all are equally likely at first
    chosen = np.asarray(second.transition.obs).squeeze()
    assert (np.mean(chosen == 7) > 0.99) == bool(priority)  # all others have been drawn, and count for nothing


def test_observations_after_a_time_limit_are_of_the_old_episode():
    """A limit of 3 in roll-outs of 4: what follows step 3 is not the fresh start."""

    def act(params, memory, seen, start, key):
        return jnp.zeros(seen.mask.shape[:2], jnp.int32), memory, ()

    class Counting(TimeLimited):
        def observe(self, state, params):
            return state.t.astype(jnp.float32)[None, None]

    env, actor = VectorEnv(Counting(limit=3), 1), Actor(lambda key: (), act, masked=True)
    params = env.default_params
    state = start_rollout(env, actor, jax.random.key(0), params)
    _, trajectory, last = rollout(env, actor, None, state, jax.random.key(1), params, 4, keep_info=False)
    steps = steps_of(trajectory, last, fixed_horizon=False)
    np.testing.assert_array_equal(steps.obs.ravel(), [0, 1, 2, 0])
    np.testing.assert_array_equal(steps.next.obs.ravel(), [1, 2, 3, 1])
    np.testing.assert_array_equal(steps.done.ravel(), [False, False, True, False])


@pytest.mark.parametrize(
    ("wrong", "name"),
    [({"capacity": 4, "n_step": 3}, "capacity"), ({"priority": 2.0}, "priority"), ({"batch": 0}, "batch")],
)
def test_wrong_arguments_are_named(wrong, name):
    with pytest.raises(ValueError, match=name):
        Replay(**{"num_envs": 2, "capacity": 100, "batch": 4, **wrong})
