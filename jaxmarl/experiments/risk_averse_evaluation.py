"""What populations do to each other: means, variances, tails and harm, against opponents they were not trained with."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxmarl.core.matches import Matches, play_steps
from jaxmarl.core.policy import Policy
from jaxmarl.core.seating import Player, Seating
from jaxmarl.core.vector import VectorEnv
from jaxmarl.experiments.risk_averse import Sizes, Task, Trained, make_oracle

TAIL = 0.05  # of the conditional value at risk


def scripted_players(task: Task) -> dict[str, Player]:
    """The game's scripted policies, made to read what learners see."""
    shape = task.env.observation_space(task.params).shape
    policies = task.env.benchmarks(task.params)
    return {name: Player(_reading(policy, shape)) for name, policy in policies.items() if isinstance(policy, Policy)}


def _reading(policy: Policy, shape: tuple[int, ...]) -> Policy:
    def act(params: Any, memory: Any, obs: Array, chance: Any) -> Any:
        return policy.act(params, memory, obs[:-2].reshape(shape), chance)

    return Policy(policy.init, act, init_chance=policy.init_chance, act_chance=policy.act_chance, name=policy.name)


class CrossTable:
    """Plays all pairs of learned and scripted players of a task; compiled once for as many learned ones.

    Args:
        task: the game.
        sizes: of the networks.
        num_members: learned policies.
        episodes: of every ordered pair.
    """

    def __init__(self, task: Task, sizes: Sizes, num_members: int, episodes: int) -> None:
        self.task, self.episodes, self.num_members = task, episodes, num_members
        policy = make_oracle(task, sizes, 0.0)(VectorEnv(task.game, 2), task.params).policy
        self.scripted = scripted_players(task)
        players = (Player(policy, members=num_members), *self.scripted.values())
        total = num_members + len(self.scripted)
        pairs = np.stack(np.meshgrid(np.arange(total), np.arange(total), indexing="ij"), axis=-1).reshape(-1, 2)
        seating = Seating(task.game, players, np.repeat(pairs, episodes, axis=0))
        self._call = jax.jit(self._player(seating))

    def _player(self, seating: Seating) -> Callable[[Any, Array], tuple[Array, dict[str, Array]]]:
        names = (self.task.harm, *self.task.counts)

        def keep(matches: Matches, reward: Array, info: Any) -> dict[str, Array]:
            # what happens to a match as a whole happens to both
            shape = (*matches.alive.shape, 2)
            each = {name: info[name] if info[name].ndim == 2 else info[name][:, None] for name in names}
            return {name: jnp.broadcast_to(x, shape).astype(jnp.int8) for name, x in each.items()}

        def play(population: Any, key: Array) -> tuple[Array, dict[str, Array]]:
            params = (population, *(player.params for player in self.scripted.values()))
            steps = self.task.game.horizon or 0
            matches, kept = play_steps(seating, params, key, self.task.params, steps, keep)
            return matches.returns, jax.tree.map(lambda x: jnp.sum(x, axis=0, dtype=jnp.int32), kept)

        return play

    def play(self, population: Any, key: Array) -> dict[str, Float[np.ndarray, "K K episodes"]]:
        """By name (`"return"` and counts) what each player (row) got against each (column), in either seat.

        Returns:
            Arrays `[K, K, 2 * episodes]`, learned players first.
        """
        returns, counts = self._call(population, key)
        total = self.num_members + len(self.scripted)
        tables = {}
        for name, values in {"return": returns, **counts}.items():
            table = np.asarray(values, float).reshape(total, total, self.episodes, 2)
            tables[name] = np.concatenate([table[..., 0], table[..., 1].swapaxes(0, 1)], axis=-1)
        return tables


def statistics(
    tables: Mapping[str, np.ndarray], harm: str, own: Float[np.ndarray, " K"], others: Float[np.ndarray, " K"]
) -> dict[str, float]:
    """Mean, variance and tail of the return of a mixture against another, and how often things happen in an episode.

    Args:
        tables: of `CrossTable.play`.
        harm: name of what is to be avoided.
        own: `[K]`, probabilities of the own strategies.
        others: `[K]`, of the opponents.

    Returns:
        `mean`, `variance` (of an episode), `between` (the part of it that the draw of the opponent makes), `cvar`,
        `min`, `harm_rate` (episodes with any of it, of 1000), and means of all counts.
    """
    returns = tables["return"]
    cells = own[:, None] * others[None, :]
    weights = np.repeat(cells[..., None], returns.shape[-1], axis=-1) / returns.shape[-1]
    mean = float(np.sum(weights * returns))
    against = own @ returns.mean(axis=-1)
    found = {
        "mean": mean,
        "variance": float(np.sum(weights * (returns - mean) ** 2)),
        "between": float(np.sum(others * (against - mean) ** 2)),
        "cvar": lower_tail_mean(returns[weights > 0], weights[weights > 0], TAIL),
        "min": float(returns[weights > 0].min()),
        "harm_rate": 1000 * float(np.sum(weights * (tables[harm] > 0))),
    }
    return found | {name: float(np.sum(weights * table)) for name, table in tables.items() if name != "return"}


def lower_tail_mean(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], share: float) -> float:
    """Mean of the lowest `share` of a weighted sample (conditional value at risk)."""
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order] / weights.sum()
    before = np.cumsum(weights) - weights
    taken = np.clip(share - before, 0, weights)
    return float(np.sum(taken * values) / share)


def evaluate(table: CrossTable, trained: Mapping[str, Trained], key: Array) -> dict[str, dict[str, dict[str, float]]]:
    """Statistics of every method of one seed, by method and opponents.

    Opponents are `"held_out"`, the mixtures of all other methods in equal parts; `"populations"`, their strategies in
    equal parts, early ones included; `"scripted"` policies in equal parts; `"itself"`.
    """
    names, sizes = list(trained), [len(each.weights) for each in trained.values()]
    population = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(each.population for each in trained.values()))
    tables = table.play(population, key)
    total = table.num_members + len(table.scripted)
    first = dict(zip(names, np.cumsum([0, *sizes[:-1]]), strict=True))

    def placed(name: str, weights: np.ndarray) -> np.ndarray:
        vector = np.zeros(total)
        vector[first[name] : first[name] + len(weights)] = weights
        return vector

    mixtures = {name: placed(name, each.weights) for name, each in trained.items()}
    uniform = {name: placed(name, np.full(size, 1 / size)) for name, size in zip(names, sizes, strict=True)}
    scripted = np.zeros(total)
    scripted[table.num_members :] = 1 / len(table.scripted)
    result = {}
    for name in names:
        others = [other for other in names if other != name] or [name]
        opponents = {
            "held_out": np.mean([mixtures[other] for other in others], axis=0),
            "populations": np.mean([uniform[other] for other in others], axis=0),
            "scripted": scripted,
            "itself": mixtures[name],
        }
        harm = table.task.harm
        result[name] = {kind: statistics(tables, harm, mixtures[name], them) for kind, them in opponents.items()}
    return result
