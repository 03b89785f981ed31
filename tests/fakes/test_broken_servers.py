"""Ablations: each is found by what `timersim check` runs, and the correct servers pass the same schedules."""

from functools import cache

import pytest

from timersim.api import TimerServer
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import ABLATIONS, backend_without, server_without, without
from timersim.lab import Acquire, PauseServer, Release, Schedule, run
from timersim.lab.contract import Contract
from timersim.lab.invariants import INVARIANTS
from timersim.lab.operations import EVERYTHING
from timersim.local_timer import LocalTimerServer
from timersim.memory_timer import MemoryTimerServer
from timersim.pid_server import PidTimerServer
from timersim.reaper import ProcessReaper
from timersim.sequenced_server import SequencedTimerServer
from timersim.strategies import seeded_schedule
from timersim.strategies.ablations import EXAMPLES
from timersim.strategies.vocabulary import Vocabulary
from timersim.table_server import TableTimerServer

NOT_IN_SIMULATION = {"death-contained": "of the wire, not of a server: see tests/backends/test_hazards.py"}
"""The invariants that no simulated server can break, and why."""

CASES: dict[str, tuple[Schedule, list[str]]] = {
    "drain-before-expire": (
        Schedule([Acquire(0, "s", after=5), PauseServer(6, gap=3), Release(0, "s", gap=1)]),
        [
            "release-wins: worker 0 was reaped at t=9, but had released by t=4 (due t=5)",
            "pause-is-not-silence: worker 0 was reaped at t=9, but had released by t=4 (due t=5)",
        ],
    ),
    "expire-at-the-instant": (
        Schedule([Acquire(0, "s", after=5)]),
        ["reaped-in-time: worker 0 was due at t=5 and is alive at t=6"],
    ),
    "honour-releases": (
        Schedule([Acquire(0, "s", after=5), Release(0, "s", gap=1)]),
        [
            "release-wins: worker 0 was reaped at t=5, but had released by t=1 (due t=5)",
            "conservation: at t=1 the timer s of worker 0 was released, and is armed still",
        ],
    ),
    "reap-once": (
        Schedule([Acquire(0, "s", after=5)]),
        ["reaped-once: worker 0 was reaped at t=5, and again at t=5"],
    ),
    "clear-the-dead": (
        Schedule([Acquire(0, "a", after=1), Acquire(0, "b", after=5)]),
        ["dead-stay-dead: worker 0 was seen gone at t=1, and a reap was attempted at t=5"],
    ),
}


every_ablation = pytest.mark.parametrize("safeguard", ABLATIONS)


@cache
def drawn(number: int) -> Schedule:
    """Returns the schedule with this number of a search in memory."""
    return seeded_schedule(0, number, Vocabulary(EVERYTHING))


def first_that_breaks(invariant: str, safeguard: str) -> Schedule | None:
    """Returns the first schedule of a search that breaks an invariant where a safeguard is missing."""
    backend = backend_without(safeguard)
    for number in range(EXAMPLES):
        if invariant in [violation.invariant.id for violation in run(drawn(number), backend).violations]:
            return drawn(number)
    return None


def correct(safeguard: str) -> SimulatedBackend:
    """Returns a backend with the server out of which a safeguard is taken, whole."""
    server = ABLATIONS[safeguard].server
    if server is SequencedTimerServer:
        return SimulatedBackend(wire="sequenced")
    if server is MemoryTimerServer:
        return SimulatedBackend()
    return SimulatedBackend(
        lambda world: PidTimerServer(
            world.queue,
            world.max_interval,
            clock=world.clock,
            reaper=ProcessReaper(clock=world.clock, kernel=world.kernel),
        ),
        contract=backend_without(safeguard).contract,
    )


def test_there_are_at_least_thirty() -> None:
    """Thirty safeguards or more can be taken out, each by the name that it says itself."""
    assert len(ABLATIONS) >= 30
    assert [ablation.safeguard for ablation in ABLATIONS.values()] == list(ABLATIONS)


def test_each_takes_out_something_else() -> None:
    """No two names stand for one ablation."""
    assert len({ablation.takes_out for ablation in ABLATIONS.values()}) == len(ABLATIONS)


@every_ablation
def test_an_ablation_says_what_its_server_does(safeguard: str) -> None:
    """Its docstring is a sentence in one line, and its name fits into a table."""
    sentence = ABLATIONS[safeguard].takes_out.__doc__ or ""

    assert len(sentence.splitlines()) == 1
    assert sentence.endswith(".")
    assert len(safeguard) <= 24


@every_ablation
def test_an_ablation_is_the_correct_server_with_something_over_it(safeguard: str) -> None:
    """A mixin lies straight over a server of timersim: nothing else is between them."""
    ablation = ABLATIONS[safeguard]
    (base,) = ablation.takes_out.__bases__
    kind = without(safeguard, ablation.server)

    assert base in {TableTimerServer, MemoryTimerServer, PidTimerServer, SequencedTimerServer}
    assert kind.__bases__ == (ablation.takes_out, ablation.server)
    assert [base for base in kind.__mro__[2:] if issubclass(base, TimerServer)] == [
        base for base in ablation.server.__mro__ if issubclass(base, TimerServer)
    ]


@every_ablation
def test_an_ablation_is_found(safeguard: str) -> None:
    """Among the schedules of a search is one that breaks its own invariant, and not in the correct server."""
    found = first_that_breaks(ABLATIONS[safeguard].breaks, safeguard)

    assert found is not None
    run(found, correct(safeguard)).check()


def test_every_invariant_is_the_cause_of_one() -> None:
    """There is no invariant that no broken server breaks, but those that simulation cannot reach."""
    causes = {ablation.breaks for ablation in ABLATIONS.values()}

    assert set(INVARIANTS) - causes == set(NOT_IN_SIMULATION)


@pytest.mark.parametrize("safeguard", CASES)
def test_an_ablation_breaks_its_invariant(safeguard: str) -> None:
    """A server without its safeguard breaks the invariant that the safeguard is for, and what follows from that."""
    schedule, headlines = CASES[safeguard]
    trace = run(schedule, SimulatedBackend(without(safeguard, MemoryTimerServer)))

    assert [violation.headline for violation in trace.violations] == headlines


@pytest.mark.parametrize("safeguard", CASES)
def test_the_correct_server_passes(safeguard: str) -> None:
    """The correct server breaks nothing on the schedule that shows what a safeguard is for."""
    schedule, _ = CASES[safeguard]

    run(schedule, SimulatedBackend()).check()


@pytest.mark.parametrize("safeguard", CASES)
def test_an_ablation_is_invisible_to_a_quiet_schedule(safeguard: str) -> None:
    """An ablated server is a correct one where its safeguard is not needed."""
    quiet = Schedule([Acquire(0, "s", after=5)])
    if safeguard in {"expire-at-the-instant", "reap-once"}:
        quiet = Schedule([Acquire(0, "s", after=5), Release(0, "s", gap=4)])

    run(quiet, SimulatedBackend(without(safeguard, MemoryTimerServer))).check()


@every_ablation
def test_a_mixin_goes_with_every_server_that_has_the_safeguard(safeguard: str) -> None:
    """What can be taken out of a server of real processes makes a server of its kind."""
    ablation = ABLATIONS[safeguard]
    if ablation.applies_to(LocalTimerServer):
        assert issubclass(without(safeguard, LocalTimerServer), LocalTimerServer)
    else:
        assert ablation.is_for_simulation or not issubclass(LocalTimerServer, ablation.takes_out.__bases__[0])


@every_ablation
def test_a_broken_server_is_held_to_the_contract_of_the_correct_one(safeguard: str) -> None:
    """Nothing is promised less because a safeguard is missing, and every fault is drawn."""
    assert backend_without(safeguard).contract == correct(safeguard).contract


def test_a_contract_can_be_another() -> None:
    """The options are those of a simulated backend."""
    backend = backend_without("reap-once", max_interval=30, contract=Contract(reap_within=30))

    assert (backend.max_interval, backend.contract) == (30, Contract(reap_within=30))
    assert backend_without("reap-once", max_interval=30).contract.retry_within == 30


def test_an_ablated_server_says_what_it_lacks() -> None:
    """An ablated server is of its server's kind, and its name says what was taken out."""
    server = without("reap-once", MemoryTimerServer)

    assert server_without("reap-once").__qualname__ == server.__name__
    assert server_without("heed-the-sequence").__qualname__ == "SequencedTimerServer without heed-the-sequence"
    assert (server.__name__, issubclass(server, MemoryTimerServer)) == ("MemoryTimerServer without reap-once", True)


def test_only_safeguards_can_be_taken_out() -> None:
    """A safeguard that there is not is a KeyError by its name."""
    with pytest.raises(KeyError) as raised:
        without("seat-belts", MemoryTimerServer)

    assert raised.value.args == ("seat-belts",)
