"""The plan of a schedule: what was drawn so far will have come to, by which what is drawn next is aimed."""

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Plan:
    """What a schedule drawn so far will have come to on a correct server: it aims what is drawn next.

    `orphaned` says until when the timers last that somebody held who died. To the next request of the worker
    `under_way` something will happen, or to what comes of it. At a `collision` a timer was released at the instant, by
    that worker, of that scope, when it was due.
    """

    now: int = 0
    held: dict[int, dict[str, int]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    orphaned: dict[int, int] = field(default_factory=dict)
    under_way: int | None = None
    collision: tuple[int, int, str] | None = None
    away_until: float = 0

    def pass_time(self, ticks: int) -> None:
        """Lets time pass: who comes due while the server is there is reaped."""
        self.now += ticks
        if self.now >= self.away_until:
            for worker in [w for w, timers in self.held.items() if min(timers.values()) < self.now]:
                self.end(worker)

    def end(self, worker: int) -> None:
        """Lets a worker be dead."""
        self.ended.add(worker)
        self.orphaned[worker] = max(self.held.get(worker, {}).values(), default=0)
        self.paused.discard(worker)
        self.held.pop(worker, None)

    def instants(self) -> list[int]:
        """Returns the instants ahead at which something happens, in order."""
        dues = {due for timers in self.held.values() for due in timers.values()}
        if self.away_until < math.inf:
            dues.add(int(self.away_until))
        return sorted(due for due in dues if due > self.now)

    def acquire(self, worker: int, scope: str, after: int) -> None:
        """Lets a timer be armed."""
        self.held.setdefault(worker, {})[scope] = self.now + after

    def taken_from(self, worker: int) -> int:
        """Returns who acquires: the worker to whose next request something happens, else the one that is meant."""
        late, self.under_way = self.under_way, None
        return worker if late is None or late in self.ended else late

    def release(self, worker: int, scope: str, value: int) -> tuple[int, str]:
        """Lets a timer be released, and returns which: the one meant where it is held, else one that is, if any is.

        One of the worker whose next request is under way goes first.
        """
        late, self.under_way = self.under_way, None
        if late in self.held:
            worker = late
        if scope not in self.held.get(worker, ()):
            held = [(w, s) for w, timers in self.held.items() for s in timers if late not in self.held or w == late]
            if held:
                worker, scope = held[value % len(held)]
        timers = self.held.get(worker, {})
        if timers.pop(scope, None) == self.now:
            self.collision = self.now, worker, scope
        if not timers:
            self.held.pop(worker, None)
        return worker, scope

    def reuse(self, worker: int, value: int) -> tuple[int, int]:
        """Lets a worker that has ended start, the one meant where it has, and returns it and whose pid it bears.

        The pid of somebody whose timer is live goes first.
        """
        ended = sorted(self.ended) or [worker]
        orphans = self.orphans() or ended
        if worker not in self.ended:
            worker = ended[value % len(ended)]
        self.ended.discard(worker)
        return worker, orphans[value % len(orphans)]

    def orphans(self) -> list[int]:
        """Returns who has ended with a timer that is not due yet."""
        return sorted(worker for worker in self.ended if self.orphaned.get(worker, 0) > self.now)

    def collides(self) -> tuple[int, str] | None:
        """Returns whose timer was released at this instant when it was due, and of which scope."""
        if self.collision is None or self.collision[0] != self.now:
            return None
        return self.collision[1:]

    def next_due(self, worker: int | None = None) -> int | None:
        """Returns when a timer is due next, of this worker or of any; None without one."""
        held = self.held.values() if worker is None else [self.held.get(worker, {})]
        return min((due for timers in held for due in timers.values() if due > self.now), default=None)
