"""Soak: schedules a second and core, against the same generator with a loop and a verdict written by hand."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from time import process_time

from timersim.fakes import SimulatedBackend
from timersim.strategies.search import seeded_schedule, tally

from .bare_loop import simulated, verdict
from .side_by_side import compare, in_a_child


def rows(scale: float) -> Iterator[str]:
    """Yields the lines of the report."""
    rounds, schedules = max(1, int(7 * scale)), max(20, int(1_000 * scale))
    result = compare(partial(ours, schedules), partial(floor, schedules), rounds)
    drawing = in_a_child(partial(generator, schedules))
    yield (
        f"soak, 12 operations at most:       {1 / result.ours:6,.0f} schedules a second, by hand"
        f" {1 / result.floor:,.0f} (drawing {drawing / result.floor:.0%} of it), {result.ratio:.2f}x (<= 2x)"
    )


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
