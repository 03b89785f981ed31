"""Traces: a record with its verdict."""

import pytest

from timersim import MemoryTimerServer
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import without
from timersim.lab.contract import Contract
from timersim.lab.experiment import run
from timersim.lab.invariants import INVARIANTS, judge
from timersim.lab.operations import Acquire
from timersim.lab.reading import read
from timersim.lab.record import Arrived, Attempted, Died, Ended, Event, Left, Record, Sent, Started
from timersim.lab.schedule import Schedule
from timersim.lab.trace import Trace

SCHEDULE = Schedule([Acquire(0, "s0", after=5)])

BROKEN: list[Event] = [
    Started(0, 0, 0),
    Sent(0, 0, 0, 0, "s0", 5),
    Arrived(0, 0),
    Left(3, "a fifo"),
    Attempted(3, None, None, "pid 1", "gone"),
    Attempted(4, 0, 0, "worker 0", "reaped"),
    Died(4, 0, 0, "reaped"),
    Ended(9),
]
"""Reaps pid 1, then a worker too early, and leaves a FIFO."""


def judged(events: list[Event], contract: Contract | None = None) -> Trace:
    """Judges events."""
    return Trace.of_record(Record(SCHEDULE, "paper", contract or Contract(), events))


def names(trace: Trace) -> tuple[list[str], list[str]]:
    """Returns what a trace breaks, and what of it is known."""
    return [v.invariant.id for v in trace.violations], [v.invariant.id for v in trace.known]


def test_a_trace_is_a_record_with_its_verdict() -> None:
    """A trace has what the record has, and the account, the violations, the counts and the goals besides."""
    record = Record(SCHEDULE, "paper", Contract(reap_within=3), BROKEN)
    trace = Trace.of_record(record)

    assert (trace.schedule, trace.backend, trace.contract, trace.events) == (SCHEDULE, "paper", record.contract, BROKEN)
    assert trace.hash == record.hash
    assert trace.exercised == judge(read(record))[1]
    assert trace.goals == []
    assert trace.account.record is record


def test_violations_are_told_worst_first() -> None:
    """The violations of a trace come worst first, not in the order of their instants."""
    assert names(judged(BROKEN)) == (["no-early-reap", "right-set", "nothing-left"], [])


def test_check_raises_the_worst() -> None:
    """`check` raises the worst violation, as its own class and with the whole failing test case."""
    with pytest.raises(INVARIANTS["no-early-reap"].violation) as raised:
        judged(BROKEN).check()

    assert str(raised.value) == "\n".join(
        [
            "no-early-reap: worker 0 was reaped at t=4, and is due at t=5 at the earliest",
            '  Schedule([Acquire(0, "s0", after=5)])  on paper',
            "",
            "  t  worker 0        wire     server",
            "  0  acquire s0 ->5  acquire  armed, due 5",
            "  3                           left: a fifo",
            "                              attempts a reap",
            "  4  reaped                   MUST NOT: nothing was due",
            "  reap of worker 0: 0 -- MUST NOT -- 5 -- MUST --",
            "                         ^ reaped at t=4",
            '  replay: @example(Schedule([Acquire(0, "s0", after=5)]))',
        ]
    )


def test_an_exempt_invariant_is_known_and_no_violation() -> None:
    """What the contract exempts is judged and goes to the known; the next worst is raised."""
    trace = judged(BROKEN, Contract(exempt={"no-early-reap": "it guesses", "reaped-once": "it makes sure"}))

    assert names(trace) == (["right-set", "nothing-left"], ["no-early-reap"])
    assert trace.exercised["no-early-reap"] == 1
    with pytest.raises(INVARIANTS["right-set"].violation):
        trace.check()


def test_check_returns_where_all_that_breaks_is_known() -> None:
    """`check` returns where the contract exempts all that is broken."""
    trace = judged(BROKEN, Contract(exempt=dict.fromkeys(["no-early-reap", "right-set", "nothing-left"], "known")))

    assert names(trace) == ([], ["no-early-reap", "right-set", "nothing-left"])
    trace.check()


def test_check_returns_where_every_invariant_holds() -> None:
    """`check` returns where nothing is broken."""
    trace = run(SCHEDULE, SimulatedBackend())

    assert names(trace) == ([], [])
    trace.check()


def test_a_run_gives_a_judged_trace() -> None:
    """`run` judges what it recorded, by the contract of its backend."""
    server = without("reap-once", MemoryTimerServer)
    strict, lenient = Contract(), Contract(exempt={"reaped-once": "it makes sure"})

    assert names(run(SCHEDULE, SimulatedBackend(server, contract=strict))) == (["reaped-once"], [])
    assert names(run(SCHEDULE, SimulatedBackend(server, contract=lenient))) == ([], ["reaped-once"])
