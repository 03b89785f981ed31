"""The public face: every name that is promised is there, in order, and explained."""

import dataclasses
import inspect
from importlib import import_module

import pytest

PACKAGES = ["timersim", "timersim.lab", "timersim.backends", "timersim.fakes", "timersim.strategies", "timersim.tuning"]

NAMES = [(package, name) for package in PACKAGES for name in import_module(package).__all__]


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_sorted_and_said_once(package: str) -> None:
    """The names of a package are listed in order, each once."""
    names = import_module(package).__all__

    assert names == sorted(set(names))


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_listed_by_dir(package: str) -> None:
    """Completion shows every public name, used or not."""
    module = import_module(package)

    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is(package: str) -> None:
    """Each package has a docstring."""
    assert (import_module(package).__doc__ or "").strip()


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_a_public_name_is_there(package: str, name: str) -> None:
    """Each public name can be used, and what it names bears that name."""
    value = getattr(import_module(package), name)

    assert value is not None
    if inspect.isclass(value) or inspect.isfunction(value):
        assert (value.__name__, value.__module__.split(".")[0]) == (name, "timersim")


def is_said_by_hand(value: object) -> bool:
    """Says whether a class or function has a docstring of its own, not the one that dataclass makes."""
    text = (value.__doc__ or "").strip()
    made = dataclasses.is_dataclass(value) and isinstance(value, type) and text.startswith(f"{value.__name__}(")
    return bool(text) and not made


def public_methods(value: object) -> list[str]:
    """Lists the public methods and properties that a class defines itself."""
    if not isinstance(value, type):
        return []
    return [
        name
        for name, member in vars(value).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property | classmethod | staticmethod))
    ]


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_a_public_name_is_explained(package: str, name: str) -> None:
    """Each public class and function has a docstring, and each public method one of its own or its base's."""
    value = getattr(import_module(package), name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert is_said_by_hand(value)

    assert [method for method in public_methods(value) if not inspect.getdoc(getattr(value, method))] == []


def test_a_missing_docstring_would_be_seen() -> None:
    """The check itself tells what is explained from what is not."""

    @dataclasses.dataclass
    class Silent:
        number: int

        def method(self) -> None:
            pass

    class Spoken:
        """Says what it is."""

    assert (is_said_by_hand(Silent), is_said_by_hand(Spoken)) == (False, True)
    assert public_methods(Silent) == ["method"]


def test_the_version_is_told() -> None:
    """The package knows its version."""
    assert import_module("timersim").__version__[0].isdigit()
