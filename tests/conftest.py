"""What holds for the whole suite: it leaves nothing behind, neither processes nor threads, files nor folders."""

import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from timersim.backends.leftovers import watch_leftovers

settings.register_profile("here", database=None)
settings.load_profile("here")

_home = tempfile.TemporaryDirectory(prefix="timersim-")
set_hypothesis_home_dir(_home.name)


def pytest_unconfigure() -> None:
    """Takes away what Hypothesis wrote besides its database."""
    _home.cleanup()


@pytest.fixture(scope="session", autouse=True)
def nothing_outlives_the_suite() -> Iterator[None]:
    """Fails the last test where anything outlives the suite."""
    with watch_leftovers() as left:
        yield
    assert left == []
