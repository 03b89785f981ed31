"""Every example in a docstring runs, and says the truth."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import timersim

MODULES = sorted(m.name for m in pkgutil.walk_packages(timersim.__path__, "timersim.") if not m.ispkg)

WITHOUT_EXAMPLES = {"timersim.cli", "timersim.pytest_plugin"}
"""What people meet as a command and as fixtures."""

MET_BY_USERS = {
    "timersim.api",
    "timersim.clock",
    "timersim.fakes.clock",
    "timersim.fakes.faults",
    "timersim.fakes.patched_time",
    "timersim.fakes.workers",
    "timersim.fakes.world",
    "timersim.lab.experiment",
    "timersim.lab.schedule",
    "timersim.local_timer",
    "timersim.memory_timer",
    "timersim.reaper",
    "timersim.strategies.requests",
    "timersim.strategies.schedules",
    "timersim.strategies.search",
    "timersim.tuning.example_steps",
    "timersim.tuning.latency",
    "timersim.tuning.plots",
    "timersim.tuning.sweeps",
    "timersim.tuning.timeouts",
}
"""Where each must have some."""


@pytest.mark.parametrize("name", [name for name in MODULES if name not in WITHOUT_EXAMPLES])
def test_the_examples_of_a_module_run(name: str) -> None:
    """The examples of a module give what they say, and those that users meet have some."""
    result = doctest.testmod(import_module(name))

    assert result.failed == 0
    assert result.attempted > 0 or name not in MET_BY_USERS
