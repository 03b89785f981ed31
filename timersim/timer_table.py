"""The table of live timers, found by key, by worker and by expiration."""

import heapq
import math
from collections.abc import Hashable, Iterator
from itertools import count

Key = tuple[Hashable, str]
"""Whose timer it is, and of which block: (worker, scope)."""

_Entry = tuple[float, int, Hashable, str]


class TimerTable:
    """Live timers with their expirations: a dict a worker, and a heap with lazy deletion.

    An instant is a number on whatever axis the caller keeps; the table only compares them.

    >>> table = TimerTable()
    >>> table.arm((1, "load"), 10)
    >>> table.due(9), table.due(10), table.next_expiration()
    ([], [(1, 'load')], 10)
    """

    __slots__ = ("_count", "_heap", "_live", "_serial")

    def __init__(self) -> None:
        self._live: dict[Hashable, dict[str, _Entry]] = {}
        self._count = 0
        self._heap: list[_Entry] = []
        self._serial = count()

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: Key) -> bool:
        return key[1] in self._live.get(key[0], ())

    def __iter__(self) -> Iterator[Key]:
        return ((worker, scope) for worker, timers in self._live.items() for scope in timers)

    def arm(self, key: Key, expiration: float) -> None:
        """Arms the timer of `key`, or re-arms it: the older expiration is forgotten."""
        worker, scope = key
        timers = self._live.get(worker)
        if timers is None:
            timers = self._live[worker] = {}
        if scope not in timers:
            self._count += 1
        timers[scope] = entry = (expiration, next(self._serial), worker, scope)
        heapq.heappush(self._heap, entry)
        self._bound()

    def disarm(self, key: Key) -> bool:
        """Forgets the timer of `key`; returns whether there was one."""
        worker, scope = key
        timers = self._live.get(worker)
        if timers is None or timers.pop(scope, None) is None:
            return False
        self._count -= 1
        if not timers:
            del self._live[worker]
        self._bound()
        return True

    def disarm_worker(self, worker: Hashable) -> int:
        """Forgets every timer of `worker`; returns how many there were."""
        number = len(self._live.pop(worker, ()))
        self._count -= number
        self._bound()
        return number

    def scopes(self, worker: Hashable) -> list[str]:
        """Returns the scopes for which `worker` holds a timer, oldest first."""
        return list(self._live.get(worker, ()))

    def expiration(self, key: Key) -> float | None:
        """Returns when the timer of `key` is due, None where there is none."""
        entry = self._live.get(key[0], {}).get(key[1])
        return entry[0] if entry else None

    def next_expiration(self, after: float = -math.inf) -> float | None:
        """Returns the earliest expiration later than `after`, None where there is none."""
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)
        earliest = math.inf
        pending = [0]
        while pending:
            index = pending.pop()
            if index >= len(self._heap) or self._heap[index][0] > earliest:
                continue
            entry = self._heap[index]
            if entry[0] > after and self._is_live(entry):
                earliest = entry[0]
            else:
                pending += (2 * index + 1, 2 * index + 2)
        return None if earliest == math.inf else earliest

    def due(self, now: float) -> list[Key]:
        """Returns the keys whose expiration is `now` or earlier, earliest first, ties as armed.

        They stay in the table. What is due lies at the top of the heap: nothing else is visited.
        """
        found: list[_Entry] = []
        pending = [0]
        while pending:
            index = pending.pop()
            if index < len(self._heap) and self._heap[index][0] <= now:
                if self._is_live(self._heap[index]):
                    found.append(self._heap[index])
                pending += (2 * index + 1, 2 * index + 2)
        return [(worker, scope) for _, _, worker, scope in sorted(found, key=_by_time)]

    def _is_live(self, entry: _Entry) -> bool:
        timers = self._live.get(entry[2])
        return timers is not None and timers.get(entry[3]) is entry

    def _bound(self) -> None:
        """Throws the dead entries out once they outnumber the live ones by 64."""
        if len(self._heap) > 2 * self._count + 64:
            self._heap = [entry for timers in self._live.values() for entry in timers.values()]
            heapq.heapify(self._heap)


def _by_time(entry: _Entry) -> tuple[float, int]:
    return entry[0], entry[1]
