"""The README's code runs as it stands."""

import re
from pathlib import Path

import jax

# fewer bots, matches, games and rounds: the same code, sooner
SOONER = {
    "bot_players(env)": 'bot_players(env, ("copybot", "greenberg"))',
    "matches=100": "matches=2",
    "10_000": "500",
    "num_types=64": "num_types=16",
    "bidders=(0,)": "bidders=(0,), num_signals=16, num_samples=256",
}
README = (Path(__file__).parent.parent / "README.md").read_text()


def test_every_python_block_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 7
    names: dict = {"key": jax.random.key(0)}
    for block in blocks:
        for much, less in SOONER.items():
            block = block.replace(much, less)
        exec(block, names)
    assert names["trajectory"].episode_return.shape == (1000, names["matches"].num_envs, 1)
    assert names["reward"].shape == (1,)
    assert float(names["learned"].relative_loss) < 0.01
    assert float(names["loss"].relative_losses.max()) < 0.05
    assert float(names["solutions"].gap.max()) < 1e-6
    assert float(names["solution"].payoffs.sum()) > 10.49
    assert abs(float(names["optimum"].gap)) < 1e-3
    assert set(names["rewards"]) == {"agent_0", "agent_1"}


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README
