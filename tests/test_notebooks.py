"""Every notebook runs, from its first cell to its last."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path) -> None:
    """A notebook runs in a process of its own, whose event loop is its own affair."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-o", "addopts=", "--nbmake", "-p", "no:cacheprovider", str(notebook)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_there_are_notebooks() -> None:
    """The notebooks are where they are looked for."""
    assert "1-a-timer-in-virtual-time" in {path.stem for path in NOTEBOOKS}
