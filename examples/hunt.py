"""Trust in space: who should hunt the stag, by the payoffs of scripted hunters, and a picture of a hunt.

python examples/hunt.py [FILE.gif]
"""

import sys
from itertools import product

import jax
import numpy as np

import jaxmarl
from jaxmarl.core import Player
from jaxmarl.evaluation import play_profiles
from jaxmarl.games import bimatrix_game, pure_equilibria
from jaxmarl.viz.episodes import save_gif


def main(file: str | None = None) -> None:
    """The empirical game of three scripted policies, and its pure equilibria."""
    env, params = jaxmarl.make("markov_stag_hunt")
    known = env.benchmarks(params)
    names = ("gatherer", "hunter", "wary_hunter")
    players = [Player(known[name], params) for name in names]
    played = play_profiles(env, list(product(players, repeat=2)), jax.random.key(0), num_episodes=64)
    returns = np.array([episodes.returns.mean(axis=0) for episodes in played]).reshape(3, 3, 2)
    for name, row in zip(names, returns[..., 0], strict=True):
        print(f"{name:12}", " ".join(f"{value:7.2f}" for value in row))
    game = bimatrix_game(returns[..., 0].astype(np.float32), returns[..., 1].astype(np.float32))
    print("pure equilibria:", [tuple(names[i] for i in cell) for cell in np.argwhere(pure_equilibria(game))])
    if file:
        print("wrote", save_gif([env.render(state, params) for state in played[4].path()], file))


if __name__ == "__main__":
    main(*sys.argv[1:2])
