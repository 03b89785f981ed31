"""The rack: the backends of saved schedules, rebuilt from what stands there of them."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Self

from timersim.backends.names import BackendError, make_backend
from timersim.backends.workers.functions import METHODS
from timersim.lab.contract import Contract
from timersim.lab.experiment import Backend


def from_spec(spec: Mapping[str, Any]) -> Backend:
    """Makes the backend of a saved schedule; raises BackendError where that cannot be."""
    options = dict(spec)
    if wrong := [key for key, is_right in _RIGHT.items() if key in options and not is_right(options[key])]:
        raise BackendError(f"a saved backend has a wrong {wrong[0]}: {options[wrong[0]]!r}")
    if unknown := sorted(options.keys() - _RIGHT.keys()):
        raise BackendError(f"a saved backend has {', '.join(_RIGHT)}, not {unknown[0]!r}")
    if "name" not in options:
        raise BackendError(f"a saved backend has a name: {options!r}")
    try:
        if "contract" in options:
            options["contract"] = _contract(options["contract"])
        return make_backend(**options)
    except TypeError as error:
        raise BackendError(f"the saved backend {dict(spec)!r} can't be made: {error}") from None
    except ValueError as error:
        raise BackendError(str(error)) from None


_RIGHT: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str),
    "server": lambda value: isinstance(value, str),
    "without": lambda value: isinstance(value, str),
    "max_interval": lambda value: type(value) is int and value > 0,
    "contract": lambda value: isinstance(value, dict),
    "tick": lambda value: type(value) in {int, float} and 0 < value < math.inf,
    "wire": lambda value: value in ("shared", "sequenced"),
    "patch": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "worker": lambda value: isinstance(value, str),
    "start_method": lambda value: value in METHODS,
    "limit": lambda value: type(value) is int and value > 0,
}
"""What a saved backend may have, and what each is."""


_PROMISES: dict[str, Callable[[Any], bool]] = {
    "clock": lambda value: value in ("monotonic", "wall"),
    "reap_within": lambda value: _is_ticks(value),
    "retry_within": lambda value: _is_ticks(value),
    "transit": lambda value: _is_ticks(value),
    "restart": lambda value: value in ("guards-again", "forgets"),
    "identity": lambda value: value in ("incarnation", "pid"),
    "order": lambda value: value in ("arrival", "sequence"),
    "survives": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "exempt": lambda value: isinstance(value, dict) and all(isinstance(reason, str) for reason in value.values()),
}
"""What the contract of a saved backend may state, and what each is."""


def _is_ticks(value: Any) -> bool:
    return type(value) in {int, float} and 0 <= value < math.inf


def _contract(stated: dict[str, Any]) -> Contract:
    """Makes a contract of what is stated of it."""
    if wrong := [name for name, is_right in _PROMISES.items() if name in stated and not is_right(stated[name])]:
        raise BackendError(f"the contract of a saved backend has a wrong {wrong[0]}: {stated[wrong[0]]!r}")
    return Contract(**{**stated, "survives": frozenset(stated.get("survives", ()))})


class BackendRack:
    """The backends of saved schedules, each made once; the end of the block closes them.

    >>> with BackendRack() as rack:
    ...     rack.backend({"name": "memory"}) is rack.backend({"name": "memory"})
    True
    """

    def __init__(self) -> None:
        self._made: dict[str, Backend] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def backend(self, spec: Mapping[str, Any]) -> Backend:
        """Returns the backend of a saved schedule; raises BackendError where it can't be made."""
        key = json.dumps(dict(spec), sort_keys=True)
        if key not in self._made:
            self._made[key] = from_spec(spec)
        return self._made[key]

    def close(self) -> None:
        """Gives back what they hold."""
        for backend in self._made.values():
            backend.close()
        self._made.clear()
