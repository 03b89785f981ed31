"""A cause: the operations without which a finding is none, and what causes there are to look for."""

from collections.abc import Callable
from dataclasses import dataclass

from timersim.lab.experiment import Backend
from timersim.lab.operations import (
    EVERYTHING,
    PLAIN,
    Acquire,
    CrashServer,
    Exit,
    Fault,
    Operation,
    Pause,
    Release,
    Resume,
    Start,
    StartServer,
    StopServer,
)
from timersim.lab.schedule import Schedule

WITHOUT = (Acquire, Release, Exit, Start)
"""What workers do that are well."""

Kinds = tuple[type[Operation], ...]

_COMPANY: dict[type[Operation], Kinds] = {Pause: (Resume,), CrashServer: (StartServer,)}
"""What is drawn beside a fault, so that there is an end to it."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What a finding takes: operations of these `kinds`, of none for one that healthy workers alone bring about.

    Of several kinds it takes some, or, where it is `of_each`, of all of them.
    """

    kinds: Kinds = ()
    of_each: bool = False

    @property
    def name(self) -> str:
        """What it is called; "" for none."""
        return " and ".join(kind.__name__ for kind in self.kinds)

    @property
    def drawn(self) -> Kinds:
        """The operations that are drawn to find it."""
        company = [each for kind in self.kinds for each in _COMPANY.get(kind, ())]
        return tuple(dict.fromkeys([*WITHOUT, *self.kinds, *company]))

    def is_taken(self, schedule: Schedule, breaks: Callable[[Schedule], bool]) -> bool:
        """Returns whether a schedule that breaks something does so no more without its operations."""
        groups = [(kind,) for kind in self.kinds] if self.of_each else [self.kinds]
        return not self.kinds or not any(breaks(_without(schedule, group)) for group in groups)


def _without(schedule: Schedule, kinds: Kinds) -> Schedule:
    return schedule.without(lambda operation: isinstance(operation, kinds))


def causes(backend: Backend) -> list[Cause]:
    """Returns what is tried on a backend, the simplest first: the faults that it can carry out and should survive.

    >>> from timersim.fakes import SimulatedBackend
    >>> [cause.name for cause in causes(SimulatedBackend())][:4]
    ['', 'StopServer and StartServer', 'PauseServer', 'Crash']
    """
    survives = backend.contract.survives
    drawn = [kind for kind in EVERYTHING if kind in PLAIN or kind.__name__ in survives]
    faults = [kind for kind in drawn if issubclass(kind, Fault) and kind in backend.operations]
    alone = [Cause((kind,)) for kind in faults]
    return [
        Cause(),
        Cause((StopServer, StartServer)),
        *alone,
        *(Cause((kind, StopServer), of_each=True) for kind in faults),
    ]
