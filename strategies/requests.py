"""Hypothesis strategies for requests."""

import math
import sys
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from timersim.api import TimerRequest

LAST_PID = 2**22
"""The largest pid that Linux gives to a process."""

WORKER_IDS = (1, LAST_PID + 1, LAST_PID + 2, 2**31 - 1)
"""Pids of nobody whom a server under test could kill: init, and what the kernel takes for a pid and never gives."""

SCOPE_IDS = ("s0", "s1")
"""The scopes that are met again and again, so that requests concern each other."""

ODD_SCOPE_IDS = ("", " ", "\0", "a\nb", '"', "\u00e9", "e\u0301", "\U0001f642")
"""Scopes at the edge of what a wire carries: nothing, ends of lines and texts, look-alikes."""

LENGTHS = (256, 4096)
"""The lengths of long scopes: more than a byte counts, more than a pipe takes as one (PIPE_BUF)."""

EXPIRATIONS = (0.0, -1.0, -0.0, -1e-9, math.inf)
"""The expirations that tell servers apart: of these only -1.0 and -1e-9 release."""

ODD_EXPIRATIONS = (
    *(0, -1, 1, 1_000_000, 2**53 + 1, 10**30),
    *(1e-9, 5e-324, -5e-324, sys.float_info.max, -sys.float_info.max, -math.inf),
    *(1.5, math.nextafter(1e6, 0), math.nextafter(1e6, math.inf)),
)
"""Expirations at the edge of what a number is: whole, tiny, huge, and next to an instant.

The simplest release stands where EXPIRATIONS has it, so that each of the others shrinks to that one.
"""

NOW = 1_000_000.0
"""Where a `VirtualClock` starts: most of the expirations near it are due within two minutes."""

NO_SCOPE_IDS = (None, b"s0", 0, ("s0",))
NO_EXPIRATIONS = (math.nan, None, True, "5", Decimal(5), 1j, 2**1024)


def timer_requests(
    *,
    worker_ids: st.SearchStrategy[Any] | None = None,
    scope_ids: st.SearchStrategy[str] | None = None,
    expirations: st.SearchStrategy[float] | None = None,
    valid: bool = True,
) -> st.SearchStrategy[TimerRequest]:
    """Generates requests, acquires and releases, that crowd around what servers get wrong.

    Expirations are near 0 on both sides (-0.0 acquires, -1e-9 releases), near the start of a `VirtualClock`, tiny,
    huge and infinite; scopes are empty, long and in any script. The pids are 1 and such as no process has, so a
    server that kills for real hits nobody. Requests shrink to an acquire of worker 1, scope "s0", at 0.0.

    `worker_ids`, `scope_ids` and `expirations` are strategies that take the place of ours. With `valid=False` each
    request is one that a server has to refuse: one of its three fields is of a wrong type, or not a number. Raises
    ValueError for an argument that is no strategy.

    >>> from hypothesis import find
    >>> find(timer_requests(), lambda request: request.expiration_time < 0)
    TimerRequest(1, 's0', -1.0)
    >>> find(timer_requests(valid=False), lambda request: True)
    TimerRequest(1, 's0', nan)
    """
    given = {"worker_ids": worker_ids, "scope_ids": scope_ids, "expirations": expirations}
    for name, value in given.items():
        if value is not None and not isinstance(value, st.SearchStrategy):
            raise ValueError(f"{name} is a strategy: {name}={value!r}")
    if not isinstance(valid, bool):
        raise ValueError(f"valid is True or False: valid={valid!r}")
    workers = st.sampled_from(WORKER_IDS) if worker_ids is None else worker_ids
    scopes = _scope_ids() if scope_ids is None else scope_ids
    instants = _expirations() if expirations is None else expirations
    if valid:
        return st.builds(TimerRequest, workers, scopes, instants)
    return st.one_of(
        st.builds(TimerRequest, workers, scopes, st.sampled_from(NO_EXPIRATIONS)),
        st.builds(TimerRequest, workers, st.sampled_from(NO_SCOPE_IDS), instants),
        st.builds(TimerRequest, st.one_of(st.builds(list), st.builds(dict), st.builds(bytearray)), scopes, instants),
    )


def _scope_ids() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(SCOPE_IDS),
        st.sampled_from(ODD_SCOPE_IDS),
        st.sampled_from(LENGTHS).map("s".__mul__),
        st.text(),
    )


def _expirations() -> st.SearchStrategy[float]:
    return st.one_of(
        st.sampled_from(EXPIRATIONS),
        st.sampled_from(ODD_EXPIRATIONS),
        st.integers(0, 120).map(NOW.__add__),
        st.floats(allow_nan=False),
    )
