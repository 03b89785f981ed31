"""The report: what a search did and found."""

import json
import math

from timersim import MemoryTimerServer
from timersim.fakes import SimulatedBackend
from timersim.fakes.broken_servers import without
from timersim.lab.contract import Contract
from timersim.lab.experiment import run
from timersim.lab.goals import GOALS
from timersim.lab.invariants import INVARIANTS, InvariantViolation
from timersim.lab.operations import (
    Acquire,
    Crash,
    Exit,
    PauseServer,
    Release,
)
from timersim.lab.report import Finding, Report
from timersim.lab.saved import named
from timersim.lab.schedule import Schedule

SCHEDULE = Schedule([Acquire(0, "s0", after=5), PauseServer(6, gap=3), Release(0, "s0", gap=1)])
KEYS_OF_A_RUN = [
    *("backend", "seed", "examples", "operations", "seconds", "reaps", "kills"),
    *("exercised", "goals", "unreached", "violations", "known", "no_longer"),
]
KEYS_OF_A_VIOLATION = {"invariants", "schedule", "operations", "faults", "examples", "timeline", "replay"}


def violation(schedule: Schedule = SCHEDULE, safeguard: str = "drain-before-expire") -> InvariantViolation:
    """Returns the worst that a server without a safeguard does."""
    return run(schedule, SimulatedBackend(without(safeguard, MemoryTimerServer))).violations[0]


def finding(*invariants: str, schedule: Schedule = SCHEDULE, seen_again: bool = True, replay: str = "") -> Finding:
    """Makes a finding."""
    names = list(invariants) or ["release-wins"]
    return Finding(names, schedule, 17, 11, violation() if seen_again else None, replay)


def test_a_finding_is_told_as_a_person_reads_it() -> None:
    """The text of a finding is the headline, how it was found, the schedule, the timeline and how to replay."""
    assert finding(replay="timersim replay here").to_text() == "\n".join(
        [
            "release-wins: worker 0 was reaped at t=9, but had released by t=4 (due t=5)",
            "  rule: Nobody is reaped for timers that were all released, or re-armed, by",
            "    requests that arrived before the reap.",
            "  found after 17 schedules, 11 operations shrunk to 3; fault needed: PauseServer",
            "  Schedule([",
            '      Acquire(0, "s0", after=5),',
            "      PauseServer(6, gap=3),",
            '      Release(0, "s0", gap=1),',
            "  ])",
            "  t  worker 0        wire     server",
            "  0  acquire s0 ->5  acquire  armed, due 5",
            "  3                           paused until 9",
            "  4  release s0      release  .. waiting in the queue",
            "  9  reaped                   MUST NOT: released before due",
            "  reap of worker 0: 0 -- MUST NOT --",
            "                         ^ reaped at t=9",
            "  show:   timersim show here",
            "  replay: timersim replay here",
        ]
    )


def test_a_finding_that_was_not_seen_again_says_so() -> None:
    """A finding that a rerun no longer showed says so, and has no timeline; one is no plural."""
    seen_once = Finding(["release-wins", "reaped-once"], Schedule([Exit(0)]), 1, 1, None)

    assert seen_once.to_text() == "\n".join(
        [
            "release-wins: seen once, and not again",
            "  found after 1 schedule, 1 operation shrunk to 1; no fault needed",
            "  breaks as well: reaped-once",
            "  Schedule([Exit(0)])",
        ]
    )


def test_a_finding_names_every_fault_that_it_needs() -> None:
    """The faults of a finding are those of its schedule; great numbers are grouped."""
    schedule = Schedule([PauseServer(1), Crash(0, "exit"), Crash(1, "sigkill")])
    found = Finding(["right-set"], schedule, 1234, 56789, None)

    assert found.faults == ["Crash", "PauseServer"]
    assert found.to_text().splitlines()[1:3] == [
        "  found after 1,234 schedules, 56,789 operations shrunk to 3; fault needed:",
        "    Crash, PauseServer",
    ]


def test_findings_are_ranked_by_harm_then_by_invariant() -> None:
    """What kills the healthy ranks before what spares the hung, and that before what leaves things behind."""
    ranks = [finding(name).rank for name in INVARIANTS]

    assert ranks == sorted(set(ranks))
    assert [rank[0] for rank in ranks] == [entry.harm for entry in INVARIANTS.values()]


def test_a_finding_is_saved_under_its_invariants() -> None:
    """What is saved of a finding is its invariants, its schedule, and the backend that it is told."""
    backend = {"name": "memory"}

    assert finding("release-wins", "reaped-once").saved(backend) == named(
        ["release-wins", "reaped-once"], backend, SCHEDULE
    )


def test_a_finding_is_an_object_of_json() -> None:
    """In JSON a finding has the keys that are documented, and its headline."""
    found = finding("release-wins", "reaped-once", replay="timersim replay here").to_object()

    assert found == {
        "invariants": ["release-wins", "reaped-once"],
        "schedule": [
            {"operation": "Acquire", "worker": 0, "scope": "s0", "after": 5, "gap": 0},
            {"operation": "PauseServer", "ticks": 6, "gap": 3},
            {"operation": "Release", "worker": 0, "scope": "s0", "gap": 1},
        ],
        "operations": 3,
        "faults": ["PauseServer"],
        "examples": 17,
        "within": "",
        "headline": "release-wins: worker 0 was reaped at t=9, but had released by t=4 (due t=5)",
        "timeline": [
            "  t  worker 0        wire     server",
            "  0  acquire s0 ->5  acquire  armed, due 5",
            "  3                           paused until 9",
            "  4  release s0      release  .. waiting in the queue",
            "  9  reaped                   MUST NOT: released before due",
            "  reap of worker 0: 0 -- MUST NOT --",
            "                         ^ reaped at t=9",
        ],
        "replay": "timersim replay here",
    }
    assert found.keys() - {"headline", "within"} == KEYS_OF_A_VIOLATION


def test_what_was_not_seen_again_has_an_empty_timeline_in_json() -> None:
    """In JSON a finding that was not seen again has neither headline nor timeline."""
    found = finding(seen_again=False).to_object()

    assert (found["headline"], found["timeline"], found["replay"]) == ("", [], "")


def test_a_report_counts_what_its_runs_did() -> None:
    """A report adds up examples, operations, reaps, cases and goals; kills are real ones only."""
    backend = SimulatedBackend()
    first = run(Schedule([Acquire(0, "s0", after=5), Acquire(1, "s0", after=5)]), backend)
    second = run(Schedule([Acquire(0, "s0", after=0), Crash(1, "sigkill"), Crash(2, "exit"), Exit(3)]), backend)
    simulated, real = Report("memory", 0), Report("local", 0)
    for trace in (first, second):
        simulated.count(trace, is_real=False)
        real.count(trace, is_real=True)

    assert (simulated.examples, simulated.operations, simulated.reaps, simulated.kills) == (2, 6, 3, 0)
    assert (real.examples, real.operations, real.reaps, real.kills) == (2, 6, 3, 4)
    assert simulated.exercised == {name: first.exercised[name] + second.exercised[name] for name in INVARIANTS}
    assert simulated.goals == {
        **dict.fromkeys(GOALS, 0),
        "several workers due at once": 1,
        "an expiration equal to now": 1,
    }  # fmt: skip
    assert (simulated.worst_lateness, simulated.allowed_lateness) == (0, 0)
    assert simulated.seen == set()


def test_a_report_keeps_the_worst_lateness_beside_what_is_allowed() -> None:
    """The lateness of a report is that of its latest reap, and its bound that of the contract."""
    backend = SimulatedBackend(contract=Contract(reap_within=7))
    report = Report("memory", 0)

    assert report.worst_lateness == -math.inf
    report.count(run(Schedule([Acquire(0, "s0", after=5), PauseServer(9)]), backend), is_real=False)
    assert (report.worst_lateness, report.allowed_lateness) == (0, 7)
    report.count(run(Schedule([]), backend), is_real=False)
    assert report.worst_lateness == 0


def test_a_report_knows_what_was_seen_broken_before_it_is_shrunk() -> None:
    """What a run breaks is seen at once; what the contract exempts is not."""
    server = without("reap-once", MemoryTimerServer)
    schedule, report = Schedule([Acquire(0, "s0", after=5)]), Report("memory", 0)
    report.count(
        run(schedule, SimulatedBackend(server, contract=Contract(exempt={"reaped-once": "so"}))), is_real=False
    )

    assert report.seen == set()
    report.count(run(schedule, SimulatedBackend(server)), is_real=False)
    assert report.seen == {"reaped-once"}


def test_what_is_broken_is_what_was_found_and_not_known() -> None:
    """The broken invariants of a report are those of its findings, not those of what is known."""
    report = Report("memory", 0, findings=[finding("release-wins", "reaped-once")], known=[finding("right-set")])

    assert report.broken == {"release-wins", "reaped-once"}


def test_a_report_is_an_object_of_json() -> None:
    """In JSON a report has the keys that are documented, in their order, and is JSON."""
    report = Report("memory", 7, seconds=1.23456, findings=[finding()], known=[finding("right-set")])
    report.reachable = ["a release before the expiration", "a timer re-armed"]
    report.exempt = {"right-set": "so", "reaped-once": "not exercised", "conservation": "held"}
    report.count(run(SCHEDULE, SimulatedBackend()), is_real=False)
    written = report.to_object()

    assert list(written) == KEYS_OF_A_RUN
    assert written == {
        "backend": "memory",
        "seed": 7,
        "examples": 1,
        "operations": 3,
        "seconds": 1.235,
        "reaps": 0,
        "kills": 0,
        "exercised": {
            **dict.fromkeys(INVARIANTS, 0),
            "pause-is-not-silence": 1,
            "nothing-left": 1,
            "watchdog-survives": 1,
            "conservation": 4,
        },
        "goals": {**dict.fromkeys(GOALS, 0), "a release before the expiration": 1},
        "unreached": ["a timer re-armed"],
        "violations": [finding().to_object()],
        "known": [finding("right-set").to_object()],
        "no_longer": ["conservation"],
    }
    assert json.loads(json.dumps({"runs": [written]})) == {"runs": [written]}


def test_a_report_starts_with_every_goal_unreached() -> None:
    """A report names every goal from the beginning, so that an unreached one shows."""
    assert Report("memory", 0).to_object()["goals"] == dict.fromkeys(GOALS, 0)


def test_two_reports_share_nothing() -> None:
    """What one report counts another does not."""
    Report("memory", 0).count(run(SCHEDULE, SimulatedBackend()), is_real=False)

    assert Report("memory", 0).goals == dict.fromkeys(GOALS, 0)
    assert Report("memory", 0).exercised == {}


def test_an_interrupted_search_calls_nothing_known_no_longer() -> None:
    """What an interrupt cut short has not shown that an exempt invariant holds; a whole search has."""
    report = Report("memory", 0, exempt={"replay-safe": "requests carry no sequence"})
    report.exercised["replay-safe"] = 1

    assert report.no_longer == ["replay-safe"]
    report.is_interrupted = True
    assert report.no_longer == []
