"""Goals: situations that a suite must have reached at least once; an unreached one means a vacuous pass."""

from collections.abc import Callable

from timersim.lab.oracle import Account

Goal = Callable[[Account], bool]


def reached(account: Account) -> list[str]:
    """Returns the names of the goals that a run reached."""
    return [name for name, goal in GOALS.items() if goal(account)]


def _released_before_due(account: Account) -> bool:
    return any(g.superseded < g.due and g.superseded_by == "released" for g in account.all_guards)


def _superseded_at_the_expiration(account: Account) -> bool:
    return any(g.superseded == g.due for g in account.all_guards)


def _re_armed(account: Account) -> bool:
    return any(g.superseded_by == "re-armed" for g in account.all_guards)


def _due_on_arrival(account: Account) -> bool:
    return any(g.due <= g.arrived for g in account.all_guards)


def _two_scopes_due_at_once(account: Account) -> bool:
    standing = [(g.life, g.due) for g in account.all_guards if g.superseded > g.due]
    return len(set(standing)) < len(standing)


def _several_workers_due_at_once(account: Account) -> bool:
    standing = {(g.due, g.life) for g in account.all_guards if g.superseded > g.due}
    return len({due for due, _ in standing}) < len(standing)


def _dead_while_armed(account: Account) -> bool:
    deaths = account.deaths
    return any(g.life in deaths and deaths[g.life].how != "reaped" and deaths[g.life].at < min(g.due, g.superseded)
               for g in account.all_guards)  # fmt: skip


def _paused_across_an_expiration(account: Account) -> bool:
    return any(begin < g.due < end <= g.superseded for g in account.all_guards for begin, end in account.pauses)


def _stopped_across_an_expiration(account: Account) -> bool:
    return any(begin < g.due < min(end, g.superseded) for g in account.all_guards for begin, end in account.stops)


GOALS: dict[str, Goal] = {
    "a release before the expiration": _released_before_due,
    "a release or re-arm at the expiration": _superseded_at_the_expiration,
    "a timer re-armed": _re_armed,
    "a timer due when it arrives": _due_on_arrival,
    "two scopes of a worker due at once": _two_scopes_due_at_once,
    "several workers due at once": _several_workers_due_at_once,
    "a death while armed": _dead_while_armed,
    "a server paused across an expiration": _paused_across_an_expiration,
    "a server stopped across an expiration": _stopped_across_an_expiration,
}
"""Every goal by its name."""
