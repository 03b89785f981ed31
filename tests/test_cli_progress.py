"""What the commands say on standard error while they run."""

from collections.abc import Callable
from io import StringIO

import pytest
from rich.console import Console

from timersim.cli_progress import progress_of
from timersim.fakes import VirtualClock


def told(total: int, tell_all: Callable[..., object], *, is_terminal: bool = False) -> list[str]:
    """Returns the lines of a progress of a `total`; a tick of virtual time passes with each that is done."""
    clock = VirtualClock()
    err = Console(file=StringIO(), force_terminal=is_terminal, width=80, highlight=False)
    with progress_of("memory", total, err, clock=clock) as tell:
        tell_all(tell, clock)
    clock.close()
    assert isinstance(err.file, StringIO)
    return err.file.getvalue().splitlines()


def at_once(tell: Callable[[int, str], None], clock: VirtualClock) -> None:
    """Tells of forty, one after the other, in no time."""
    for done in range(1, 41):
        tell(done, "")


def test_a_line_is_due_for_each_tenth() -> None:
    """Each tenth has a line, but for the last, which what it came to follows."""
    assert told(400, at_once) == ["memory: 40 of 400 schedules"]
    assert told(100, at_once) == [f"memory: {done} of 100 schedules" for done in (10, 20, 30, 40)]


@pytest.mark.parametrize(("total", "lines"), [(5, 0), (10, 0), (11, 1), (20, 1), (21, 2), (40, 3)])
def test_what_is_little_has_few_lines(total: int, lines: int) -> None:
    """Nobody wants a line for each of five: one is due for ten of them, and none at the end."""
    said = told(total, lambda tell, clock: [tell(done, "") for done in range(1, total + 1)])

    assert said == [f"memory: {10 * number} of {total} schedules" for number in range(1, lines + 1)]


def test_what_is_slow_has_a_line_every_ten_seconds() -> None:
    """Where the first tenth takes long a line says that it is alive: after ten seconds, not after nine."""

    def slow(tell: Callable[[int, str], None], clock: VirtualClock) -> None:
        for done, seconds in ((1, 9), (2, 1), (3, 9), (4, 2)):
            clock.advance(seconds)
            tell(done, "2 broken")

    assert told(1000, slow) == ["memory: 2 of 1,000 schedules, 2 broken", "memory: 4 of 1,000 schedules, 2 broken"]


def test_what_comes_in_batches_has_a_line_for_each_batch_at_most() -> None:
    """A batch that goes over several tenths is told once."""

    def batches(tell: Callable[[int, str], None], clock: VirtualClock) -> None:
        for done in (35, 36, 78, 100):
            tell(done, "")

    assert told(100, batches) == ["memory: 35 of 100 schedules", "memory: 78 of 100 schedules"]


def test_a_terminal_has_a_bar() -> None:
    """There a bar says the same, and is wiped away."""
    lines = told(100, lambda tell, clock: tell(40, "2 broken"), is_terminal=True)

    assert any("memory  2 broken" in line and "40/100" in line for line in lines)
    assert lines[-1].endswith("\x1b[2K")
