"""Windows: from when until when a worker must not, may and must be reaped, as the oracle has it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from timersim.lab.oracle import Account
from timersim.lab.record import Instant, Life, Started


class Word(StrEnum):
    """What holds in a window for the reap of a worker."""

    MUST_NOT = "MUST NOT"
    MAY = "MAY"
    MUST = "MUST"
    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class Window:
    """A time of one life: MUST NOT be reaped, MAY be, MUST have been, or it is GONE. The last has no end."""

    word: Word
    begin: Instant
    end: Instant


def windows(account: Account, life: Life) -> list[Window]:
    """Returns the windows of a life, each beginning where the one before it ends, as if nobody had reaped it.

    >>> from timersim.fakes import SimulatedBackend
    >>> from timersim.lab import Acquire, Contract, Schedule, run
    >>> trace = run(Schedule([Acquire(0, "load", after=5)]), SimulatedBackend(contract=Contract(reap_within=10)))
    >>> [(str(window.word), window.begin, window.end) for window in windows(trace.account, (0, 0))]
    [('MUST NOT', 0, 5), ('MAY', 5, 15), ('MUST', 15, inf)]
    """
    found: list[Window] = []
    for piece in _pieces(account, life):
        before = found[-1] if found else None
        if before and before.word == piece.word:
            found[-1] = Window(piece.word, before.begin, piece.end)
        elif before and before.word == Word.MAY and piece.word == Word.MUST and before.begin == before.end:
            found[-1] = piece
        else:
            found.append(piece)
    return found


def broken_windows(account: Account, life: Life, at: Instant, rule: str) -> tuple[Sequence[Window], Window | None]:
    """Returns the windows of a life, and the one in which a rule was broken; None: it is not for a window to say.

    They go on beyond the reap that broke it, to show when it would have been right; who is reaped again was GONE.
    """
    found = windows(account, life)
    death = account.deaths.get(life)
    if not rule.startswith(Word.MUST_NOT):
        return found, next((each for each in found if each.word == Word.MUST and each.begin <= at <= each.end), None)
    if word_at(account, life, at) == Word.MUST_NOT:
        return found, next(each for each in found if each.word == Word.MUST_NOT and each.begin <= at <= each.end)
    if death is None or death.at > at:
        return found, None
    gone = Window(Word.GONE, death.at, math.inf)
    lived = [Window(each.word, each.begin, min(each.end, death.at)) for each in found if each.begin <= death.at]
    return [*lived, gone], gone


def word_at(account: Account, life: Life, at: Instant) -> Word:
    """Returns what holds at an instant, as if nobody had reaped the life before."""
    for guard in account.guards.get(life, ()):
        if guard.is_sure and account.latest_reap(guard) < at <= guard.superseded:
            return Word.MUST
    return Word.MAY if account.may_reap(life, at) else Word.MUST_NOT


def _pieces(account: Account, life: Life) -> Iterator[Window]:
    """Yields each instant at which something changes, and the time between it and the next."""
    for at, following in pairwise([*_changes(account, life), math.inf]):
        yield Window(word_at(account, life, at), at, at)
        between = at + 1 if math.isinf(following) else (at + following) / 2
        yield Window(word_at(account, life, between), at, following)


def _changes(account: Account, life: Life) -> list[Instant]:
    """Returns the instants of a life at which another word can begin to hold, in order, its beginning first."""
    begin = next(e.at for e in account.record.of(Started) if (e.worker, e.incarnation) == life)
    transit = account.contract.transit
    instants = {at for guard in account.guards_of(life) for at in (guard.arrived - transit, guard.due - transit)}
    instants |= {guard.superseded + transit for guard in account.guards_of(life)}
    instants |= {account.latest_reap(guard) for guard in account.guards.get(life, ())}
    instants |= {at for begins, end in account.caught.get(life, ()) for at in (begins, account.resume(end))}
    return [begin, *sorted(at for at in instants if begin < at < math.inf)]
