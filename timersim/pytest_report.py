"""What the report of a failing test shows of a world: its story, or the failing test case's file and replay line."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from timersim.lab.invariants import InvariantViolation

TITLE = "timersim"


def add_section(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Adds a section to the report of a failing test that used a world of ours, or broke an invariant."""
    lines = [line for violation in _violations(call) for line in _replay_lines(violation, item.nodeid)]
    world = getattr(item, "funcargs", {}).get("timer_world")
    if world is not None and str(world.story):
        lines += ["in the test's world, in seconds from its beginning:", str(world.story)]
    if lines:
        report.sections.append((TITLE, "\n".join(lines)))


def _violations(call: pytest.CallInfo[None]) -> "Iterator[InvariantViolation]":
    """Yields the violations of an exception or of a group of them; timersim is not imported for it."""
    invariants = sys.modules.get("timersim.lab.invariants")
    if invariants is None or call.excinfo is None:
        return
    pending: list[BaseException] = [call.excinfo.value]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending += error.exceptions
        elif isinstance(error, invariants.InvariantViolation):
            yield error


def _replay_lines(violation: "InvariantViolation", node: str) -> Iterator[str]:
    """Saves a violation where its backend can be made again, and says how to see it once more."""
    from timersim.lab.saved import FAILURES, of_violation

    saved = of_violation(violation)
    if saved is None:
        yield f"replay: paste {violation.replay} above {node}"
        return
    try:
        path = saved.save(FAILURES)
    except OSError as error:
        yield f"replay: paste {violation.replay} above {node}; {FAILURES} can't be written: {error.strerror}"
    else:
        yield f"replay: timersim replay {path}"
