"""torch's own server in the laboratory."""

from collections.abc import Iterator

import pytest

from timersim.backends import TorchBackend
from timersim.lab import Acquire, PauseServer, Release, Schedule, StartServer, StopServer, run
from timersim.strategies import find_violations

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def backend() -> Iterator[TorchBackend]:
    """Yields torch's server on real processes."""
    backend = TorchBackend("local")
    yield backend
    backend.close()


def test_torch_reaps_a_hung_process_within_its_interval(backend: TorchBackend) -> None:
    """Torch's watchdog loop, in virtual time, really kills who is hung, when its interval is over."""
    trace = run(Schedule([Acquire(0, "s0", after=5)]), backend)

    assert [(reap.worker, reap.at) for reap in trace.reaps] == [(0, 10)]
    assert trace.violations == []


def test_torch_spares_who_releases(backend: TorchBackend) -> None:
    """Who releases in time lives."""
    trace = run(Schedule([Acquire(0, "s0", after=5), Release(0, "s0", gap=4)]), backend)

    assert (trace.reaps, trace.violations) == ([], [])


def test_torch_attempts_to_kill_who_is_dead(backend: TorchBackend) -> None:
    """Torch takes in one request a pass after a pause: it kills a worker, then registers a timer of the dead one."""
    schedule = Schedule([PauseServer(1), Acquire(0, "s0", after=0), Acquire(0, "s1", after=0)])

    trace = run(schedule, backend)

    assert [violation.headline for violation in trace.violations] == [
        "dead-stay-dead: worker 0 was seen gone at t=1, and a reap was attempted at t=1"
    ]


def test_torch_does_not_guard_again_after_a_restart(backend: TorchBackend) -> None:
    """Torch's `stop` leaves its flag set: the next `start` ends at once, nobody watches, and the hung live on."""
    schedule = Schedule([StopServer(), StartServer(gap=20), Acquire(0, "s0", after=1)])

    trace = run(schedule, backend)

    broken = [violation.invariant.id for violation in trace.violations]
    assert broken == ["reaped-in-time", "restart-guards", "watchdog-survives"]


def test_a_search_finds_the_kill_of_the_dead(backend: TorchBackend) -> None:
    """With default settings the search names dead-stay-dead, shrunk to a handful of operations."""
    report = find_violations(backend, max_examples=200)

    assert "dead-stay-dead" in report.broken
    assert max(len(finding.schedule) for finding in report.findings) <= 6
    assert report.kills >= 100


def test_torch_is_itself_again_after_a_run(backend: TorchBackend) -> None:
    """After a run torch's modules have their own time, threads and os."""
    import os
    import threading
    import time

    from torch.distributed.elastic.timer import api, local_timer

    run(Schedule([Acquire(0, "s0", after=5)]), backend)

    assert (api.time, api.threading, local_timer.os, local_timer.time) == (time, threading, os, time)
