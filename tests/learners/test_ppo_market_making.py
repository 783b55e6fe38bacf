"""PPO with continuous actions on the market of Avellaneda and Stoikov, whose optimum is known."""

import jax
import pytest

from jaxmarl.experiments import market_making


@pytest.mark.slow
def test_ppo_earns_95_per_cent_of_what_avellaneda_and_stoikov_do():
    """All five seeds, of the closed-form quotes' objective and on average of the optimum; constant quotes earn half."""
    market = market_making.market()
    learned = market_making.train(market, jax.random.key(0))
    found, known = market_making.evaluate(market, learned, jax.random.key(1)), market_making.known_values(market)
    assert found.min() > 0.95 * known["avellaneda_stoikov"]
    assert found.mean() > 0.95 * known["optimal"]
    assert known["constant"] < 0.5 * known["optimal"]
