"""The reaper under every schedule that Hypothesis can think of."""

from hypothesis import given, settings
from job_runner.reaper import Reaper

from timersim.fakes import SimulatedBackend
from timersim.lab import Contract, run
from timersim.strategies import schedules


def cancelling(world):
    """A reaper with the function that cancels a job."""
    return Reaper(world.queue, cancel=world.reap, interval=5)


def killing(world):
    """A reaper with the kernel's kill."""
    return Reaper(world.queue, interval=5)


BACKEND = SimulatedBackend(server=cancelling, contract=Contract(reap_within=5), patch=["job_runner.reaper"])
KILLING = SimulatedBackend(server=killing, contract=Contract(reap_within=5))


@settings(max_examples=500)
@given(schedules(max_workers=3))
def test_it_keeps_its_promises(schedule):
    """It reaps whom it must, in five seconds, and nobody else."""
    run(schedule, BACKEND).check()


@settings(max_examples=500)
@given(schedules(max_workers=3))
def test_it_keeps_them_with_the_kernels_kill(schedule):
    """The same where a job is a process."""
    run(schedule, KILLING).check()
