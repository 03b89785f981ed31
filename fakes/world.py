"""A simulated world: one watchdog in virtual time, with its queue and its clients."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from timersim.fakes.clock import VirtualClock
from timersim.fakes.patch import default_modules, patched
from timersim.fakes.servers import Server, ServerMaker, make_server
from timersim.fakes.story import Story, ToldRequestQueue
from timersim.fakes.tasks import TaskGroup
from timersim.kernel import Kernel
from timersim.memory_timer import MemoryTimerClient, MemoryTimerServer


class SimulatedWorld:
    """What a server is made in: `clock`, `queue`, `max_interval` and `reap(worker_id)`.

    `queue` is a `RequestQueue`: `size()`, and `get(n, timeout)` for up to n requests. With real workers `mp_queue` is
    the same as a `multiprocessing.Queue` has it; over a FIFO or a socket there is no `queue`, and `arguments` are what
    the constructor of timersim's own server takes first, by name, the path among them.

    `reap` is the simulated kernel's hand: what the server's own `os.kill`, `scancel` or pod deletion would have
    done; `kernel` is what a `ProcessReaper` of the server's own asks instead of the machine's. `server` is the watchdog
    itself, once it was made; `story` what has happened, for people.
    """

    def __init__(
        self,
        *,
        max_interval: float = 60,
        clock: VirtualClock | None = None,
        queue: Any = None,
        mp_queue: Any = None,
        arguments: Mapping[str, Any] | None = None,
        reap: Callable[[Any], bool] | None = None,
        kill: Callable[[int, int], None] | None = None,
        kernel: Kernel | None = None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.story = Story(self.clock)
        self.queue = queue or ToldRequestQueue(self.story)
        self.mp_queue = mp_queue
        self.arguments = arguments
        self.max_interval = max_interval
        self.reap = reap or self.story.reap
        self.kill = kill or (lambda pid, number: None)
        self.kernel = kernel
        self.group = TaskGroup("server")
        self._maker: ServerMaker = MemoryTimerServer
        self.server: Any = None

    def client(self, worker_id: Hashable) -> MemoryTimerClient:
        """Returns a client that speaks for `worker_id`."""
        return MemoryTimerClient(self.queue, worker_id)

    def make(self, group: TaskGroup) -> Server:
        """Makes a server, whose tasks will be of `group`; another one of the same kind where there was one."""
        with self.clock.group(group):
            self.server = make_server(self._maker, self)
        return self.server  # type: ignore[no-any-return]  # a server, or make_server had raised

    @contextmanager
    def seat(self, server: ServerMaker, modules: Sequence[str] | None = None) -> Iterator[Server]:
        """Makes the server; until the end of the block the modules in which it is written see this world's time.

        `modules` None: those of its class and of its bases outside the standard library and timersim. A function
        is called again where the server that it returned is written in a module that could not be known before.
        """
        bent = default_modules(server) if modules is None else modules
        self._maker = server
        for _ in range(2):
            with patched(bent, self.clock, self.kill):
                self.make(self.group)
                unknown = [] if modules is not None else [m for m in default_modules(self.server) if m not in bent]
                if not unknown:
                    yield self.server
                    return
            bent = [*bent, *unknown]


@contextmanager
def simulated_world(
    server: ServerMaker = MemoryTimerServer, *, max_interval: float = 60, start: float = 1_000_000.0
) -> Iterator[SimulatedWorld]:
    """Opens a world with a running watchdog; at the end of the block the watchdog is stopped.

    `start` is where its clock begins, in seconds.

    >>> import timersim
    >>> with simulated_world() as world:
    ...     world.client("rank 3").acquire("all_reduce", world.clock.time() + 3600)
    ...     world.clock.advance(3600)
    ...     world.server.reaped
    ['rank 3']
    """
    world = SimulatedWorld(max_interval=max_interval, clock=VirtualClock(start))
    try:
        with world.seat(server) as seated:
            with world.clock.group(world.group):
                seated.start()
            try:
                yield world
            finally:
                seated.stop()
    finally:
        world.clock.close()
