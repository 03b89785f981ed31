"""Saved schedules as tests: each NAME.timersim.json is an item that passes once its cause is gone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from timersim.backends.names import BackendError
from timersim.backends.rack import BackendRack
from timersim.lab.hints import to_paste
from timersim.lab.layout import plain
from timersim.lab.operations import ScheduleError
from timersim.lab.replay import PASSES, replay
from timersim.lab.saved import FAILURES, SavedSchedule, load

if TYPE_CHECKING:
    from collections.abc import Iterable

RACK = pytest.StashKey[BackendRack]()
"""The backends of a session's saved schedules."""


class StillFailsError(Exception):
    """A saved schedule that is not fixed; its text is what the report shows."""


class SavedFile(pytest.File):
    """A file of one saved schedule."""

    def collect(self) -> "Iterable[SavedItem]":
        """Yields its test; a file that holds no saved schedule is an error of collection, with a sentence."""
        try:
            saved = load(self.path)
        except ScheduleError as error:
            raise self.CollectError(str(error)) from None
        yield SavedItem.from_parent(self, name=saved.name, saved=saved)


class SavedItem(pytest.Item):
    """The test that a saved schedule is: it fails while the schedule breaks anything."""

    def __init__(self, *, saved: SavedSchedule, **options: Any) -> None:
        super().__init__(**options)
        self.saved = saved

    def runtest(self) -> None:
        """Runs the schedule again."""
        rack = self.config.stash.setdefault(RACK, BackendRack())
        try:
            backend = rack.backend(self.saved.backend)
        except (BackendError, ImportError, RuntimeError) as error:
            raise StillFailsError(
                f"{self.path.name} needs a test of your own, since its backend can't be made here: {error}\n"
                f"  @example({self.saved.schedule!r})"
            ) from None
        verdict, violation = replay(self.saved, backend)
        if verdict not in PASSES:
            assert violation is not None
            schedule = plain(to_paste(self.saved.schedule, f"  on {backend.name}"))
            case = f"{violation.headline}\n{schedule}\n\n{violation.timeline}"
            raise StillFailsError(f"{verdict}: {case}\n  replay: timersim replay {self.path}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        """Shows the failing test case, and no traceback."""
        if isinstance(excinfo.value, StillFailsError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *args, **kwargs)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Names it in the report."""
        return self.path, None, self.name


def is_wanted(path: Path, session: pytest.Session) -> bool:
    """Returns whether a saved schedule is collected: what lies where failures are dropped is only on demand."""
    dropped = [folder for folder in (path, *path.parents) if FAILURES.name in folder.parts]
    return not dropped or any(session.isinitpath(each) for each in dropped)
