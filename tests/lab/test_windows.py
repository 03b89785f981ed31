"""Windows: when a worker must not, may and must be reaped."""

import math
from itertools import pairwise

from hypothesis import given

from timersim import MemoryTimerServer
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import without
from timersim.lab.contract import Contract
from timersim.lab.experiment import run
from timersim.lab.operations import Acquire, Operation, PauseServer, Release
from timersim.lab.schedule import Schedule
from timersim.lab.trace import Trace
from timersim.lab.windows import Window, Word, broken_windows, windows, word_at
from timersim.strategies import schedules

MUST_NOT, MAY, MUST, GONE = Word.MUST_NOT, Word.MAY, Word.MUST, Word.GONE


def trace(*operations: Operation, within: float = 0, safeguard: str = "drain-before-expire") -> Trace:
    """Runs operations on a server without a safeguard."""
    backend = SimulatedBackend(without(safeguard, MemoryTimerServer), contract=Contract(reap_within=within))
    return run(Schedule(operations), backend)


def test_it_may_from_due_on_and_must_by_what_the_contract_allows() -> None:
    """MUST NOT until due, MAY while the contract allows, MUST after."""
    judged = trace(Acquire(0, "a", after=5), within=10)

    assert windows(judged.account, (0, 0)) == [
        Window(MUST_NOT, 0, 5),
        Window(MAY, 5, 15),
        Window(MUST, 15, math.inf),
    ]
    assert [word_at(judged.account, (0, 0), at) for at in (4, 5, 15, 16)] == [MUST_NOT, MAY, MAY, MUST]


def test_where_nothing_may_be_late_must_begins_when_it_is_due() -> None:
    """A time in which it MAY and need not is not told where it is an instant."""
    judged = trace(Acquire(0, "a", after=5))

    assert windows(judged.account, (0, 0)) == [Window(MUST_NOT, 0, 5), Window(MUST, 5, math.inf)]


def test_a_release_closes_the_window() -> None:
    """From its release on a worker that was due MUST NOT be reaped; one released before never may."""
    late = trace(Acquire(0, "a", after=5), Release(0, "a", gap=7), within=10, safeguard="expire-at-the-instant")
    early = trace(Acquire(0, "a", after=5), Release(0, "a", gap=4))

    assert [(each.word, each.begin) for each in windows(early.account, (0, 0))] == [(MUST_NOT, 0)]
    assert [(each.word, each.begin, each.end) for each in windows(late.account, (0, 0))][:2] == [
        (MUST_NOT, 0, 5),
        (MAY, 5, 7 if not late.reaps else 15),
    ]


def test_the_window_that_was_broken_is_where_the_reap_fell() -> None:
    """The window of a wrong reap is MUST NOT, that of a second one GONE, that of a missing one MUST."""
    released = trace(Acquire(0, "a", after=5), PauseServer(6, gap=3), Release(0, "a", gap=1))
    twice = trace(Acquire(0, "a", after=5), safeguard="reap-once")
    late = trace(Acquire(0, "a", after=5), safeguard="expire-at-the-instant")

    def broken(judged: Trace) -> Window | None:
        breach = judged.violations[0].breach
        assert breach.life is not None
        return broken_windows(judged.account, breach.life, breach.at, breach.rule)[1]

    assert broken(released) == Window(MUST_NOT, 0, math.inf)
    assert broken(twice) == Window(GONE, 5, math.inf)
    assert not late.violations or broken(late) == Window(MUST, 5, math.inf)


@given(schedules(max_workers=3))
def test_windows_follow_each_other_and_say_what_the_oracle_says(schedule: Schedule) -> None:
    """Windows have no gap, neighbours differ, and each says what holds in its middle."""
    judged = run(schedule, SimulatedBackend())
    for life in judged.account.lives:
        found = windows(judged.account, life)
        assert [each.end for each in found] == [*(each.begin for each in found[1:]), math.inf]
        assert all(one.word != next_.word for one, next_ in pairwise(found))
        for each in found[:-1]:
            assert word_at(judged.account, life, (each.begin + each.end) / 2) == each.word
