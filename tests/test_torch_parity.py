"""timersim against torch's own package: the same names, signatures and defaults, and the same documented meaning."""

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import timersim

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

PACKAGE = "torch.distributed.elastic.timer"


def public() -> Iterator[tuple[str, str, Any, Any]]:
    """Yields each public name of torch's package: its module's name, itself, torch's object and ours."""
    package = import_module(PACKAGE)
    for module in pkgutil.iter_modules(package.__path__):
        theirs = import_module(f"{PACKAGE}.{module.name}")
        ours = import_module(f"timersim.{module.name}")
        for name in theirs.__all__:
            yield module.name, name, getattr(theirs, name), getattr(ours, name, None)


PUBLIC = list(public())


def callables(owner: Any) -> dict[str, Any]:
    """Returns what of `owner` can be called: itself, or the constructor and the public methods of a class."""
    if not isinstance(owner, type):
        return {"": owner}
    own = {name: value for name, value in inspect.getmembers(owner, callable) if name in vars(owner)}
    return {name: value for name, value in own.items() if name == "__init__" or not name.startswith("_")}


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    """Returns name, kind and default of each parameter."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, name, _, _ in PUBLIC])
def test_every_public_name_is_there(module: str, name: str) -> None:
    """Each public name of torch's is one of ours, in the module of the same name and at the top."""
    ours = import_module(f"timersim.{module}")

    assert name in ours.__all__
    assert getattr(timersim, name) is getattr(ours, name)


@pytest.mark.parametrize(("theirs", "ours"), [(t, o) for _, _, t, o in PUBLIC], ids=[name for _, name, _, _ in PUBLIC])
def test_signatures_differ_by_further_keywords_alone(theirs: Any, ours: Any) -> None:
    """Each parameter of torch's is ours, with its place and its default; more are keyword-only and have defaults."""
    if inspect.isfunction(theirs) and isinstance(ours, type):
        pairs: dict[str, tuple[Any, Any]] = {"": (theirs, ours)}  # `expires`: a function there, a class here
    else:
        mine = callables(ours)
        pairs = {
            name: (function, mine.get(name, getattr(ours, name, None))) for name, function in callables(theirs).items()
        }
    for name, (function, own) in pairs.items():
        assert own is not None, name
        wanted, given = parameters(function), parameters(own)
        assert given[: len(wanted)] == wanted, name
        for further in given[len(wanted) :]:
            assert further[1] is inspect.Parameter.KEYWORD_ONLY, name
            assert further[2] is not inspect.Parameter.empty, name


def test_the_packages_own_names_are_ours() -> None:
    """What `import torch.distributed.elastic.timer as timer` offers, `import timersim as timer` offers."""
    package = import_module(PACKAGE)
    offered = {name for name, value in vars(package).items() if getattr(value, "__module__", "").startswith(PACKAGE)}

    assert offered <= set(timersim.__all__)
