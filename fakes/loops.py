"""Event loops: what they run lives in real time, unseen by the clock, so a sleep in virtual time is refused there."""

import inspect
import sys
from types import FrameType

_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE

_KERNELS = ("IPython", "ipykernel", "nbclient")
"""Who runs the ordinary code of a notebook from inside a loop; there nothing of the user's is concurrent with it."""


def refuse_inside_a_loop() -> None:
    """Raises RuntimeError where the caller is a coroutine or a callback of a running event loop.

    Otherwise it costs a look for a running loop, and asyncio is not imported. The cells of a notebook, which its
    kernel runs from inside a loop, are let through.
    """
    asyncio = sys.modules.get("asyncio.events")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        caller = _from_a_loop(sys._getframe(1))
        if caller is not None:
            raise RuntimeError(
                f"can't sleep in virtual time inside a running event loop: {caller} would stop its loop, and what else"
                " the loop runs waits in real time, which the clock can't see; await asyncio.sleep(…), which takes real"
                " time, or have the test say how much passes: clock.advance(…)"
            )


def _from_a_loop(frame: FrameType | None) -> str | None:
    """Returns the coroutine or callback in which a frame runs, None where it is in none."""
    below = None
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if module.partition(".")[0] in _KERNELS:
            return None
        if frame.f_code.co_flags & _COROUTINE:
            return f"the coroutine {frame.f_code.co_qualname!r}"
        if module == "asyncio.events":
            return f"the callback {below.f_code.co_qualname!r}" if below else "a callback"
        below, frame = frame, frame.f_back
    return None
