"""What a server did to its table, where it has one that can be looked at: registration by registration."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from timersim.lab.record import Instant, Life, Record, Registered, Sent, ServerCrashed, ServerStarted, Table

Key = tuple[Life, str]
"""Whose timer it is, and of which scope. Who bears the same pid has the same."""


@dataclass(slots=True)
class Registration:
    """What a server took from its wire at once, and its table `before` and `after`.

    `latest` holds for each key the last of its requests that counts; `replayed` are the keys of those that don't count
    on a wire with sequences: duplicated and overtaken ones. `bad` messages are no requests. `previous` is the table
    as it was left by the registration before; `is_restarted` where the server was started in between, `is_new` where
    it is another server.
    """

    at: Instant
    refused: int
    before: dict[Key, Instant]
    after: dict[Key, Instant]
    previous: dict[Key, Instant]
    is_restarted: bool
    is_new: bool
    bad: int = 0
    latest: dict[Key, Sent] = field(default_factory=dict)
    replayed: set[Key] = field(default_factory=set)

    @property
    def bystanders(self) -> set[Key]:
        """The keys that none of its requests concerns, of those that were in the table or are."""
        return (self.before.keys() | self.after.keys()) - self.latest.keys() - self.replayed

    def changed(self, key: Key) -> bool:
        """Returns whether it changed what the table holds for a key."""
        return not _is_same(self.before.get(key), self.after.get(key))


def registrations(record: Record, pid: Callable[[Life], Life]) -> Iterator[Registration]:
    """Yields the registrations of a run, in order. `pid` returns which life stands for all that bore its pid."""
    requests = record.numbered
    last: dict[Life, int] = {}
    previous: dict[Key, Instant] = {}
    position = 0
    for entry in record.ledger:
        if not isinstance(entry, Registered):
            continue
        between = record.events[position : entry.position]
        made = Registration(
            entry.at,
            entry.refused,
            _keyed(entry.before, pid),
            _keyed(entry.after, pid),
            previous,
            is_restarted=any(isinstance(event, ServerStarted) for event in between),
            is_new=any(isinstance(event, ServerCrashed) for event in between),
            bad=entry.requests.count(None),
        )
        for request in (requests[number] for number in entry.requests if number is not None):
            life = request.worker, request.incarnation
            is_replay = request.request <= last.get(life, -1)
            last[life] = max(last.get(life, -1), request.request)
            key = pid(life), request.scope
            if is_replay:
                made.replayed.add(key)
            if not is_replay or record.contract.order == "arrival":
                made.latest[key] = request
        yield made
        previous, position = made.after, entry.position


def _keyed(table: Table, pid: Callable[[Life], Life]) -> dict[Key, Instant]:
    return {(pid((worker, incarnation)), scope): due for (worker, incarnation, scope), due in table.items()}


def _is_same(one: Instant | None, other: Instant | None) -> bool:
    """Returns whether two instants are the same; one that is no number is the same as itself."""
    return one == other or (one is not None and other is not None and one != one and other != other)
