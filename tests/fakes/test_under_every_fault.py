"""The correct servers under every fault: random schedules on each wire, each run twice, and in another process."""

import hashlib
import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from timersim.fakes import SimulatedBackend
from timersim.lab import Contract, run
from timersim.lab.operations import EVERYTHING, OPERATIONS
from timersim.pid_server import PidTimerServer
from timersim.reaper import ProcessReaper
from timersim.strategies.search import seeded_schedule
from timersim.strategies.vocabulary import Vocabulary

DEFAULT = 300

NUMBER = int(os.environ.get("TIMERSIM_SCHEDULES", DEFAULT))
"""How many schedules are run on each server; `TIMERSIM_SCHEDULES=10000` for a long run."""

ALL = Vocabulary(EVERYTHING)


def of_incarnations(world: Any) -> PidTimerServer:
    """Makes a server that ties pids to incarnations, on a wire that knows neither."""
    reaper = ProcessReaper(clock=world.clock, kernel=world.kernel)
    return PidTimerServer(world.queue, world.max_interval, clock=world.clock, reaper=reaper)


BACKENDS = {
    "pids, shared wire": SimulatedBackend(),
    "incarnations, shared wire": SimulatedBackend(of_incarnations, contract=Contract(reap_within=0, retry_within=10)),
    "sequenced wire": SimulatedBackend(wire="sequenced"),
}


@pytest.mark.parametrize("part", range(5))
@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_the_correct_servers_keep_their_contracts(backend: SimulatedBackend, part: int) -> None:
    """No schedule breaks anything, whatever its faults, and a second run has the same trace."""
    faults: set[str] = set()
    for number in range(part, NUMBER, 5):
        schedule = seeded_schedule(23, number, ALL)
        trace = run(schedule, backend)
        assert [(str(violation), number) for violation in trace.violations] == []
        assert run(schedule, backend).hash == trace.hash
        faults |= set(schedule.faults)
    assert faults == {name for name, kind in OPERATIONS.items() if kind.fault} or NUMBER < DEFAULT


HASHED = NUMBER if NUMBER > DEFAULT else 60
"""How many schedules are run in another process."""

HASHES = f"""
import logging
from tests.fakes.test_under_every_fault import hashes
logging.disable()
print(hashes({HASHED}))
"""


@cache
def hashes(number: int) -> str:
    """Returns the hash of the hashes of some runs on every backend."""
    told = hashlib.sha256()
    for backend in BACKENDS.values():
        for n in range(number):
            told.update(run(seeded_schedule(29, n, ALL), backend).hash.encode())
    return told.hexdigest()


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_another_process_has_the_same_traces(hash_seed: str) -> None:
    """Whatever the hash seed, a schedule has one trace."""
    done = subprocess.run(
        [sys.executable, "-c", HASHES],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + HASHED / 10,
    )
    assert (done.stderr, done.stdout.strip()) == ("", hashes(HASHED))
