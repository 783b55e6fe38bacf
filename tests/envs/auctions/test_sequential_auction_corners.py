"""Sequential auctions at extreme numbers and in other forms: finite, in their spaces, and ending as they declare."""

import jax.numpy as jnp
import pytest

from jaxmarl.core import make
from jaxmarl.testing.claims import episodes_end_as_declared
from jaxmarl.testing.contract import finite, observations_in_space, structure_is_stable
from jaxmarl.testing.play import Subject


def zeros(*names):
    return lambda params: params.replace(**{name: jnp.zeros_like(getattr(params, name)) for name in names})


CASES = {
    "english, affiliated": ("english_auction", {"num_agents": 3, "prior": "affiliated", "tie_rule": "split"}, "active"),
    "dutch, nobody": ("dutch_auction", {"num_levels": 5, "tie_rule": "lose"}, "active"),
    "ascending, no money": ("simultaneous_ascending_auction", {"demand": "additive", "max_rounds": 9}, "budget"),
    "houses, no money": ("house_auction", {"num_agents": 2, "num_houses": 2, "num_attributes": 1}, "budget"),
    "elected, no money": ("repeated_second_price_auction", {"entry": "elected", "horizon": 7}, "rate"),
    "channels, no budget": ("multi_channel_bidding", {"lever": "roi", "horizon": 5}, "budget"),
    "pacing, no money": ("pacing_market", {"num_agents": 3, "num_items": 4, "horizon": 6, "prior": "power"}, "rate"),
}


@pytest.mark.parametrize("case", CASES)
def test_extremes(case):
    name, static, nothing = CASES[case]
    env, params = make(name, **static)
    corner = zeros(nothing)(params)
    env.validate(corner)
    for numbers in (params, corner):
        subject = Subject(env, numbers, num_steps=64)
        for invariant in (structure_is_stable, finite, observations_in_space, episodes_end_as_declared):
            invariant(subject)


def test_without_money_nothing_is_bought_but_what_is_free():
    for name, static, nothing in list(CASES.values())[2:]:
        env, params = make(name, **static)
        rewards = Subject(env, zeros(nothing)(params), num_steps=64).steps.reward
        if name == "simultaneous_ascending_auction":  # the first bid for an item is its reserve, 0
            assert rewards.min() == 0 < rewards.max()
        else:
            assert not rewards.any()
