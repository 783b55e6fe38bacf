"""`check_env`: every invariant of the environment contract, by name."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import PyTree

from jaxmarl.core.checks import require_choice, require_int
from jaxmarl.core.environment import AnyEnvironment
from jaxmarl.core.registry import make
from jaxmarl.testing.claims import CLAIMS
from jaxmarl.testing.contract import CONTRACT, survives_auto_reset
from jaxmarl.testing.play import Subject
from jaxmarl.testing.transforms import TRANSFORMS

INVARIANTS: tuple[Callable[[Subject], None], ...] = (*CONTRACT, *CLAIMS, *TRANSFORMS, survives_auto_reset)


def check_env(
    env: AnyEnvironment,
    params: PyTree = None,
    *,
    corners: Sequence[PyTree] = (),
    num_steps: int = 256,
    seed: int = 0,
    without: Sequence[str] = (),
) -> None:
    """Checks that `env` keeps the environment contract (`core.environment`); for tests of environments and wrappers.

    Every invariant of `INVARIANTS` is checked, in order; each is a function whose docstring states it. Two points on
    ends of episodes: `terminated` and `truncated` may both be true (the game's end then counts), and neither says
    anything about a state that no transition reached.

    Args:
        env: environment to check.
        params: its params, the default ones where None.
        corners: further params (extremes: zero fees, huge volatility …) at which observations and rewards must be
            finite and in their spaces.
        num_steps: steps of random play recorded in one piece. Play goes on past the horizon whatever this is.
        seed: of the random play.
        without: names of invariants that are left out, for adapters of what is not ours to mend.

    Raises:
        AssertionError: one line, `<environment>: <invariant>: <what broke it>`.
        ValueError: an unknown invariant.
    """
    require_int("num_steps", num_steps, 1)
    for name in without:
        require_choice("without", name, [invariant.__name__ for invariant in INVARIANTS])
    subject = Subject(env, env.default_params if params is None else params, tuple(corners), num_steps, seed)
    for invariant in INVARIANTS:
        if invariant.__name__ not in without:
            run_check(type(env).__name__, invariant, subject)


def run_check(name: str, invariant: Callable, *args) -> None:
    """Runs one invariant; whatever it raises becomes a one-line `AssertionError` that names it."""
    try:
        invariant(*args)
    except AssertionError as error:
        raise AssertionError(f"{name}: {invariant.__name__}: {error}") from error
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        what = f"{type(error).__name__}: {first_line}"
        raise AssertionError(f"{name}: {invariant.__name__}: raised {what}") from error


def check_registered(name: str, **static) -> None:
    """`check_env` on the registry's `name`, and the registry's promises: equal values, unknown fields refused.

    Args:
        name: one of `list_envs()`.
        **static: fields of the environment.
    """
    env, params = make(name, **static)
    run_check(name, _made_twice_is_equal, name, static)
    run_check(name, _unknown_fields_are_refused, name)
    check_env(env, params)


def _made_twice_is_equal(name: str, static: dict) -> None:
    first, second = make(name, **static)[0], make(name, **static)[0]
    if first != second or hash(first) != hash(second):
        raise AssertionError("two environments made alike are unequal, so they cannot share compiled code")


def _unknown_fields_are_refused(name: str) -> None:
    try:
        make(name, **{"no_such_field": np.pi})
    except ValueError as error:
        if "\n" in str(error) or "no_such_field" not in str(error):
            raise AssertionError(f"the refusal of an unknown field is not one line naming it: {error}") from error
    else:
        raise AssertionError("an unknown field was accepted")
