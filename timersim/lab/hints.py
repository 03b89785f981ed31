"""Hints: a schedule to paste into a test, and the commands that come next."""

from timersim.lab.layout import MARGIN, Kind, Line, python
from timersim.lab.schedule import Schedule

_EXAMPLE = "@example("


def to_paste(schedule: Schedule, remark: str = "") -> list[Line]:
    """Returns a schedule as Python."""
    return python(schedule, "Schedule([", "])", remark)


def how_to_replay(replay: str, schedule: Schedule) -> list[Line]:
    """Returns the commands that come next, each in a line of its own; where there are none, the lines to paste."""
    if replay.startswith(_EXAMPLE):
        return python(schedule, f"replay: {_EXAMPLE}Schedule([", "]))")
    return commands(show=replay.replace("timersim replay", "timersim show", 1), replay=replay)


def commands(**labelled: str) -> list[Line]:
    """Returns commands with what each is for; they are never broken."""
    return [[(f"{MARGIN}{label + ':':<8}{command}", Kind.PLAIN)] for label, command in labelled.items()]
