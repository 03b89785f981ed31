"""The record of one run, its recorder and its hash."""

from dataclasses import fields, replace

import pytest

from tests.hash_seeds import output
from timersim.lab.contract import Contract
from timersim.lab.operations import Exit, StartServer
from timersim.lab.record import (
    Arrived,
    Attempted,
    Died,
    Ended,
    Event,
    Left,
    Record,
    Recorder,
    Sent,
    ServerFailed,
    ServerPaused,
    ServerStarted,
    ServerStopped,
    ServerStopping,
    Skipped,
    Started,
    WorkerPaused,
    WorkerResumed,
)
from timersim.lab.schedule import Schedule

ALL: list[Event] = [
    ServerStarted(0),
    Started(0, worker=0, incarnation=0),
    Sent(1, request=0, worker=0, incarnation=0, scope="s0", expiration=5),
    Arrived(1, request=0),
    WorkerPaused(2, worker=0),
    WorkerResumed(3, worker=0),
    ServerPaused(3, until=4),
    Skipped(4, Exit(1)),
    Attempted(5, worker=0, incarnation=0, target="worker 0", outcome="reaped"),
    Died(5, worker=0, incarnation=0, how="reaped"),
    Attempted(6, worker=None, incarnation=None, target="pid 1", outcome="gone"),
    ServerStopping(7),
    ServerStopped(7.5),
    ServerFailed(8, reason="spins"),
    Ended(9),
    Left(9, what="thread 'watchdog'"),
]

FIELDS = [(index, field.name) for index, event in enumerate(ALL) for field in fields(event)]


def record(events: list[Event]) -> Record:
    """Makes a record of events."""
    return Record(Schedule(), "paper", Contract(), events)


class Hand:
    """The hand of a clock."""

    def __init__(self) -> None:
        self.at = 0

    def __call__(self) -> int:
        return self.at


def test_a_recorder_writes_what_happens_in_order() -> None:
    """A recorder writes each thing at its instant, counting incarnations and requests from 0."""
    hand = Hand()
    recorder = Recorder(hand)
    recorder.started(3)
    hand.at = 1
    recorder.arrived(recorder.sent(3, "load", 6))
    recorder.worker_paused(3)
    hand.at = 2
    recorder.worker_resumed(3)
    recorder.died(3, "exit")
    recorder.started(3)
    recorder.sent(3, "load", None)
    recorder.add(ServerPaused, 9)
    recorder.add(Ended)

    assert recorder.events == [
        Started(0, 3, 0),
        Sent(1, 0, 3, 0, "load", 6),
        Arrived(1, 0),
        WorkerPaused(1, 3),
        WorkerResumed(2, 3),
        Died(2, 3, 0, "exit"),
        Started(2, 3, 1),
        Sent(2, 1, 3, 1, "load", None),
        ServerPaused(2, 9),
        Ended(2),
    ]


def test_a_recorder_knows_who_lives_and_who_is_paused() -> None:
    """A worker lives from its start to its death, paused or not; a new incarnation is not paused."""
    recorder = Recorder(Hand())

    def state() -> tuple[bool, bool]:
        return recorder.alive(0), recorder.paused(0)

    assert state() == (False, False)
    recorder.started(0)
    assert state() == (True, False)
    recorder.worker_paused(0)
    assert state() == (True, True)
    recorder.worker_resumed(0)
    assert state() == (True, False)
    recorder.worker_paused(0)
    recorder.died(0, "sigkill")
    assert state() == (False, False)
    recorder.started(0)
    assert state() == (True, False)
    assert recorder.incarnation(0) == 1


def test_one_worker_says_nothing_about_another() -> None:
    """Life, pause and incarnation are each worker's own."""
    recorder = Recorder(Hand())
    recorder.started(0)
    recorder.started(1)
    recorder.worker_paused(0)
    recorder.died(1, "exit")

    assert [recorder.alive(0), recorder.alive(1), recorder.paused(0), recorder.paused(1)] == [True, False, True, False]


def test_of_gives_the_events_of_one_kind_in_order() -> None:
    """`of` gives the events of one kind, in order."""
    assert record(ALL).of(Attempted) == [ALL[8], ALL[10]]
    assert record(ALL).of(Ended) == [Ended(9)]
    assert record([]).of(Died) == []
    assert record(ALL).of(Event) == ALL


def test_reaps_are_the_attempts_that_ended_a_worker() -> None:
    """Only an attempt that ended as reaped is a reap; every death is a death, every request a request."""
    whole = record([*ALL, Attempted(9, 0, 0, "worker 0", "failed"), Attempted(9, 0, 0, "worker 0", "raised")])

    assert whole.reaps == [ALL[8]]
    assert whole.deaths == [ALL[9]]
    assert whole.requests == [ALL[2]]
    assert whole.end == 9


def test_requests_are_found_by_number() -> None:
    """`numbered` finds what was sent by its number."""
    later = Sent(2, 1, 0, 0, "s0", None)

    assert record([*ALL, later]).numbered == {0: ALL[2], 1: later}


def test_the_hash_is_sixteen_hexadecimal_digits_of_the_events_alone() -> None:
    """Equal events have one hash, whatever schedule and contract they were recorded under."""
    other = Record(Schedule([StartServer()]), "elsewhere", Contract(reap_within=9), [replace(event) for event in ALL])

    assert record(ALL).hash == other.hash
    assert len(other.hash) == 16
    assert set(other.hash) <= set("0123456789abcdef")


@pytest.mark.parametrize(("index", "name"), FIELDS)
def test_the_hash_differs_when_any_field_of_any_event_does(index: int, name: str) -> None:
    """A record in which one field of one event differs has another hash."""
    changed = replace(ALL[index], **{name: "other"})  # type: ignore[arg-type]  # any value will do

    assert record([*ALL[:index], changed, *ALL[index + 1 :]]).hash != record(ALL).hash


def test_the_hash_differs_when_an_event_is_gone_added_or_elsewhere() -> None:
    """The hash depends on every event's being there, and on their order."""
    variants = [ALL, ALL[1:], ALL[:-1], [*ALL, ALL[-1]], [ALL[1], ALL[0], *ALL[2:]], []]

    assert len({record(events).hash for events in variants}) == len(variants)


def test_the_hash_is_the_same_in_every_process() -> None:
    """A run has one hash, whatever the seed of the process's own hashes."""
    program = (
        "from timersim.fakes import SimulatedBackend; from timersim.lab import run;"
        "from timersim.strategies import seeded_schedule;"
        "print([run(seeded_schedule(3, n), SimulatedBackend()).hash for n in range(20)])"
    )
    outputs = [output(program, seed) for seed in (0, 1)]

    assert outputs[0] == outputs[1]
    assert len(set(eval(outputs[0]))) > 10
