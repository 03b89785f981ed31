"""torch's own timer servers in the laboratory: their source unmodified, their real watchdog loop in virtual time."""

import logging
import math
import pickle
import queue
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal

from timersim.backends.private_path import PrivatePath
from timersim.backends.process import ProcessBackend
from timersim.backends.runs.fifo_run import FifoRun
from timersim.backends.wires.local_wire import HAZARDS
from timersim.backends.wires.wire import SURVIVED, Line
from timersim.fakes.backend import SimulatedBackend
from timersim.lab.contract import Contract
from timersim.lab.experiment import World
from timersim.lab.operations import OPERATIONS, Delay, Drop, Duplicate, Operation, Reorder, SlowReap
from timersim.lab.specs import MAX_INTERVAL, spec_of

PACKAGE = "torch.distributed.elastic.timer"

TorchTransport = Literal["local", "file"]

MODULES: dict[str, tuple[str, ...]] = {
    "local": (f"{PACKAGE}.api", f"{PACKAGE}.local_timer"),
    "file": (f"{PACKAGE}.file_based_local_timer",),
}
"""The modules in which `time`, `threading`, `queue`, `os.kill` and `open` are ours for the length of a run."""

NEVER: dict[str, frozenset[type[Operation]]] = {
    "local": frozenset({Drop, Duplicate, Reorder, SlowReap}),
    "file": frozenset({Drop, Duplicate, Reorder, SlowReap, Delay}),
}
"""The faults to which they can't be subjected: a queue or a FIFO loses, doubles and reorders nothing, a client of the
FIFO has written when its call returns, and the kernel's `kill` does not wait for a death."""

EXEMPT = {
    "local": HAZARDS,
    "file": {"right-set": "once it has reaped somebody it ends its own process with the same signal, and logs that"},
}
"""What their wires can't keep, or what they do on purpose."""


class MissingTorchError(ImportError):
    """torch is not installed; the text says how to get it."""


class TorchBackend(ProcessBackend):
    """Runs torch's `LocalTimerServer` ("local") or `FileTimerServer` ("file") against real workers, in virtual time.

    In its modules `time`, `threading`, `queue`, `os.kill` and `open` are ours for the length of a run, and nothing else
    is touched. Its workers send by timersim's client, which writes what torch's does. It is held to its interval: a
    worker is reaped at the latest `max_interval` after its expiration, over the FIFO a nap of up to a second later.
    `survives` are the faults that a search draws besides the plain ones. Raises MissingTorchError where torch is not
    installed, ValueError for another transport.
    """

    def __init__(
        self,
        transport: TorchTransport = "local",
        *,
        max_interval: int = MAX_INTERVAL,
        survives: AbstractSet[str] = SURVIVED,
        pin: bool = False,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        name = f"torch-{transport}"
        _check_there(name, transport)
        super().__init__(
            transport,
            server=_SERVERS[transport],
            contract=contract_of(transport, max_interval, survives),
            max_interval=max_interval,
            patch=MODULES[transport],
            pin=pin,
            name=name,
            spec=spec or spec_of(name, None, None, contract=None, max_interval=max_interval, patch=None),
        )

    @contextmanager
    def open(self) -> Iterator[World]:
        with unheard(), super().open() as world:
            yield world


class SimulatedTorchBackend(SimulatedBackend):
    """Runs the same servers against simulated workers, so that every fault of theirs can be injected.

    What a simulated worker sends to `FileTimerServer` goes as a line over a real FIFO.
    """

    def __init__(
        self,
        transport: TorchTransport = "local",
        *,
        max_interval: int = MAX_INTERVAL,
        survives: AbstractSet[str] = SURVIVED,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        name = f"torch-{transport}-memory"
        _check_there(name, transport)
        super().__init__(
            _SIMULATED[transport],
            contract=contract_of(transport, max_interval, survives),
            max_interval=max_interval,
            patch=MODULES[transport],
            name=name,
            spec=spec or spec_of(name, None, None, contract=None, max_interval=max_interval, patch=None),
        )
        self.operations = frozenset(OPERATIONS.values()) - NEVER[transport]
        self._has_fifo = transport == "file"
        self._place: PrivatePath | None = None
        if self._has_fifo:
            self.sending = Line.sending

    @contextmanager
    def open(self) -> Iterator[World]:
        if not self._has_fifo:
            with unheard(), super().open() as world:
                yield world
            return
        self._place = self._place or PrivatePath("fifo")
        run = FifoRun(self.max_interval, self._place.path)
        try:
            with unheard(), run.running(self.server, self._patch):
                yield run
        finally:
            run.untie()

    def close(self) -> None:
        if self._place is not None:
            self._place.close()
            self._place = None


def contract_of(transport: TorchTransport, max_interval: int, survives: AbstractSet[str] = SURVIVED) -> Contract:
    """Returns what torch's servers promise: to look at their timers once in an interval, by the wall clock."""
    within = max_interval + (0 if transport == "local" else min(max_interval, 1))
    return Contract(
        clock="wall",
        reap_within=within,
        retry_within=within,
        survives=frozenset(survives),
        exempt=EXEMPT[transport],
    )


@contextmanager
def unheard() -> Iterator[None]:
    """Keeps what torch's servers log from standard error, to which torch has its loggers write each fault."""
    loggers = [logging.getLogger(name) for names in MODULES.values() for name in names]
    were = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was in zip(loggers, were, strict=True):
            logger.disabled = was


def _check_there(name: str, transport: str) -> None:
    if transport not in MODULES:
        raise ValueError(f"the transport of torch's servers is {' or '.join(MODULES)}: transport={transport!r}")
    if find_spec("torch") is None:
        raise MissingTorchError(
            f"{name} runs torch's own server, and torch is not installed: pip install torch==2.13.0"
        )


def _local_server(world: Any) -> Any:
    from torch.distributed.elastic.timer import LocalTimerServer

    return LocalTimerServer(world.mp_queue, world.max_interval)


def _file_server(world: Any) -> Any:
    from torch.distributed.elastic.timer import FileTimerServer

    return FileTimerServer(**world.arguments)


def _simulated_local_server(world: Any) -> Any:
    from torch.distributed.elastic.timer import LocalTimerServer

    return LocalTimerServer(_SimulatedQueue(world), world.max_interval)


class _SimulatedQueue:
    """The face of a simulated run's queue that a `multiprocessing.Queue` has."""

    def __init__(self, world: Any) -> None:
        self._queue = world.queue

    def qsize(self) -> int:
        """Returns how many requests were put: also those in the buffers of their workers, the dead ones included."""
        return int(self._queue.size() + self._queue.put_only)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - a queue's
        wait = 0 if not block else math.inf if timeout is None else max(0, timeout)
        taken = self._queue.get(1, wait)
        if not taken:
            raise queue.Empty
        if isinstance(taken[0], bytes):
            raise pickle.UnpicklingError("what was sent is no pickle")
        return taken[0]


_SERVERS = {"local": _local_server, "file": _file_server}
_SIMULATED = {"local": _simulated_local_server, "file": _file_server}
