"""What a quick run tries: of many values that a claim holds for, a few; all of them where there is time."""

from collections.abc import Iterable
from typing import Any

import pytest


def one_in(number: int, values: Iterable[Any], *, names: Iterable[str] | None = None) -> list[Any]:
    """Returns them as parameters, of which one in so many is in a quick run, and the others are slow."""
    named = zip(values, values if names is None else names, strict=True)
    return [
        pytest.param(value, id=str(name), marks=() if place % number == 0 else pytest.mark.slow)
        for place, (value, name) in enumerate(named)
    ]
