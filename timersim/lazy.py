"""Lazy packages: names that import their module when they are first used (PEP 562)."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def attach(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a package whose `modules` are: module -> the names that it defines.

    >>> getattribute, directory = attach("json", {"decoder": ["JSONDecoder"]})
    >>> getattribute("JSONDecoder").__name__
    'JSONDecoder'
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def getattribute(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def directory() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return getattribute, directory
