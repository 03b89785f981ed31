"""Conformance: what one schedule came to on a model and on the real thing, and why where that is not the same.

What the world did in the real run, what was sent and when, who started and who died, is told to the model again. What
is different then is the servers' own; what was different before, and isn't then, follows from how the wires differ.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from timersim.lab.experiment import Backend, run
from timersim.lab.record import (
    Answered,
    Arrived,
    Attempted,
    Died,
    Ended,
    Instant,
    Life,
    Meddled,
    Sent,
    Started,
)
from timersim.lab.retelling import retold
from timersim.lab.schedule import Schedule
from timersim.lab.trace import Trace


class Cause(StrEnum):
    """Where a difference comes from."""

    MODEL = "model"
    IMPLEMENTATION = "implementation"
    TIMING = "timing"
    UNEXPLAINED = "UNEXPLAINED"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two runs of a schedule differ."""

    cause: Cause
    text: str


REFUSED = Explanation(
    Cause.MODEL, "memory's wire keeps what is sent while the server is stopped; here the call is refused"
)
WAITS = Explanation(Cause.IMPLEMENTATION, "a call returns when the server has answered: its worker waits out a pause")
GONE = Explanation(
    Cause.IMPLEMENTATION, "in any pass the dead are let go of; memory's server finds them gone when they are due"
)
TIE = Explanation(Cause.TIMING, "what happens at one instant happens in another order; either is allowed")


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between two runs of a schedule, and what is seen of it first."""

    explanation: Explanation
    seen: str

    @property
    def is_explained(self) -> bool:
        """Whether something accounts for it."""
        return self.explanation.cause != Cause.UNEXPLAINED


def compare(schedule: Schedule, model: Backend, real: Backend) -> list[Difference]:
    """Runs a schedule on both and returns what is different, each explanation once; nothing where all is the same.

    >>> from timersim.fakes import SimulatedBackend
    >>> from timersim.lab import Acquire
    >>> compare(Schedule([Acquire(0, "load", after=5)]), SimulatedBackend(), SimulatedBackend(wire="sequenced"))
    []
    """
    on_model, on_real = run(schedule, model), run(schedule, real)
    if on_model.events == on_real.events and not on_model.violations and not on_real.violations:
        return []
    return differences(on_model, on_real, run(retold(on_real), model))


def differences(model: Trace, real: Trace, told: Trace) -> list[Difference]:
    """Returns what explains that two traces of a schedule differ; `told` is the model's trace of `retold(real)`."""
    found = [*_violations(model), *_violations(real), *_of_the_wire(real)]
    found += [*_of_the_dead(model, real), *_of_the_dead(real, model)]
    if _effects(model) != _effects(real):
        found += _of_the_reaps(told, real)
    if not found and model.events != real.events:
        found.append(_in_another_order(model, real))
    return list({difference.explanation: difference for difference in reversed(found)}.values())[::-1]


def _violations(trace: Trace) -> Iterator[Difference]:
    for violation in trace.violations:
        yield _unexplained(f"{violation.invariant.id} is broken on {trace.backend}", violation.headline)


def _of_the_wire(real: Trace) -> Iterator[Difference]:
    """Yields what became of requests in the real run that never becomes of the model's."""
    account, requests = real.account, real.numbered
    ended = {event.request: event.at for event in real.of(Arrived)}
    for event in real.of(Meddled):
        sent, ended[event.request] = requests[event.request], event.until
        is_away = any(begin <= event.until <= end for begin, end in account.stops)
        if event.fault != "refused" or not is_away:
            yield _unexplained("a request is refused though the server is there", _said(sent, event.fault))
        else:
            yield Difference(REFUSED, _said(sent, "refused"))
    answers = [(entry.request, entry.at) for entry in real.ledger if isinstance(entry, Answered)]
    for request, at in (*ended.items(), *answers):
        sent = requests[request]
        if at > sent.at:
            yield _late(real, sent, at)
    for request in requests.keys() - ended.keys():
        yield _late(real, requests[request], real.end)


def _late(real: Trace, sent: Sent, at: Instant) -> Difference:
    """Returns what explains that a request arrived or was answered later than it was sent, or, at the end, never."""
    death = real.account.deaths.get((sent.worker, sent.incarnation))
    until = real.account.resume(sent.at)
    absences = [absence for absence in (*real.account.pauses, *real.account.stops) if absence[0] <= until]
    if at < real.end:
        what = f"done with at t={at:g}"
        is_over = any(edge == at <= until for absence in absences for edge in absence)
    else:
        what = "never done with"
        is_over = death is not None and death.at <= until
    if until > sent.at and is_over:
        return Difference(WAITS, _said(sent, what))
    return _unexplained("a request is late though the server is there", _said(sent, what))


def _of_the_dead(trace: Trace, other: Trace) -> Iterator[Difference]:
    """Yields whom a server found gone, and the other one didn't."""
    for life, at in sorted(_gone(trace) - _gone(other)):
        death = trace.account.deaths.get(life)
        if death is None or death.at > at:
            yield _unexplained("somebody who lives is taken for gone", _who(life, at, trace.backend))
        else:
            yield Difference(GONE, _who(life, at, trace.backend))


def _of_the_reaps(told: Trace, real: Trace) -> Iterator[Difference]:
    """Yields what the servers did first that is not the same, in one and the same world: more may follow from it."""
    theirs, ours = _effects(told), _effects(real)
    for (at, life, outcome), number in sorted(((theirs - ours) + (ours - theirs)).items()):
        times = f", {number} times" if number > 1 else ""
        by = told if theirs[at, life, outcome] else real
        yield _of_a_reap(told, real, at, life, f"{_who(life, at, by.backend)}: {outcome}{times}, not on the other")
        return
    if _world(told) != _world(real):
        yield _unexplained("the world can't be told again", repr(told.schedule))


def _of_a_reap(told: Trace, real: Trace, at: Instant, life: Life, seen: str) -> Difference:
    """Returns what explains that one server reaped somebody at an instant, and the other didn't."""
    is_allowed = told.account.may_reap(life, at) and real.account.may_reap(life, at)
    if is_allowed and _is_tie(real, life, at):
        return Difference(TIE, seen)
    return _unexplained("the servers reap differently", seen)


def _is_tie(trace: Trace, life: Life, at: Instant) -> bool:
    """Returns whether something else at that instant decides it: a request, a death, an absence of the server."""
    account = trace.account
    requests = any(guard.superseded == at or guard.arrived == at for guard in account.guards_of(life))
    died = life in account.deaths and account.deaths[life].at == at and account.deaths[life].how != "reaped"
    return requests or died or any(at in absence for absence in (*account.pauses, *account.stops))


def _gone(trace: Trace) -> set[tuple[Life, Instant]]:
    return {(_life(attempt), attempt.at) for attempt in trace.of(Attempted) if attempt.outcome == "gone"}


def _effects(trace: Trace) -> Counter[tuple[Instant, Life, str]]:
    """Returns what a server did to whom and when, without who was gone."""
    attempts = [attempt for attempt in trace.of(Attempted) if attempt.outcome != "gone"]
    return Counter((attempt.at, _life(attempt), attempt.outcome) for attempt in attempts)


def _life(attempt: Attempted) -> Life:
    """Returns whom an attempt was on; nobody of the run is worker -1."""
    if attempt.worker is None or attempt.incarnation is None:
        return -1, -1
    return attempt.worker, attempt.incarnation


def _world(trace: Trace) -> list[str]:
    """Returns what was sent, who started and who died, whatever the order at one instant."""
    sent = [(event.at, event.worker, event.incarnation, event.scope, event.expiration) for event in trace.of(Sent)]
    return sorted(map(repr, (*sent, *trace.of(Started), *trace.of(Died))))


def _in_another_order(model: Trace, real: Trace) -> Difference:
    """Returns the difference between two runs in which the servers did the same, and calls came to the same."""
    ours, theirs = Counter(_told(model)), Counter(_told(real))
    alone = sorted(((ours - theirs) + (theirs - ours)).keys())
    reaped = {(death.worker, death.at) for death in real.deaths if death.how == "reaped"}
    if all((worker, at) in reaped for at, worker, _ in alone):
        return Difference(TIE, alone[0][2] if alone else "all is the same, in another order")
    return _unexplained("the worlds differ", next(what for at, worker, what in alone if (worker, at) not in reaped))


def _told(trace: Trace) -> Iterator[tuple[Instant, int, str]]:
    """Yields when something happened, to which worker, and what, but for the numbers of requests and the end."""
    requests = trace.numbered
    for event in trace.events:
        match event:
            case Ended():
                pass
            case Sent(at, _, worker, incarnation, scope, expiration):
                yield at, worker, f"Sent by {(worker, incarnation)}: {scope} -> {expiration}"
            case Arrived(at, request):
                yield at, requests[request].worker, f"Arrived: {requests[request].scope}"
            case _:
                whose = getattr(getattr(event, "operation", event), "worker", None)
                yield event.at, -1 if whose is None else whose, repr(event)


def _said(sent: Sent, what: str) -> str:
    verb = "release" if sent.expiration is None else "acquire"
    return f"worker {sent.worker}'s {verb} of {sent.scope} at t={sent.at:g} is {what}"


def _who(life: Life, at: Instant, backend: str) -> str:
    return f"worker {life[0]}, life {life[1]}, at t={at:g} on {backend}"


def _unexplained(what: str, seen: str) -> Difference:
    return Difference(Explanation(Cause.UNEXPLAINED, what), seen)
