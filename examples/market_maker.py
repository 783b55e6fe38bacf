"""Three ways to quote as a market maker, compared on the same days.

python examples/market_maker.py
"""

import jax

import jaxmarl
from jaxmarl.envs.markets.simulate import simulate


def main() -> None:
    """A thousand days of Avellaneda and Stoikov's market for each rule."""
    env, params = jaxmarl.make("market_making")
    known = env.benchmarks(params)
    for name in ("avellaneda_stoikov", "symmetric", "constant"):
        play = jax.jit(lambda key, rule=known[name]: simulate(env, params, rule, params, key, 1000)[:2])
        gain, end = play(jax.random.key(0))
        held = abs(end.inventory).mean()
        print(f"{name:20} gain {gain.mean():6.2f} ± {gain.std():5.2f} a day, {held:.1f} units held at the end")
    print(f"the best constant quotes should earn {float(known['constant_pnl']):.2f} on average")


if __name__ == "__main__":
    main()
