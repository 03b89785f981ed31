"""The soak: schedules by the thousand on real processes, in blocks. Nothing is left, and nothing grows."""

import os
import time
from dataclasses import dataclass

import psutil
import pytest

from timersim.backends import ProcessBackend, no_leftovers
from timersim.backends.process import Transport
from timersim.backends.workers.pool import Pool
from timersim.lab import run
from timersim.strategies import seeded_schedule

pytestmark = pytest.mark.slow

NUMBER = int(os.environ.get("TIMERSIM_SOAK", "600"))
"""How many schedules are run, a third on each transport; `TIMERSIM_SOAK=100000` for a long run, `-s` to follow it."""

BLOCKS = 10
"""In how many blocks, after each of which it is looked what there is. The first two warm up."""

SEED = int(os.environ.get("TIMERSIM_SOAK_SEED", "0"))

GROWTH = 8.0
"""Megabytes by which the memory of a process may grow after the warm-up.

Two megabytes at a time, now and then, are the table of interned strings, which Python makes anew as the pids in paths
come and go; up to 4.4 were seen. A leak of the record of each of 30,000 schedules would be a hundred and more.
"""

FIRST = 3
"""The workers that a pool forks before the first schedule."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What there is of a backend after a block: memory in megabytes, of this process and of the zygote; descriptors."""

    driver: float
    zygote: float
    descriptors: tuple[int, int]

    @classmethod
    def of(cls, zygote: psutil.Process) -> "Sight":
        """Looks at this process and the zygote."""
        processes = psutil.Process(), zygote
        driver, other = (process.memory_info().rss / 2**20 for process in processes)
        return cls(driver, other, (processes[0].num_fds(), processes[1].num_fds()))


@pytest.mark.timeout(60 + NUMBER)
@pytest.mark.parametrize("transport", ["local", "file", "socket"])
def test_a_long_run_leaves_nothing_and_does_not_grow(transport: Transport) -> None:
    """No schedule breaks anything; one fork replaces each killed worker; memory and descriptors stay as they were."""
    backend = ProcessBackend(transport, pin=True)
    sights: list[Sight] = []
    deaths = kills = number = 0
    began = time.monotonic()
    with no_leftovers():
        backend.warm()
        assert backend._pool is not None
        zygote = psutil.Process(backend._pool.pid)
        for block in range(BLOCKS):
            with no_leftovers():
                while number < NUMBER / 3 * (block + 1) / BLOCKS:
                    trace = run(seeded_schedule(SEED, number), backend)
                    assert [(str(violation), number) for violation in trace.violations] == []
                    deaths += len(trace.deaths)
                    kills += sum(death.how in {"reaped", "sigkill"} for death in trace.deaths)
                    number += 1
            sights.append(Sight.of(zygote))
            tell(transport, number, kills, time.monotonic() - began, sights[-1])
        pool = backend._pool
        assert isinstance(pool, Pool)
        living = len(pool._idle)
        assert pool.forks == deaths + living
        assert living <= FIRST
        backend.close()
    assert grown(sights[1:]) == []


def grown(sights: list[Sight]) -> list[str]:
    """Returns what has grown since the first of these sights, by name."""
    first, last = sights[0], sights[-1]
    found = [f"the driver by {last.driver - first.driver:.1f} MB"] if last.driver - first.driver > GROWTH else []
    found += [f"the zygote by {last.zygote - first.zygote:.1f} MB"] if last.zygote - first.zygote > GROWTH else []
    return found + ([f"descriptors: {first.descriptors} -> {last.descriptors}"] if is_more(first, last) else [])


def is_more(first: Sight, last: Sight) -> bool:
    """Returns whether a process has more descriptors than before: a worker more is two."""
    return any(now > then + 2 * FIRST for then, now in zip(first.descriptors, last.descriptors, strict=True))


def tell(transport: str, number: int, kills: int, seconds: float, sight: Sight) -> None:
    """Prints how far it is."""
    print(  # noqa: T201 - whoever runs it with -s follows it
        f"{transport:<8}{number:>8,} schedules {kills:>8,} kills {number / seconds:>8.0f} a second"
        f"   driver {sight.driver:.1f} MB, zygote {sight.zygote:.1f} MB, descriptors {sight.descriptors}",
        flush=True,
    )


def test_a_leak_would_be_seen() -> None:
    """What grows is named, by how much."""
    small, large = Sight(50, 10, (20, 5)), Sight(59, 20, (27, 5))

    assert grown([small, small]) == []
    assert grown([small, large]) == [
        "the driver by 9.0 MB",
        "the zygote by 10.0 MB",
        "descriptors: (20, 5) -> (27, 5)",
    ]
