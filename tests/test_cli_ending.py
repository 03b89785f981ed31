"""How the commands that search end, whichever it was."""

import pytest

from timersim.cli_ending import Ending
from timersim.lab import Schedule
from timersim.lab.report import Finding, Report

LEFT = ["thread 'the alarm'", "descriptor 7 (/dev/null)", "process 4711 'sleep'"]


def report(**given: object) -> Report:
    """Returns the report of a search that broke nothing and missed nothing, but for what is `given`."""
    made = Report("memory", 0, examples=10)
    for name, value in given.items():
        setattr(made, name, value)
    return made


BROKEN = {"findings": [Finding(["reaped-once"], Schedule(), 1, 1, None)]}
MISSED = {"reachable": ["a timer re-armed"]}
STOPPED = {"is_interrupted": True}


@pytest.mark.parametrize(
    ("given", "left", "enough", "status"),
    [
        ({}, [], 10, 0),
        (BROKEN, [], 10, 1),
        ({}, LEFT, 10, 1),
        (MISSED, [], 10, 1),
        (MISSED, [], 11, 0),
        (STOPPED, [], 10, 130),
        ({**STOPPED, **BROKEN}, LEFT, 10, 130),
        ({**STOPPED, **MISSED}, [], 10, 130),
    ],
    ids=["held", "broken", "left", "missed", "too few to miss", "stopped", "broken and stopped", "stopped and missed"],
)
def test_the_exit_status_says_what_it_came_to(
    given: dict[str, object], left: list[str], enough: int, status: int
) -> None:
    """130 for an interrupt, 1 for what is broken, left, or not tried by a search that was long enough, else 0."""
    ending = Ending()
    ending.add(report(), [])
    ending.add(report(**given), left, enough)

    assert ending.status == status


def test_of_what_an_interrupted_search_left_counts_what_outlives_the_process() -> None:
    """An interrupt can come between the opening of a descriptor and its closing; a process stays, whoever ends."""
    whole, stopped = Ending(), Ending()
    whole.add(report(), LEFT)
    stopped.add(report(is_interrupted=True), LEFT)

    assert (whole.left, stopped.left) == (LEFT, LEFT[-1:])
