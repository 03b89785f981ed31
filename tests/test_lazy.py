"""Lazy packages: names that import their module when they are first used."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from timersim.lazy import attach

HEAVY = [
    "pytest",
    "hypothesis",
    "freezegun",
    "psutil",
    "multiprocessing",
    "greenlet",
    "torch",
    "matplotlib",
    "numpy",
    "pandas",
]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A lazy package of two modules, and the name by which it can be imported."""
    folder = tmp_path / "lazy_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from timersim.lazy import attach\n"
        "shown = 1\n"
        "__getattr__, __dir__ = attach(__name__, {'first': ('one', 'uno'), 'second': ('two', 'missing')})\n"
    )
    (folder / "first.py").write_text("one, uno = object(), 'uno'\n")
    (folder / "second.py").write_text("two = 'two'\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "lazy_package"
    for name in [name for name in sys.modules if name.split(".")[0] == "lazy_package"]:
        del sys.modules[name]


def test_a_name_imports_its_own_module_when_it_is_used(package: str) -> None:
    """To use a name imports the module that defines it and no other; to import the package imports neither."""
    module = __import__(package)
    modules = ["lazy_package.first", "lazy_package.second"]
    assert [name in sys.modules for name in modules] == [False, False]

    assert module.uno == "uno"
    assert [name in sys.modules for name in modules] == [True, False]


def test_a_name_is_looked_up_once(package: str) -> None:
    """A name that was used is the package's own from then on, and the same object as its module's."""
    module = __import__(package)
    assert "one" not in vars(module)

    assert module.one is module.one is sys.modules["lazy_package.first"].one
    assert "one" in vars(module)


def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    """A name that the package does not have raises what any module raises, with both names."""
    module = __import__(package)

    with pytest.raises(AttributeError, match=r"^module 'lazy_package' has no attribute 'three'$"):
        _ = module.three
    assert not hasattr(module, "first_")


def test_a_name_that_its_module_lacks_is_an_attribute_error(package: str) -> None:
    """A name that was promised and is not there raises, and says where it should have been."""
    with pytest.raises(AttributeError, match=r"^module 'lazy_package\.second' has no attribute 'missing'$"):
        _ = __import__(package).missing


def test_a_directory_lists_lazy_names_and_others(package: str) -> None:
    """`dir` lists the lazy names beside those that are there, sorted, and imports nothing."""
    listed = dir(__import__(package))

    assert {"one", "uno", "two", "shown", "attach"} <= set(listed)
    assert listed == sorted(listed)
    assert "lazy_package.first" not in sys.modules


def test_the_names_of_a_package_are_attached_by_value() -> None:
    """`attach` works on any package that is imported, and leaves it alone until a name is used."""
    getattribute, directory = attach("json", {"decoder": ["JSONDecoder"]})

    assert "JSONDecoder" in directory()
    assert getattribute("JSONDecoder") is sys.modules["json.decoder"].JSONDecoder


def loaded_by(statement: str) -> list[str]:
    """Returns which heavy packages a new interpreter has loaded after `statement`."""
    program = f"import sys\n{statement}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.split()


@pytest.mark.parametrize(
    "package",
    ["timersim", "timersim.lab", "timersim.backends", "timersim.fakes", "timersim.strategies", "timersim.tuning"],
)
def test_to_import_a_package_costs_next_to_nothing(package: str) -> None:
    """An import of timersim, or of one of its packages, loads nothing heavy: it happens in everybody's test runs."""
    assert loaded_by(f"import {package}\ndir({package})") == []


def test_the_library_loads_nothing_of_the_laboratory() -> None:
    """The timers that run in production need neither Hypothesis nor greenlet, nor pytest."""
    statement = "from timersim import LocalTimerServer, MemoryTimerServer, ProcessReaper, expires"

    assert loaded_by(statement) == []


def test_a_heavy_package_would_be_seen() -> None:
    """The check itself sees what is loaded."""
    assert loaded_by("import psutil, multiprocessing") == ["psutil", "multiprocessing"]
