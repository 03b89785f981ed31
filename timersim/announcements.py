"""Announcements: types of which others hear once they are defined, so that nobody imports them to know of them."""

from collections.abc import Callable
from typing import TypeVar

Announced = TypeVar("Announced", bound=type)
Listener = Callable[[type], None]

_announced: list[type] = []
_listeners: list[Listener] = []


def announced(kind: Announced) -> Announced:
    """Announces the class that it decorates to those who listen, and to those who will."""
    _announced.append(kind)
    for listener in _listeners:
        listener(kind)
    return kind


def listen(listener: Listener) -> None:
    """Calls `listener` with each type that was announced, and with each that will be."""
    for kind in _announced:
        listener(kind)
    if listener not in _listeners:
        _listeners.append(listener)
