"""Every notebook runs, from its first cell to its last."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
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


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_as_it_ran(notebook: Path) -> None:
    """A notebook has ten to fifteen cells, and is kept with its pictures and without an error."""
    cells = json.loads(notebook.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]

    assert 10 <= len(cells) <= 15
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]


def test_the_first_four_are_for_people_who_do_not_know_hypothesis() -> None:
    """There are five notebooks, and nothing of property-based testing in the first four."""
    assert [path.stem[0] for path in NOTEBOOKS] == list("12345")
    assert ["hypothesis" in path.read_text().lower() for path in NOTEBOOKS] == [False] * 4 + [True]
