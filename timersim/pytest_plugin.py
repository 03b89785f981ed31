"""The pytest plugin: backends for a session, worlds for a test. It imports timersim where a fixture is used."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from timersim.backends import ProcessBackend
    from timersim.fakes import SimulatedBackend, SimulatedWorld, VirtualClock
    from timersim.memory_timer import MemoryRequestQueue, MemoryTimerClient


@pytest.fixture(scope="session")
def simulated_backend() -> "SimulatedBackend":
    """timersim's own server with simulated workers in virtual time; goes with `@given`."""
    from timersim.fakes import SimulatedBackend

    return SimulatedBackend()


@pytest.fixture(scope="session")
def process_backend() -> "Iterator[ProcessBackend]":
    """timersim's own server with real workers, really killed, in virtual time; goes with `@given`."""
    from timersim.backends import ProcessBackend

    backend = ProcessBackend()
    backend.warm()
    yield backend
    backend.close()


@pytest.fixture
def timer_world() -> "Iterator[SimulatedWorld]":
    """A watchdog in virtual time, with `.clock`, `.queue`, `.server` and `.client(worker_id)`."""
    from timersim.fakes import simulated_world

    with simulated_world() as world:
        yield world


@pytest.fixture
def virtual_clock(timer_world: "SimulatedWorld") -> "VirtualClock":
    """The clock of `timer_world`."""
    return timer_world.clock


@pytest.fixture
def timer_queue(timer_world: "SimulatedWorld") -> "MemoryRequestQueue":
    """The queue of `timer_world`."""
    return timer_world.queue


@pytest.fixture
def timer_server(timer_world: "SimulatedWorld") -> Any:
    """The watchdog of `timer_world`; `reaped` lists whom it reaped."""
    return timer_world.server


@pytest.fixture
def timer_client(timer_world: "SimulatedWorld") -> "Callable[[Hashable], MemoryTimerClient]":
    """Makes clients of `timer_world`: `timer_client("rank 3")`."""
    return timer_world.client
