"""The failing test case as lines: what broke, the schedule to paste, the lanes with the windows, what to type next."""

from shlex import quote

from timersim.lab.hints import commands, to_paste
from timersim.lab.invariants import InvariantViolation
from timersim.lab.layout import Kind, Line, paragraph
from timersim.lab.record import Record
from timersim.lab.saved import SavedSchedule
from timersim.lab.schedule import Schedule
from timersim.lab.timeline import broken_lines, lane_lines


def headline(text: str) -> list[Line]:
    """Returns what is wrong, as it stands above everything else."""
    return paragraph(text, Kind.WRONG, margin="")


def rule(violation: InvariantViolation) -> list[Line]:
    """Returns what should have held."""
    return paragraph(f"rule: {violation.invariant.statement}")


def faults(schedule: Schedule, *, is_broken: bool = True) -> str:
    """Returns in words which faults it takes to break something, or under which nothing is broken."""
    if not schedule.faults:
        return "no fault needed" if is_broken else "no fault"
    return f"{'fault needed' if is_broken else 'under the fault'}: {', '.join(schedule.faults)}"


def story(violation: InvariantViolation) -> list[Line]:
    """Returns the lanes of a violation, with the rule where it was broken, and the windows."""
    breach = violation.breach
    return broken_lines(violation.record, breach.at, breach.rule, breach.life)


def shown(saved: SavedSchedule, file: str, record: Record, violation: InvariantViolation | None) -> list[Line]:
    """Returns what became of a saved schedule: the whole failing test case, or the lanes of one that holds."""
    if violation is None:
        head = paragraph(f"{', '.join(saved.invariants)}: holds", Kind.GOOD, margin="")
        harm, told = "", lane_lines(record)
    else:
        head, told = [*headline(violation.headline), *rule(violation)], story(violation)
        harm = violation.invariant.harm.name.lower().replace("_", " ") + "; "
    typed = quote(file)
    return [
        *head,
        *paragraph(f"{harm}{faults(saved.schedule, is_broken=bool(violation))}; on the backend {record.backend}"),
        *to_paste(saved.schedule),
        *told,
        *commands(replay=f"timersim replay {typed}", draw=f"timersim show {typed} --figure case.png"),
    ]
