"""The Hypothesis hook, met as users do: in interpreters and suites of their own."""

import subprocess
import sys
from collections.abc import Callable

import pytest

import timersim.strategies
from timersim import TimerRequest, announcements, hypothesis_hook
from timersim.lab import Schedule

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.slow

HOOK = ["timersim", "timersim.announcements", "timersim.hypothesis_hook", "timersim.lazy"]


Printed = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def printed_by(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """Returns the lines that a program prints in a new interpreter; it sees what is installed, and no folder beside."""
    folder = tmp_path_factory.mktemp("anywhere")  # one for all: Hypothesis keeps its table of characters there

    def printed(program: str) -> list[str]:
        command = [sys.executable, "-I", "-W", "error", "-c", program]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=folder)
        assert (done.stderr, done.returncode) == ("", 0)
        return done.stdout.splitlines()

    return printed


def test_hypothesis_loads_the_hook_and_next_to_nothing(printed_by: Printed) -> None:
    """`import hypothesis` loads the hook and three small modules of ours."""
    program = "import sys, hypothesis\nprint(*sorted(name for name in sys.modules if name.startswith('timersim')))"

    assert printed_by(program) == [" ".join(HOOK)]


def test_the_hook_loads_nothing_of_others(printed_by: Printed) -> None:
    """Beside Hypothesis the hook needs no module that Python or anybody else has: no psutil, greenlet or json."""
    program = """
import os, sys
os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"
import hypothesis
before = set(sys.modules)
from timersim.hypothesis_hook import register
register()
print(*sorted(sys.modules.keys() - before))
"""
    assert printed_by(program) == [" ".join(HOOK)]


def test_to_import_a_type_loads_neither_hypothesis_nor_a_strategy(printed_by: Printed) -> None:
    """Who imports a type and not Hypothesis has the announcement alone; with Hypothesis, no strategy before a draw."""
    program = """
import sys
from timersim import TimerRequest
from timersim.lab import Schedule
print("hypothesis" in sys.modules, "timersim.hypothesis_hook" in sys.modules)
import hypothesis
print("timersim.strategies" in sys.modules)
"""
    assert printed_by(program) == ["False False", "False"]


TYPES = "from timersim import TimerRequest\nfrom timersim.lab import Schedule\n"
STRATEGIES = "from hypothesis import find, strategies as st\n"
DRAWS = """
print(find(st.from_type(Schedule), lambda schedule: len(schedule) > 0))
print(find(st.from_type(TimerRequest), lambda request: True))
"""


ORDERS = {
    "the types first": TYPES + STRATEGIES,
    "Hypothesis first": STRATEGIES + TYPES,
    "Hypothesis between them": TYPES.replace("\n", "\n" + STRATEGIES, 1),
    "where they are defined": STRATEGIES + TYPES.replace("timersim ", "timersim.api ").replace("lab", "lab.schedule"),
    "by way of the search": "import timersim.strategies.search\n" + TYPES + STRATEGIES,
}


@pytest.mark.parametrize("order", ORDERS)
def test_from_type_knows_our_types_in_any_order_of_imports(printed_by: Printed, order: str) -> None:
    """`from_type` draws what our strategies draw, whatever was imported first and by what way."""
    drawn = printed_by(ORDERS[order] + DRAWS)

    assert drawn == ['Schedule([Acquire(0, "s0", after=5)])', "TimerRequest(1, 's0', 0.0)"]


def test_a_strategy_of_the_users_own_counts(printed_by: Printed) -> None:
    """Who registers a strategy for one of our types has that one, and the other as before."""
    program = f"{STRATEGIES}{TYPES}st.register_type_strategy(Schedule, st.just(Schedule()))\n"

    assert printed_by(program + DRAWS.replace("len(schedule) > 0", "True")) == [
        "Schedule([])",
        "TimerRequest(1, 's0', 0.0)",
    ]


def test_hypothesis_without_plugins_is_left_alone(printed_by: Printed) -> None:
    """With HYPOTHESIS_NO_PLUGINS nothing is registered, and our strategies go on to work."""
    program = f"""
import os
os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"
{STRATEGIES}{TYPES}
from hypothesis.errors import InvalidArgument
from timersim.strategies import timer_requests
try:
    st.from_type(TimerRequest).validate()
except InvalidArgument:
    print("unknown")
print(find(timer_requests(), lambda request: True))
"""
    assert printed_by(program) == ["unknown", "TimerRequest(1, 's0', 0.0)"]


def test_who_asks_for_another_type_meets_none_of_ours(printed_by: Printed) -> None:
    """A schedule is Sized, Hashable and a Sequence; who asks for any of these never meets one."""
    program = f"""
import collections.abc
from hypothesis import seed, settings, given, strategies as st
{TYPES}
kinds = set()
@seed(0)
@settings(database=None, deadline=None, max_examples=300)
@given(*map(st.from_type, [collections.abc.Sized, collections.abc.Hashable, collections.abc.Sequence, object]))
def draw(a, b, c, d):
    kinds.update(map(type, [a, b, c, d]))
draw()
print(len(kinds) > 10, Schedule in kinds, TimerRequest in kinds)
"""
    assert printed_by(program) == ["True False False"]


def test_what_is_announced_is_what_has_a_strategy() -> None:
    """Each type that is announced has a strategy of ours, and the other way round."""
    assert {TimerRequest, Schedule} == set(announcements._announced)
    assert sorted(kind.__name__ for kind in announcements._announced) == sorted(hypothesis_hook.STRATEGIES)
    assert set(hypothesis_hook.STRATEGIES.values()) <= set(timersim.strategies.__all__)


def test_a_parameter_that_is_annotated_is_drawn(pytester: pytest.Pytester) -> None:
    """`@given(...)`, `infer` and `builds` draw what is annotated with one of our types."""
    pytester.makepyfile(
        """
        from dataclasses import dataclass

        from hypothesis import given, infer, settings
        from hypothesis import strategies as st
        from timersim import TimerRequest
        from timersim.lab import Schedule

        settings.register_profile("here", database=None)
        settings.load_profile("here")

        @dataclass
        class Case:
            schedule: Schedule
            requests: list[TimerRequest]

        @given(...)
        def test_all(schedule: Schedule, request_: TimerRequest):
            assert (type(schedule), type(request_)) == (Schedule, TimerRequest)

        @given(schedule=infer)
        def test_one(schedule: Schedule):
            assert type(schedule) is Schedule

        @given(st.builds(Case))
        def test_nested(case):
            assert type(case.schedule) is Schedule
            assert {type(request) for request in case.requests} <= {TimerRequest}
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=3)


SUITE = """
from hypothesis import Phase, example, given, settings
from timersim import TimerRequest
from timersim.lab import Acquire, Schedule

phases = (Phase.explicit, Phase.generate, Phase.shrink)
settings.register_profile("here", database=None, deadline=None, derandomize=True, print_blob=False, phases=phases)
settings.load_profile("here")

{schedule}@given(...)
def test_schedule(schedule: Schedule):
    assert len(schedule) < 2

{request}@given(...)
def test_request(request_: TimerRequest):
    assert request_.expiration_time >= 0
"""


def failing_examples(pytester: pytest.Pytester, schedule: str = "", request: str = "") -> list[str]:
    """Returns what the report of SUITE says of failing examples, whole lines."""
    pytester.makepyfile(SUITE.format(schedule=schedule, request=request))
    result = pytester.runpytest_subprocess("-q", "-p", "no:randomly")
    result.assert_outcomes(failed=2)
    lines = [line.rstrip() for line in result.stdout.lines if line.startswith("E ")]
    begins = [number for number, line in enumerate(lines) if line.endswith((": test_schedule(", ": test_request("))]
    said = [line for begin in begins for line in lines[begin : lines.index("E       )", begin) + 1]]
    return [line.removeprefix("E       ") for line in said]


def test_a_failing_example_can_be_pasted(pytester: pytest.Pytester) -> None:
    """A failing example is printed as a call that makes it, whole; pasted into `@example` it fails as such."""
    schedule = 'Schedule([Acquire(0, "s0", after=5), Acquire(0, "s0", after=5)])'
    request = "TimerRequest(1, 's0', -1.0)"

    assert failing_examples(pytester) == [
        *("Failing test case: test_schedule(", f"    schedule={schedule},", ")"),
        *("Failing test case: test_request(", f"    request_={request},", ")"),
    ]
    assert failing_examples(pytester, f"@example({schedule})\n", f"@example({request})\n") == [
        *("Failing explicit example: test_schedule(", f"    schedule={schedule},", ")"),
        *("Failing explicit example: test_request(", f"    request_={request},", ")"),
    ]
