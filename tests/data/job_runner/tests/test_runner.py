"""The runner's steps, under a watchdog in virtual time; and the reaper, one look at a time."""

import pytest
from job_runner.reaper import Reaper
from job_runner.runner import Runner, Step


def test_only_the_job_that_hangs_is_reaped(timer_world):
    """A step within its limit is spared, one that hangs for an hour is not."""
    world = timer_world
    quick = Runner(world.client("quick"), world.clock.time)
    stuck = Runner(world.client("stuck"), world.clock.time)

    quick.run([Step("load", 60, lambda: world.clock.advance(59)), Step("train", 60, lambda: world.clock.advance(59))])
    stuck.run([Step("load", 60, lambda: world.clock.advance(3600))])

    assert world.server.reaped == ["stuck"]


def test_a_step_that_fails_is_not_reaped_later(timer_client, virtual_clock, timer_server):
    """The timer of a step that raised is released."""
    runner = Runner(timer_client("failing"), virtual_clock.time)

    with pytest.raises(ZeroDivisionError):
        runner.run([Step("divide", 60, lambda: 1 / 0)])
    virtual_clock.advance(3600)

    assert timer_server.reaped == []


class Requests:
    """No requests."""

    def size(self):
        return 0

    def get(self, size, timeout):
        return []


@pytest.fixture
def cancelled():
    """Whom the reaper has cancelled."""
    return []


@pytest.fixture
def reaper(virtual_clock, cancelled):
    """A reaper that looks when it is told to."""
    return Reaper(Requests(), cancelled.append, now=virtual_clock.time)


def test_a_job_is_cancelled_once_and_not_a_second_early(reaper, virtual_clock, cancelled):
    """A job is cancelled when its step is due."""
    reaper.note("job", "load", virtual_clock.time() + 60)
    virtual_clock.advance(59)
    reaper.look()
    assert cancelled == []
    virtual_clock.advance(1)
    reaper.look()
    reaper.look()
    assert cancelled == ["job"]


def test_a_step_that_was_released_costs_nobody_his_job(reaper, virtual_clock, cancelled):
    """Who releases in time is spared."""
    reaper.note("job", "load", virtual_clock.time() + 60)
    reaper.note("job", "load", -1)
    virtual_clock.advance(3600)
    reaper.look()
    assert cancelled == []


def test_who_is_due_later_is_cancelled_later(reaper, virtual_clock, cancelled):
    """One job's end does not end the watch over another."""
    reaper.note("first", "load", virtual_clock.time() + 60)
    reaper.note("second", "load", virtual_clock.time() + 90)
    virtual_clock.advance(60)
    reaper.look()
    assert cancelled == ["first"]
    virtual_clock.advance(30)
    reaper.look()
    assert cancelled == ["first", "second"]
