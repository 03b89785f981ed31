"""The table of live timers, found by key, by worker and by expiration."""

import math
from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any

Key = tuple[Hashable, str]
"""Whose timer it is, and of which block: (worker, scope)."""

_Entry = list[Any]
"""An entry of the heap: expiration, serial, key. The key of a timer that was disarmed is None."""

_KEY = 2

_NEVER = math.inf

SPARE = 64
"""The heap has at most twice as many entries as there are live timers, and so many more; `_room` is what is left."""


class TimerTable:
    """Live timers with their expirations: a dict a worker, and a heap with lazy deletion.

    An instant is a number on whatever axis the caller keeps; the table only compares them.

    >>> table = TimerTable()
    >>> table.arm((1, "load"), 10)
    >>> table.due(9), table.due(10), table.next_expiration()
    ([], [(1, 'load')], 10)
    """

    __slots__ = ("_heap", "_live", "_room", "_serial")

    def __init__(self) -> None:
        self._live: dict[Hashable, dict[str, _Entry]] = {}
        self._room = SPARE
        self._heap: list[_Entry] = []
        self._serial = 0

    def __len__(self) -> int:
        return (len(self._heap) + self._room - SPARE) // 2

    def __contains__(self, key: Key) -> bool:
        return key[1] in self._live.get(key[0], ())

    def __iter__(self) -> Iterator[Key]:
        return ((worker, scope) for worker, timers in self._live.items() for scope in timers)

    def arm(self, key: Key, expiration: float) -> None:
        """Arms the timer of `key`, or re-arms it: the older expiration is forgotten."""
        worker, scope = key
        try:
            timers = self._live[worker]
        except KeyError:
            timers = self._live[worker] = {}
        self._serial = serial = self._serial + 1
        entry = [expiration, serial, key]
        heappush(self._heap, entry)
        if scope not in timers:
            timers[scope] = entry
            self._room += 1
            return
        timers[scope][_KEY] = None
        timers[scope] = entry
        self._room -= 1
        if self._room < 0:
            self._compact()

    def disarm(self, key: Key) -> bool:
        """Forgets the timer of `key`; returns whether there was one."""
        worker, scope = key
        try:
            timers = self._live[worker]
            timers.pop(scope)[_KEY] = None
        except KeyError:
            return False
        if not timers:
            del self._live[worker]
        self._room = room = self._room - 2
        if room < 0:
            self._compact()
        return True

    def disarm_worker(self, worker: Hashable) -> int:
        """Forgets every timer of `worker`; returns how many there were."""
        timers = self._live.pop(worker, {})
        for entry in timers.values():
            entry[_KEY] = None
        self._room -= 2 * len(timers)
        if self._room < 0:
            self._compact()
        return len(timers)

    def scopes(self, worker: Hashable) -> list[str]:
        """Returns the scopes for which `worker` holds a timer, oldest first."""
        return list(self._live.get(worker, ()))

    def expiration(self, key: Key) -> float | None:
        """Returns when the timer of `key` is due, None where there is none."""
        entry = self._live.get(key[0], {}).get(key[1])
        return entry[0] if entry else None

    def next_expiration(self, after: float = -_NEVER) -> float | None:
        """Returns the earliest expiration later than `after`, None where there is none."""
        heap = self._heap
        while heap and heap[0][_KEY] is None:
            heappop(heap)
            self._room += 1
        if not heap:
            return None
        first: float = heap[0][0]
        return first if after < first < _NEVER else self._next_below(after)

    def _next_below(self, after: float) -> float | None:
        """Looks below the entries that are due already, which lie at the top of the heap."""
        heap = self._heap
        earliest = math.inf
        pending = [0]
        while pending:
            index = pending.pop()
            if index >= len(heap) or heap[index][0] > earliest:
                continue
            if heap[index][0] > after and heap[index][_KEY] is not None:
                earliest = heap[index][0]
            else:
                pending += (2 * index + 1, 2 * index + 2)
        return None if earliest == math.inf else earliest

    def due(self, now: float) -> list[Key]:
        """Returns the keys whose expiration is `now` or earlier, earliest first, ties as armed.

        They stay in the table. What is due lies at the top of the heap: nothing else is visited.
        """
        heap = self._heap
        found: list[_Entry] = []
        pending = [0]
        while pending:
            index = pending.pop()
            if index < len(heap) and heap[index][0] <= now:
                if heap[index][_KEY] is not None:
                    found.append(heap[index])
                pending += (2 * index + 1, 2 * index + 2)
        return [key for _, _, key in sorted(found)]

    def _compact(self) -> None:
        """Throws the dead entries out, once they outnumber the live ones by SPARE."""
        self._heap = [entry for timers in self._live.values() for entry in timers.values()]
        heapify(self._heap)
        self._room = len(self._heap) + SPARE
