"""The library's reaper as the server of a run is given it: it kills for real, through the record of the run."""

from typing import TYPE_CHECKING

from timersim.clock import Clock
from timersim.fakes.waiting import HOLD_LIMIT
from timersim.reaper import ProcessReaper

if TYPE_CHECKING:
    from collections.abc import Callable


class RecordedReaper(ProcessReaper):
    """A reaper whose reaps go through `record`, which the run puts there, and which calls `kill`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock, death_limit=HOLD_LIMIT)
        self.record: Callable[[int], bool] = self.kill

    def __call__(self, pid: int, number: int | None = None) -> bool:
        return self.record(pid)

    def kill(self, pid: int) -> bool:
        """Reaps for real."""
        return super().__call__(pid)
