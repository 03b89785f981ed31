"""Soak: schedules a second and core, against the same generator with a loop and a verdict written by hand."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from time import process_time

from timersim.fakes import SimulatedBackend
from timersim.strategies.search import seeded_schedule, tally

from .bare_loop import simulated, verdict
from .row import Benchmark, Result, Size, Target, in_time
from .side_by_side import compare, in_a_child


def benchmarks() -> Iterator[Benchmark]:
    """Yields what is measured."""
    against = "the same generator, with a loop and a verdict by hand"
    yield Benchmark("soak, 12 operations at most", against, Target("<=", 2), measured)


def measured(size: Size) -> Result:
    """Times both sides, and beside them the drawing that is in both; the ratio is that of the seconds a schedule."""
    schedules = size.times(1_000, 20)
    result = compare(partial(ours, schedules), partial(floor, schedules), size.rounds(7))
    return in_time(result, "us", ("the drawing alone", in_a_child(partial(generator, schedules))))


def ours(schedules: int) -> float:
    """As a soak's process has it; seconds a schedule."""
    backend = SimulatedBackend()
    backend.contract = replace(backend.contract, survives=frozenset())
    begun = process_time()
    tally(backend, 0, range(schedules))
    return (process_time() - begun) / schedules


def floor(schedules: int) -> float:
    """By hand; seconds a schedule."""
    begun = process_time()
    for number in range(schedules):
        assert not verdict(simulated(seeded_schedule(0, number)))
    return (process_time() - begun) / schedules


def generator(schedules: int) -> float:
    """The drawing alone; seconds a schedule."""
    begun = process_time()
    for number in range(schedules):
        seeded_schedule(0, number)
    return (process_time() - begun) / schedules
