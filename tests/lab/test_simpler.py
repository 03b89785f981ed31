"""What is simpler than an operation."""

import pytest

from timersim.lab.operations import (
    OPERATIONS,
    Acquire,
    Crash,
    CrashSending,
    CrashServer,
    Delay,
    Drift,
    Duplicate,
    Exit,
    FailReap,
    Flood,
    Operation,
    PauseInPass,
    PauseServer,
    RaiseInReap,
    Release,
    Reorder,
    RestartServer,
    Reuse,
    SlowReap,
    Stall,
    Start,
    StartServer,
    StepWall,
    StopServer,
    Suspend,
)
from timersim.lab.simpler import in_place_of, simpler_kinds, simpler_numbers, sorted_at_once

A, R = Acquire(0, "s0", after=5, gap=1), Release(0, "s0", gap=2)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (Acquire(0, "s0", after=0), []),
        (Acquire(0, "s0", after=1, gap=1), [Acquire(0, "s0", after=1), Acquire(0, "s0", after=0, gap=1)]),
        (StepWall(5), [StepWall(1), StepWall(2), StepWall(4)]),
        (StepWall(-3), [StepWall(-1), StepWall(-2)]),
        (StepWall(1), []),
        (Drift(-2), [Drift(-1)]),
        (Crash(0, "exit"), [Crash(0, "sigkill")]),
    ],
)
def test_smaller_numbers_come_first_and_simpler_words_last(operation: Operation, expected: list[Operation]) -> None:
    """Numbers go to their least, half way there, and one less, on their side of 0; words to those before them."""
    assert list(simpler_numbers(operation)) == expected


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (A, [[Release(0, "s0", gap=1)]]),
        (CrashSending(1, "buffered", gap=3), [[Crash(1, "sigkill", gap=3)]]),
        (Crash(1, "exit", gap=3), [[Exit(1, gap=3)]]),
        (Reuse(1, 0, gap=3), [[Start(1, gap=3)]]),
        (RaiseInReap(1, 2, gap=3), [[FailReap(1, 2, gap=3)]]),
        *((kind(1, 4, gap=3), [[PauseServer(4, gap=3)]]) for kind in (Delay, Reorder, Stall, SlowReap)),
        (PauseInPass("reaped", 4, gap=3), [[PauseServer(4, gap=3)]]),
        (Suspend(4, gap=3), [[StepWall(4, gap=3)]]),
        (Drift(-20, gap=3), [[StepWall(-1, gap=3)]]),
        (Flood(1, "s0", 1, gap=3), [[Acquire(1, "s0", after=20, gap=3)]]),
        (Flood(1, "s0", 9, gap=3), [[Acquire(1, "s0", after=20, gap=3), Release(1, "s0")]]),
        (Exit(1), []),
        (PauseServer(1), []),
    ],
)
def test_a_kind_gives_way_to_a_simpler_one(operation: Operation, expected: list[list[Operation]]) -> None:
    """What says less stands in its place, at its instant."""
    assert list(simpler_kinds(operation)) == expected


def test_no_kind_comes_back() -> None:
    """Who goes from kind to simpler kind comes to an end: no kind is simpler than itself."""
    examples: list[Operation] = [
        *(Delay(0, 1), Reorder(0, 1), Stall(0, 1), SlowReap(0, 1), PauseInPass("reaped", 1), PauseServer(1)),
        *(A, R, Crash(0, "exit"), CrashSending(0, "buffered"), Exit(0), Reuse(0, 1), Start(0), Flood(0, "s0", 3)),
        *(RaiseInReap(0, 1), FailReap(0, 1), Suspend(1), Drift(1), StepWall(1), RestartServer()),
    ]
    simpler = {type(o): {type(each) for kinds in simpler_kinds(o) for each in kinds} for o in examples}

    for kind in OPERATIONS.values():
        seen: set[type[Operation]] = set()
        ahead = simpler.get(kind, set())
        while ahead:
            seen |= ahead
            ahead = {further for each in ahead for further in simpler.get(each, set())} - seen
        assert kind not in seen


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([A, PauseServer(1)], [[PauseServer(1, gap=1), A.but(gap=0)]]),
        ([A, PauseServer(1, gap=1)], []),
        ([PauseServer(1), A.but(gap=0)], []),
        ([R, A.but(gap=0)], [[A.but(gap=2), R.but(gap=0)]]),
        ([A, Acquire(1, "s0", after=3)], [[Acquire(1, "s0", after=3, gap=1), A.but(gap=0)]]),
    ],
)
def test_what_happens_at_once_is_sorted(operations: list[Operation], expected: list[list[Operation]]) -> None:
    """Of two neighbours at one instant the fault goes first, then who is due sooner; the instant stays."""
    assert list(sorted_at_once(operations)) == expected


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        (
            [StopServer(gap=1), A, StartServer(gap=4), R],
            [PauseServer(5, gap=1), A, R.but(gap=6)],
        ),
        ([CrashServer(gap=1), StartServer(gap=4), R], [RestartServer(gap=1), R.but(gap=6)]),
        ([CrashServer(gap=1), A, StartServer(gap=4)], [A.but(gap=2), RestartServer(gap=4)]),
        ([CrashServer(gap=1), StartServer()], [PauseServer(1, gap=1)]),
        ([PauseServer(1), R, A, R], [PauseServer(1), Flood(0, "s0", 4, gap=2)]),
        ([Flood(0, "s0", 3, gap=1), R], [Flood(0, "s0", 4, gap=1)]),
        ([FailReap(0, 2, gap=1), R, RaiseInReap(0, 1, gap=1)], [FailReap(0, 3, gap=1), R]),
        ([SlowReap(0, 1), A, R], [Duplicate(0, 1, gap=1), A.but(gap=0)]),
        ([A, SlowReap(0, 1), R], [Duplicate(0, 1, gap=1), A.but(gap=0)]),
    ],
)
def test_one_operation_stands_for_several(operations: list[Operation], expected: list[Operation]) -> None:
    """One takes the place of a way and back of the server, of requests in a row, or of two under another fault."""
    assert expected in list(in_place_of(operations))


@pytest.mark.parametrize(
    "operations",
    [[A, R, A], [FailReap(0, 1), FailReap(1, 1)], [StartServer(), StopServer()], [PauseServer(1), A], [A, R]],
)
def test_nothing_stands_for_what_needs_no_fault(operations: list[Operation]) -> None:
    """Requests without any fault stay as they are, and so does a server that comes before it goes."""
    assert list(in_place_of(operations)) == []


def test_what_takes_the_place_of_several_is_shorter() -> None:
    """Whatever it is, it has fewer operations."""
    operations = [CrashServer(), A, R, StopServer(), SlowReap(0, 1), R, StartServer(gap=2), Flood(0, "s0", 2)]

    assert all(len(each) < len(operations) for each in in_place_of(operations))
