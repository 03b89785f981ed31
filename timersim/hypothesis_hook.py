"""The Hypothesis hook: `from_type` knows schedules and requests. It imports their strategies where they are drawn."""

from typing import Any

from timersim.announcements import listen

STRATEGIES = {"Schedule": "schedules", "TimerRequest": "timer_requests"}
"""Which strategy of `timersim.strategies` draws instances of which type."""


def register() -> None:
    """Lets `from_type` know our types from when they are defined on; Hypothesis calls it when it is imported."""
    listen(_register)


def _register(kind: type) -> None:
    from hypothesis import strategies as st

    def resolve(asked: type) -> Any:
        """Returns the strategy for `kind` itself; who asks for any Sized or Hashable means no schedule."""
        if asked is not kind:
            return NotImplemented
        from timersim import strategies

        return getattr(strategies, STRATEGIES[kind.__name__])()

    st.register_type_strategy(kind, resolve)
