"""The timeline: a run as lanes of text."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.quick import one_in
from timersim import MemoryTimerServer
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import ABLATIONS, backend_without, without
from timersim.lab.contract import Contract
from timersim.lab.experiment import run
from timersim.lab.invariants import InvariantViolation
from timersim.lab.layout import Kind
from timersim.lab.operations import (
    CRASHES,
    Acquire,
    Crash,
    Delay,
    Drop,
    Duplicate,
    Exit,
    FailReap,
    Operation,
    Pause,
    PauseServer,
    Release,
    Reorder,
    Resume,
    Stall,
    Start,
    StartServer,
    StopServer,
)
from timersim.lab.record import (
    Arrived,
    Attempted,
    Died,
    Ended,
    Event,
    Left,
    Record,
    Sent,
    ServerFailed,
    Started,
)
from timersim.lab.report import Finding
from timersim.lab.schedule import Schedule
from timersim.lab.timeline import at_text, lanes, number_text, render
from timersim.strategies import find_violations, schedules, seeded_schedule
from timersim.strategies.vocabulary import Vocabulary


def told(operations: Sequence[Operation], safeguard: str) -> list[str]:
    """Returns the timeline of the worst that a server without a safeguard does."""
    backend = SimulatedBackend(without(safeguard, MemoryTimerServer))
    return run(Schedule(operations), backend).violations[0].timeline.splitlines()


def violation_of(finding: Finding) -> InvariantViolation:
    """Returns the violation of a finding, which in virtual time is always seen again."""
    assert finding.violation is not None
    return finding.violation


safeguards = st.sampled_from(sorted(ABLATIONS))


def record(*events: Event) -> Record:
    """Makes a record of events."""
    return Record(Schedule(), "paper", Contract(), [*events, Ended(50)])


def test_a_release_that_waited_in_the_queue() -> None:
    """The timeline of a failing test case shows what waited, and the rule where it was broken."""
    operations = [Acquire(0, "s0", after=5), PauseServer(6, gap=3), Release(0, "s0", gap=1)]

    assert told(operations, "drain-before-expire") == [
        "  t  worker 0        wire     server",
        "  0  acquire s0 ->5  acquire  armed, due 5",
        "  3                           paused until 9",
        "  4  release s0      release  .. waiting in the queue",
        "  9  reaped                   MUST NOT: released before due",
        "  reap of worker 0: 0 -- MUST NOT --",
        "                         ^ reaped at t=9",
    ]


def test_everything_that_a_worker_and_a_server_can_do() -> None:
    """Starts, deaths, pauses, stops and skipped operations each have their words, in the lane of who did them."""
    operations = [
        Acquire(0, "s0", after=5),
        Acquire(1, "s0", after=4),
        Release(1, "s0", gap=1),
        Crash(1, "sigkill"),
        Start(1, gap=1),
        Pause(1),
        Resume(1),
        StopServer(),
        StartServer(gap=1),
        Exit(1),
        Exit(1),
    ]

    assert told(operations, "reap-once") == [
        "  t  worker 0        worker 1          wire     server",
        "  0  acquire s0 ->5                    acquire  armed, due 5",
        "                     acquire s0 ->4    acquire  armed, due 4",
        "  1                  release s0        release  released",
        "                     crashes: sigkill",
        "  2                  starts again",
        "                     paused",
        "                     resumes",
        "                                                stop called",
        "                                                stopped",
        "  3                                             started",
        "                     exits",
        "                     (Exit skipped)",
        "  5  reaped                                     reaps worker 0: MAY",
        "                                                MUST NOT: reaped already",
        "  reap of worker 0: 0 -- MUST NOT -- 5 -- MUST -- 5 -- GONE --",
        "                                                       ^ reaped at t=5",
    ]


def test_who_was_due_and_nothing_happened() -> None:
    """Where nothing is done at the instant at which a rule is broken, the rule has a row."""
    assert told([Acquire(0, "s0", after=12), Crash(1, "exit", gap=12)], "expire-at-the-instant") == [
        "  t   worker 0         worker 1       wire     server",
        "  0   acquire s0 ->12                 acquire  armed, due 12",
        "  12  .. due           crashes: exit",
        "                                               MUST have been reaped by now",
        "  reap of worker 0: 0 -- MUST NOT -- 12 -- MUST --",
        "                                           ^ not reaped by t=12",
    ]


@pytest.mark.parametrize("how", CRASHES)
def test_each_crash_has_its_word(how: str) -> None:
    """The lane of a worker that crashes says how."""
    record = run(Schedule([Crash(0, how, gap=1)]), SimulatedBackend())

    assert [cells["worker 0"] for _, cells in lanes(record)] == [(f"crashes: {how}", Kind.FAULT)]


def test_what_has_no_other_test() -> None:
    """A late arrival, a failed reap, a stranger, a dead server and a leftover have their words."""
    events = [
        Started(0, 0, 0),
        Sent(1, 0, 0, 0, "s0", 3.5),
        Arrived(2, 0),
        Attempted(3.5, 0, 0, "worker 0", "failed"),
        Attempted(4, 0, 0, "worker 0", "raised"),
        Attempted(5, 0, 0, "worker 0", "reaped"),
        Died(5, 0, 0, "reaped"),
        Attempted(6, None, None, "pid 1", "gone"),
        ServerFailed(7, "OSError: no"),
        Started(8, 1, 0),
        Left(9, "a fifo"),
    ]

    assert render(record(*events), 6, "MUST NOT: no worker").splitlines() == [
        "  t      worker 0            worker 1  wire     server",
        "  1      acquire s0 ->3.500",
        "  2                                    acquire  armed, due 3.500",
        "  3.500  .. due",
        "         reap: failed                           attempts a reap",
        "  4      reap: raised                           attempts a reap",
        "  5      reaped                                 reaps worker 0: MAY",
        "  6                                             MUST NOT: no worker",
        "  7                                             dies: OSError: no",
        "  8                          starts",
        "  9                                             left: a fifo",
    ]


def test_the_rule_stands_beside_the_worker_whom_it_is_about() -> None:
    """Of several reaps at one instant, the one that breaks the rule is marked, and no other."""
    operations = [
        Acquire(0, "s0", after=5),
        Acquire(1, "s0", after=5),
        PauseServer(6, gap=3),
        Release(0, "s0", gap=1),
    ]

    assert told(operations, "drain-before-expire")[-4:-2] == [
        "  9  reaped                                   MUST NOT: released before due",
        "                     reaped                   reaps worker 1: MAY",
    ]


def test_a_missing_reap_is_not_marked_at_the_reap_of_another() -> None:
    """Who had to be reaped is not marked in the row in which another worker was."""
    events = [
        Started(0, 0, 0),
        Started(0, 1, 0),
        Sent(0, 0, 0, 0, "s0", 5),
        Arrived(0, 0),
        Sent(0, 1, 1, 0, "s0", 5),
        Arrived(0, 1),
        Attempted(5, 1, 0, "worker 1", "reaped"),
        Died(5, 1, 0, "reaped"),
    ]
    lines = render(record(*events), 5, "MUST have been reaped by now").splitlines()

    assert [line for line in lines if "MUST" in line and "reaped  " in line] == []


@pytest.mark.parametrize("safeguard", one_in(5, ABLATIONS))
def test_a_finding_fits_into_eighty_columns(safeguard: str) -> None:
    """No line of a shrunk failing test case's timeline is longer than 80 columns."""
    report = find_violations(backend_without(safeguard), max_examples=30)
    lines = [line for finding in report.findings for line in violation_of(finding).timeline.splitlines()]

    assert len(lines) >= 3 * len(report.findings)
    assert [line for line in lines if len(line) > 80] == []


def test_two_workers_fit_into_eighty_columns() -> None:
    """No line of a timeline of two workers is longer than 80 columns, even where nothing was shrunk."""
    backends = [backend_without(safeguard) for safeguard in ABLATIONS]
    schedules = [seeded_schedule(0, n, Vocabulary(max_workers=2)) for n in range(20)]
    violations = [v for backend in backends for each in schedules for v in run(each, backend).violations]
    lines = [line for violation in violations for line in violation.timeline.splitlines()]

    assert len(violations) > 100
    assert [line for line in lines if len(line) > 80] == []


THREE = [
    Acquire(0, "s0", after=5),
    Acquire(1, "load", after=9),
    Acquire(2, "s1", after=4),
    Delay(0, 6, gap=1),
    Release(0, "s0", gap=1),
    PauseServer(7),
]


def test_three_workers_and_a_fault_of_the_wire() -> None:
    """Where the lanes are too wide, cells are broken and set in; below them it shows in which window the reap fell."""
    assert told(THREE, "drain-before-expire") == [
        "  t  worker 0        worker 1          worker 2   wire       server",
        "  0  acquire s0 ->5                               acquire    armed, due 5",
        "                     acquire load ->9             acquire    armed, due 9",
        "                                       acquire    acquire    armed, due 4",
        "                                         s1 ->4",
        "  2  release s0                                   release",
        "                                                    delayed",
        "                                                    until 8",
        "                                                             paused until 9",
        "  4                                    .. due",
        "  5  .. due",
        "  8                                               release    .. waiting in the",
        "                                                               queue",
        "  9                                    reaped                reaps worker 2: MAY",
        "     reaped                                                  MUST NOT: released",
        "                                                               before the reap",
        "                     reaped                                  reaps worker 1: MAY",
        "  reap of worker 0: 0 -- MUST NOT -- 5 -- MAY -- 8 -- MUST NOT --",
        "                                                      ^ reaped at t=9",
    ]


def test_words_are_not_torn() -> None:
    """A cell is broken between its words where the lanes have room for them."""
    lines = told([*THREE, Duplicate(1, 2, gap=1), Release(1, "load")], "drain-before-expire")

    assert "duplicated" in " ".join(lines).split()


def test_many_workers_share_a_lane() -> None:
    """Where not every worker can have a lane, the one whom it is about has, and the others share one."""
    operations = [*(Acquire(worker, "s0", after=12) for worker in range(7)), Release(3, "s0", gap=3)]

    lines = told(operations, "honour-releases")

    assert lines[0].split() == ["t", "worker", "3", "other", "workers", "wire", "server"]
    assert "  0                    0: acquire s0 ->12  acquire  armed, due 12" in lines
    assert "      acquire s0 ->12                      acquire  armed, due 12" in lines


def test_many_windows_take_several_lines() -> None:
    """Windows that do not fit into a line go on in the next, and the mark stands below the line of its window."""
    again = [each for _ in range(3) for each in (Acquire(0, "s0", after=2, gap=3), Release(0, "s0", gap=3))]
    slow = SimulatedBackend(without("honour-releases", MemoryTimerServer), contract=Contract(reap_within=50))
    trace = run(Schedule([PauseServer(30), *again]), slow)
    lines = trace.violations[0].timeline.splitlines()

    assert [line for line in lines if len(line) > 80] == []
    (mark,) = [i for i, line in enumerate(lines) if "^" in line]
    assert lines[mark - 2].startswith("  reap of worker 0: 0 -- MUST NOT -- 5 -- MAY -- 6 -- MUST NOT -- ")
    assert lines[mark - 1][lines[mark].rindex("^") :].startswith("MUST NOT")


TORN = Schedule([Release(1, "s1"), *(Acquire(worker, "s0", after=5, gap=worker) for worker in (0, 2, 3, 0, 4))])
"""With five workers the server's lane is so narrow that a word of the rule is broken."""


@example(TORN, "arm-before-answering")
@given(schedules(max_workers=5, faults=[Delay, Drop, Duplicate, Reorder, Stall, FailReap, PauseServer]), safeguards)
def test_every_failing_test_case_fits_into_eighty_columns(schedule: Schedule, safeguard: str) -> None:
    """No line is longer than 80 columns or ends with a space, and the server's lane has the rule, whole or broken."""
    for violation in run(schedule, backend_without(safeguard)).violations:
        lines = violation.timeline.splitlines()
        assert [line for line in lines if len(line) > 80 or line != line.rstrip()] == []
        (column,) = [line.index("server") for line in lines if line.startswith("  t ")]
        assert "".join(violation.breach.rule.split()) in "".join("".join(line[column:] for line in lines).split())
        assert [line for line in str(violation).splitlines()[1:] if len(line) > 80] == []


def test_no_line_ends_with_a_space() -> None:
    """Lines end with their last word."""
    for line in told([Acquire(0, "s0", after=5), Acquire(1, "s0", after=4), Release(1, "s0")], "reap-once"):
        assert line == line.rstrip()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (5, "5"),
        (5.0, "5"),
        (0.5, "0.500"),
        (1.0004, "1.000"),
        (3600, "3600"),
        (999_999, "999999"),
        (1_000_000, "1000000"),
        (1_234_567, "1234567"),
    ],
)
def test_a_number_of_ticks_is_told_whole(number: float, text: str) -> None:
    """A whole number of ticks is told in all its digits, any other with three behind the point."""
    assert number_text(number) == text
    assert at_text(number) == f"t={text}"
