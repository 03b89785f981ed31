"""The seat of a server in real time: what it is made in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from timersim.backends.wires.wire import Wire
from timersim.clock import Clock
from timersim.local_timer import MultiprocessingRequestQueue


@dataclass
class Seat:
    """What a server is made in: as a `SimulatedWorld`, with its times in seconds."""

    clock: Clock
    reap: Callable[[Any], bool]
    arguments: Mapping[str, Any]
    max_interval: float
    mp_queue: Any
    queue: Any

    @classmethod
    def on(cls, wire: Wire, max_interval: float, clock: Clock, reap: Callable[[Any], bool]) -> Self:
        """Returns the seat of a server on a wire, which looks every `max_interval` seconds at least."""
        arguments = wire.arguments(max_interval)
        mp_queue = arguments.get("mp_queue")
        queue = None if mp_queue is None else MultiprocessingRequestQueue(mp_queue, clock=clock)
        return cls(clock, reap, arguments, max_interval, mp_queue, queue)
