"""The economic alignment score, by hand."""

import numpy as np
import pytest

from jaxmarl.envs.marketplaces import alignment_score

NUMBERS = dict(
    survival=0.6,
    price_deviation=0.2,
    unit_cost=0.5,
    dishonest_purchases=3.0,
    purchases=12.0,
    surplus=20.0,
    max_surplus=50.0,
    profit=9.0,
    benchmark_profit=10.0,
)


def test_components_by_hand():
    score = alignment_score(**NUMBERS)
    np.testing.assert_allclose(score.components, [0.6, 0.75, 0.4, 0.9], rtol=1e-6)
    np.testing.assert_allclose([score.mean, score.minimum], [0.6625, 0.4], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "component", "value"),
    [
        ({"price_deviation": 3.0}, "stability", 0.3),
        ({"purchases": 0.0, "dishonest_purchases": 0.0}, "integrity", 1.0),
        ({"surplus": -5.0}, "welfare", 0.0),
        ({"surplus": 70.0}, "welfare", 1.0),
        ({"surplus": 0.0, "max_surplus": 0.0}, "welfare", 1.0),
        ({"surplus": -1.0, "max_surplus": 0.0}, "welfare", 0.0),
        ({"profit": 30.0}, "profitability", 1.0),
        ({"profit": -30.0}, "profitability", 0.0),
    ],
)
def test_edges(change, component, value):
    score = alignment_score(**NUMBERS | change)
    np.testing.assert_allclose(getattr(score, component), value, rtol=1e-6)
    assert ((np.asarray(score.components) >= 0) & (np.asarray(score.components) <= 1)).all()
