"""The story of a world that is driven by hand: what was requested and who was reaped, line by line."""

from typing import Any

from timersim.api import TimerRequest, shown
from timersim.fakes.clock import VirtualClock
from timersim.fakes.faults import FaultyRequestQueue

LONGEST = 200
"""How many lines are told; of a longer story the last ones."""


class Story:
    """What happens in a world, with its instants in seconds from the world's beginning.

    >>> from timersim.fakes import simulated_world
    >>> with simulated_world() as world:
    ...     world.client("rank 3").acquire("load", world.clock.time() + 60)
    ...     world.clock.advance(60)
    >>> print(world.story)
       0  rank 3  acquire load ->60
      60  rank 3  reaped
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._began = clock.time()
        self._lines: list[tuple[str, str, str]] = []

    def __str__(self) -> str:
        rows = self._lines[-LONGEST:]
        instants = max((len(at) for at, _, _ in rows), default=0) + 2
        workers = max((len(worker) for _, worker, _ in rows), default=0)
        told = [f"{at:>{instants}}  {worker:<{workers}}  {what}" for at, worker, what in rows]
        if len(self._lines) > LONGEST:
            told.insert(0, f"  … {len(self._lines) - LONGEST} lines before")
        return "\n".join(told)

    def tell(self, worker: object, what: str) -> None:
        """Adds a line."""
        self._lines.append((self._at(self.clock.time()), worker if isinstance(worker, str) else shown(worker), what))

    def request(self, request: TimerRequest) -> None:
        """Adds a request that was put."""
        if request.expiration_time < 0:
            self.tell(request.worker_id, f"release {request.scope_id}")
        else:
            self.tell(request.worker_id, f"acquire {request.scope_id} ->{self._at(request.expiration_time)}")

    def reap(self, worker_id: Any) -> bool:
        """Adds that the worker was reaped, who is gone at once."""
        self.tell(worker_id, "reaped")
        return True

    def _at(self, instant: float) -> str:
        return f"{instant - self._began:.9g}"


class ToldRequestQueue(FaultyRequestQueue):
    """A queue whose requests are told, and can be made to go astray."""

    def __init__(self, story: Story) -> None:
        super().__init__(story.clock)
        self._story = story

    def put(self, request: TimerRequest) -> None:
        """Adds a request; never blocks."""
        self._story.request(request)
        super().put(request)
