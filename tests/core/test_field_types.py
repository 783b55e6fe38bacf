"""Fields of environments are of the types they are annotated with; what is wrong is refused in one line."""

from dataclasses import dataclass

import numpy as np
import pytest

import jaxmarl
from jaxmarl.core.checks import require, require_argument_types, require_field_types
from jaxmarl.testing.probes import OneStep


@dataclass(frozen=True)
class Plain:
    size: int = 1
    share: float = 0.5
    name: str = "a"
    flag: bool = False
    maybe: int | None = None
    places: tuple[tuple[int, int], ...] = ()
    anything: object = None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"share": 1, "maybe": 3},
        {"share": np.float32(0.5), "places": ((1, 2), (3, 4))},
        {"share": float("inf"), "anything": []},
    ],
)
def test_plain_types_are_accepted(fields):
    require_field_types(Plain(**fields))


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("size", True, "int"),
        ("size", 1.0, "int"),
        ("size", 2**31, "int"),
        ("share", float("nan"), "float"),
        ("share", "0.5", "float"),
        ("name", None, "str"),
        ("flag", 1, "bool"),
        ("maybe", "x", "int | None"),
        ("places", ((1, 2), (3,)), "tuple"),
        ("places", [(1, 2)], "tuple"),
    ],
)
def test_other_types_are_refused_in_one_line(field, value, allowed):
    with pytest.raises(ValueError, match=f"^{field} must be of type .*{allowed.replace('|', '.')}") as refusal:
        require_field_types(Plain(**{field: value}))
    assert "\n" not in str(refusal.value)


def test_an_environment_s_own_refusal_comes_first_and_the_types_explain_what_it_could_not():
    with pytest.raises(ValueError, match="num_levels must be an integer >= 2, got 'x'"):
        jaxmarl.make("cournot", num_levels="x")
    with pytest.raises(ValueError, match="max_bid must be of type float, got None"):
        jaxmarl.make("first_price_auction", max_bid=None)
    with pytest.raises(ValueError, match=r"starts must be of type .*, got 7"):
        jaxmarl.make("soccer", starts=7)


def test_environments_without_a_check_of_their_own_are_looked_at():
    @dataclass(frozen=True)
    class Sized(OneStep):
        size: int = 1

    assert Sized(size=2).size == 2
    with pytest.raises(ValueError, match="size must be of type int"):
        Sized(size="two")


def test_sizes_beyond_memory_are_refused():
    @dataclass(frozen=True)
    class Large(OneStep):
        size: int = 1

        def __post_init__(self):
            np.zeros((self.size,) * 3)

    with pytest.raises(ValueError, match=r"^Large with \{'size': 100000\} needs more memory than there is$"):
        Large(size=100_000)


def test_arguments_of_functions_and_long_values():
    def function(count: int, unknown: "NotThere" = None):  # type: ignore[name-defined]
        return count

    require_argument_types(function, {"count": "x"})  # its hints cannot be read: nothing is known

    def plain(count: int, other=None):
        return count

    require_argument_types(plain, {"count": 1, "other": "x", "third": 2})
    with pytest.raises(ValueError, match="count must be of type int"):
        require_argument_types(plain, {"count": "x"})
    with pytest.raises(ValueError, match=" … ") as refusal:
        require(False, "payoffs", list(range(10_000)), "fewer")
    assert len(str(refusal.value)) < 300
