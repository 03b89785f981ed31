"""What a server does to its table: each message changes its own timer, and none is lost without a reason."""

from collections.abc import Iterable, Iterator

from timersim.lab.invariants.duties import is_between, owed
from timersim.lab.invariants.registry import Breach, Cases, Harm, invariant, made_by
from timersim.lab.operations import Corrupt
from timersim.lab.oracle import Account
from timersim.lab.record import (
    Answered,
    Arrived,
    Life,
    Meddled,
    Registered,
    Sent,
    ServerCrashed,
    ServerFailed,
)
from timersim.lab.registrations import Key, Registration
from timersim.lab.timeline import at_text


@invariant(Harm.KILLS_THE_HEALTHY)
def replay_safe(account: Account) -> Cases:
    """On a sequenced wire: a duplicated or overtaken request changes nothing."""
    is_sequenced = account.contract.order == "sequence"
    if not is_sequenced and "replay-safe" not in account.contract.exempt:
        return
    for made in account.registrations:
        replayed = made.replayed - made.latest.keys() if is_sequenced else made.replayed
        for key, is_moved in _moved(account, made, replayed):
            yield (
                _breach(made, key, "was changed by a request that came twice, or too late", "MUST NOT count")
                if is_moved
                else None
            )


@invariant(Harm.SPARES_THE_HUNG)
def scope_isolation(account: Account) -> Cases:
    """One registered request changes no table entry but its own key's."""
    for made in account.registrations:
        if made.bad or not (made.latest or made.replayed):
            continue
        for key, is_moved in _moved(account, made, made.bystanders):
            yield (
                _breach(made, key, "was changed by a request for another one", "MUST NOT touch others")
                if is_moved
                else None
            )


@invariant(Harm.SPARES_THE_HUNG, situation=made_by(Corrupt))
def poison_contained(account: Account) -> Cases:
    """A bad message costs only itself."""
    for made in account.registrations:
        if made.bad:
            hit = [*_unregistered(account, made), *(key for key, hit in _moved(account, made, made.bystanders) if hit)]
            yield (
                _breach(made, hit[0], "was changed, or not armed, beside a bad message", "MUST NOT cost others")
                if hit
                else None
            )
    bad = [account.resume(event.at) for event in account.record.of(Meddled) if event.fault == "corrupted"]
    if bad:
        yield from owed(account, lambda duty: any(is_between(duty, at) for at in bad))


@invariant(Harm.SPARES_THE_HUNG)
def death_contained(account: Account) -> Cases:
    """On a wire with a lock that all share: who is killed with it costs only itself."""
    held = [event for event in account.record.of(Meddled) if event.fault == "lock held"]
    if not held or "death-contained" not in account.contract.exempt:
        return
    requests, arrived = account.record.numbered, _arrivals(account)
    dead = requests[held[0].request]
    since = f"worker {dead.worker} was killed with the lock at {at_text(held[0].at)}"
    for number, request in requests.items():
        if number > dead.request:
            yield None if number in arrived else _unheard(request, f"never arrived: {since}")


@invariant(Harm.SPARES_THE_HUNG)
def acquire_means_armed(account: Account) -> Cases:
    """On a sequenced wire: what is answered was armed, or disarmed, and what is refused has left no timer."""
    if account.contract.order != "sequence":
        if "acquire-means-armed" in account.contract.exempt:
            yield from _returned(account)
        return
    yield from _refused(account)
    requests = account.record.numbered
    last: dict[Life, int] = {}
    for answer in account.record.ledger:
        if not isinstance(answer, Answered):
            continue
        request = requests[answer.request]
        life = request.worker, request.incarnation
        if answer.reason or answer.request <= last.get(life, -1) or account.has_died(life, answer.at):
            continue
        last[life] = answer.request
        said, found = ("release", "still") if request.expiration is None else ("acquire", "not")
        if answer.is_armed == (request.expiration is not None):
            yield None
            continue
        sentence = f"worker {life[0]} was answered at {at_text(answer.at)}, and its {request.scope} was {found} armed"
        yield Breach(answer.at, None, sentence, f"MUST NOT answer before the {said}")


def _returned(account: Account) -> Cases:
    """Yields the acquires that returned, which are all that did not raise: none was lost."""
    arrived = _arrivals(account)
    raised = {event.request for event in account.record.of(Meddled) if event.fault == "refused"}
    for request in account.record.requests:
        if request.expiration is not None and request.request not in raised:
            yield None if request.request in arrived else _unheard(request, "returned, and never arrived")


def _arrivals(account: Account) -> set[int]:
    return {event.request for event in account.record.of(Arrived)}


def _unheard(request: Sent, what: str) -> Breach:
    kind = "release" if request.expiration is None else "acquire"
    sentence = f"worker {request.worker}'s {kind} of {request.scope} at {at_text(request.at)} {what}"
    return Breach(request.at, (request.worker, request.incarnation), sentence, "MUST arrive")


def _refused(account: Account) -> Cases:
    """Yields the acquires that were answered with a reason: none has armed a timer."""
    refused = {entry.request for entry in account.record.ledger if isinstance(entry, Answered) and entry.reason}
    for made in account.registrations:
        for key, request in sorted(made.latest.items()) if refused else ():
            if request.request in refused and request.expiration is not None:
                is_left = key in made.after and key not in made.before
                yield _breach(made, key, "was refused, and armed", "MUST NOT be armed") if is_left else None


@invariant(Harm.LEAVES_THINGS_BEHIND, is_general=True)
def conservation(account: Account) -> Cases:
    """What was acquired is released, re-armed, reaped, gone, lost in a restart or live; what arrived is registered."""
    for made in account.registrations:
        yield from _kept(account, made)
        if made.bad:
            continue
        if not made.latest and not made.replayed:
            for key, is_moved in _moved(account, made, made.bystanders):
                yield (
                    _breach(made, key, "was changed without a request", "MUST NOT change by itself")
                    if is_moved
                    else None
                )
        unregistered = set(_unregistered(account, made))
        for key, request in sorted(made.latest.items()):
            kind = "released, and is armed still" if request.expiration is None else "acquired, and is not armed"
            yield _breach(made, key, f"was {kind}", "MUST register it") if key in unregistered else None
    yield from _taken(account)


def _moved(account: Account, made: Registration, keys: Iterable[Key]) -> Iterator[tuple[Key, bool]]:
    """Yields the keys, and for which of them the table was changed, except that who was gone left it."""
    for key in sorted(keys):
        yield key, made.changed(key) and not (key not in made.after and account.has_died(key[0], made.at))


def _kept(account: Account, made: Registration) -> Cases:
    """Yields what became of the table since the registration before: only who is gone may have left it."""
    for key in sorted(made.previous.keys() | made.before.keys()):
        if key not in made.previous:
            yield _breach(made, key, "was in the table, and nobody had acquired it", "MUST NOT be armed")
        elif key not in made.before:
            may_forget = made.is_new or (made.is_restarted and account.contract.restart == "forgets")
            is_over = may_forget or account.has_died(key[0], made.at)
            yield (
                None
                if is_over
                else _breach(made, key, "had left the table, and its worker was not gone", "MUST keep it")
            )


def _unregistered(account: Account, made: Registration) -> Iterator[Key]:
    """Yields the keys of which the table does not say what was asked for last, and of which none was refused."""
    refused = made.refused - made.bad
    for key, request in sorted(made.latest.items()):
        if account.has_died(key[0], made.at):
            continue
        if request.expiration is None:
            if key in made.after:
                yield key
        elif key not in made.after:
            refused -= 1
            if refused < 0:
                yield key


def _taken(account: Account) -> Cases:
    """Yields what arrived: a server with a table, that is there until the end, has taken it."""
    events, end = account.record.events, account.record.end
    if not account.registrations or account.resume(end) > end or account.record.of(ServerFailed):
        return
    taken = {number for entry in account.record.ledger if isinstance(entry, Registered) for number in entry.requests}
    lost = max((i for i, event in enumerate(events) if isinstance(event, ServerCrashed)), default=-1)
    requests = account.record.numbered
    for event in events[lost + 1 :]:
        if isinstance(event, Arrived) and event.at < end:
            request = requests[event.request]
            life, at = (request.worker, request.incarnation), at_text(event.at)
            sentence = f"a request of worker {life[0]} for {request.scope} arrived at {at}, and was never registered"
            yield None if event.request in taken else Breach(end, None, sentence, "MUST register it")


def _breach(made: Registration, key: Key, what: str, rule: str) -> Breach:
    life, scope = key
    return Breach(made.at, None, f"at {at_text(made.at)} the timer {scope} of worker {life[0]} {what}", rule)
