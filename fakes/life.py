"""One life of a simulated process: what signals do to it, and which one ends it."""

import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from timersim.fakes.tasks import Call

UNCATCHABLE = frozenset({signal.SIGKILL, signal.SIGSTOP})
"""What can be neither ignored nor blocked."""

STOPPING = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
"""What stops a process that does nothing about it."""

IDLE = frozenset({signal.SIGCONT, signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH})
"""What changes nothing for one that does nothing about it, except that SIGCONT lets a stopped one go on."""

LAST_SIGNAL = 64

FIRST_PID = 5_000_001
"""The first pid of simulated processes, above what a kernel gives (at most 2**22): no real one can be hit."""


class Life:
    """A process from its start until its status is taken. Its parent is a life too, but for the first ones.

    `fate` is the fatal signal that it has taken while it is not dead of it yet, `due` the death of which that is only a
    matter of time, `status` what it has died with: None while it lives.
    """

    __slots__ = (
        "blocks",
        "children",
        "dies_after",
        "due",
        "due_at",
        "fate",
        "ignores",
        "immortal",
        "number",
        "owned",
        "parent",
        "pending",
        "pid",
        "status",
        "stopped",
    )

    def __init__(self, pid: int, number: int, parent: "Life | None") -> None:
        self.pid = pid
        self.number = number
        self.parent = parent
        self.children: dict[Life, None] = {}
        self.ignores: frozenset[int] = frozenset()
        self.blocks: frozenset[int] = frozenset()
        self.pending: set[int] = set()
        self.dies_after: float | Mapping[int, float] = 0.0
        self.owned = True
        self.immortal = False
        self.stopped = False
        self.status: int | None = None
        self.fate: int | None = None
        self.due: Call | None = None
        self.due_at = 0.0

    def receive(self, number: int) -> int | None:
        """Takes a signal, or lets it pend; returns the signal of which it has to die now, if it has.

        As signal(7) has it. SIGCONT takes back a stop that pends, and lets a stopped one go on though it is blocked.
        Who is dying already takes SIGKILL alone.
        """
        if self.fate is not None and number != signal.SIGKILL:
            return None
        if number == signal.SIGCONT:
            self.pending -= STOPPING
            self.stopped = False
            return self.deliver()
        if number in self.ignores or number in IDLE:
            return None
        if self._takes(number):
            return self._act(number)
        self.pending.add(number)
        return None

    def deliver(self) -> int | None:
        """Takes what pends and can reach it now, the lowest signal first; returns the one of which it has to die."""
        for number in sorted(self.pending - self.blocks):
            if self.stopped or self.immortal:
                return None
            self.pending.discard(number)
            if self._act(number) is not None:
                return number
        return None

    def delay(self, number: int) -> float:
        """Returns how many seconds pass between this fatal signal and the death."""
        return self.dies_after.get(number, 0.0) if isinstance(self.dies_after, Mapping) else self.dies_after

    def _act(self, number: int) -> int | None:
        if number not in STOPPING:
            return number
        self.stopped = True
        return None

    def _takes(self, number: int) -> bool:
        """Returns whether a signal reaches it now.

        In an uninterruptible sleep a fatal one does, unless another signal is before it: it can't be taken back.
        """
        if number == signal.SIGKILL:
            return True
        if number in self.blocks or self.stopped:
            return False
        return not self.immortal or (number not in STOPPING and self.pending <= self.blocks)
