"""A user's test file that uses every fixture and strategy; it passes, and type checkers have nothing to say."""
# pyright: strict

from collections.abc import Callable, Hashable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import timersim
from timersim.backends import ProcessBackend, TorchBackend
from timersim.fakes import SimulatedBackend, SimulatedWorld, VirtualClock, simulated_world
from timersim.lab import Acquire, Backend, Contract, Crash, SavedSchedule, Schedule, Trace, run, saved_schedules
from timersim.strategies import find_violations, schedules, seeded_schedule


def test_world(timer_world: SimulatedWorld) -> None:
    """The hung rank is reaped."""
    with timersim.expires(after=3600, client=timer_world.client("rank3")):
        timer_world.clock.advance(3600)
    assert timer_world.server.reaped == ["rank3"]


def test_views(
    virtual_clock: VirtualClock,
    timer_queue: timersim.MemoryRequestQueue,
    timer_server: timersim.MemoryTimerServer,
    timer_client: Callable[[Hashable], timersim.MemoryTimerClient],
    no_leftovers: None,
) -> None:
    """The views are one world."""
    timer_client("a").acquire("s", virtual_clock.time() + 5)
    virtual_clock.advance(5)
    assert timer_server.reaped == ["a"]
    assert timer_queue.size() == 0


BACKEND = SimulatedBackend(timersim.MemoryTimerServer, contract=Contract(reap_within=5))


@given(schedules(max_workers=3))
@example(Schedule([Acquire(0, "step", after=60), Crash(0, "sigkill", gap=60)]))
def test_property(schedule: Schedule) -> None:
    """The server keeps its contract."""
    trace: Trace = run(schedule, BACKEND)
    trace.check()


@settings(max_examples=10)
@given(schedule=schedules())
def test_backends(
    simulated_backend: SimulatedBackend, process_backend: ProcessBackend, timer_backend: Backend, schedule: Schedule
) -> None:
    """Each backend keeps its contract."""
    for backend in (simulated_backend, process_backend, timer_backend):
        run(schedule, backend).check()


@given(st.from_type(Schedule))
def test_from_type(schedule: Schedule) -> None:
    """A type is enough."""
    assert len(schedule) >= 0


@pytest.mark.timersim(max_interval=30)
def test_marked() -> None:
    """A world is opened by hand."""
    with simulated_world() as world:
        assert world.server.reaped == []


@pytest.mark.parametrize("saved", saved_schedules("."), ids=lambda saved: saved.name)
def test_saved(saved: SavedSchedule, simulated_backend: SimulatedBackend) -> None:
    """What was saved is fixed."""
    run(saved.schedule, simulated_backend).check()


def test_search() -> None:
    """A search finds nothing."""
    assert find_violations(BACKEND, max_examples=10).findings == []
    assert seeded_schedule(0, 1) == seeded_schedule(0, 1)
    assert TorchBackend.is_real
