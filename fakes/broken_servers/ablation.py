"""An ablation as data: a safeguard, what takes it out, and the invariant that is named for it."""

from dataclasses import dataclass

from timersim.memory_timer import MemoryTimerServer
from timersim.table_server import TableTimerServer


@dataclass(frozen=True, slots=True)
class Ablation:
    """A `safeguard` by its name, the mixin that takes it out of a correct server, and the invariant that this breaks.

    The mixin's docstring says what the broken server does; its base is the most general server that has the safeguard.
    One that `is_for_simulation` would hit strangers where processes are real.
    """

    safeguard: str
    takes_out: type[object]
    breaks: str
    is_for_simulation: bool = False

    @property
    def server(self) -> type[TableTimerServer]:
        """The correct server out of which it is taken in simulation: that of memory, unless it needs more."""
        needs = self.takes_out.__bases__[0]
        return MemoryTimerServer if issubclass(MemoryTimerServer, needs) else needs

    def applies_to(self, server: type[TableTimerServer]) -> bool:
        """Returns whether the safeguard can be taken out of this server of real processes."""
        return not self.is_for_simulation and issubclass(server, self.takes_out.__bases__[0])
