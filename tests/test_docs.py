"""The pages for users say the truth: their code runs, and what they name is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import timersim
from timersim.lab.goals import GOALS
from timersim.lab.invariants import INVARIANTS

DOCS = Path(__file__).parent.parent / "docs"

PROGRAMS = [page for page in sorted(DOCS.glob("*.md")) if page.name != "your-server.md"]
"""The pages whose code is a program; the other is of several files, and has tests of its own."""


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    """The page's code runs from top to bottom, without a warning, as a program of one's own."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_training_loop_of_a_page_is_a_test_that_passes(tmp_path: Path) -> None:
    """The example of a user's own code as the worker passes in a suite of its own, on real processes."""
    page = (DOCS / "testing.md").read_text(encoding="utf-8")
    section = page.partition("## Your own code as the worker")[2]
    (tmp_path / "test_training.py").write_text(section.partition("```python\n")[2].partition("```")[0])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_training.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout.splitlines()[-1][:8]) == (0, "1 passed")


def test_the_page_on_timers_names_each_client_and_server() -> None:
    """Whoever looks for a client or a server finds it on the page."""
    page = (DOCS / "timers.md").read_text(encoding="utf-8")

    assert [name for name in timersim.__all__ if name.endswith(("Client", "Server")) and name not in page] == []


def test_the_page_on_what_is_judged_names_every_invariant_and_goal() -> None:
    """Each invariant stands on the page with its statement, under the harm that it does, and each goal by name."""
    page = (DOCS / "invariants.md").read_text(encoding="utf-8")
    sections = {section.split("\n")[0]: section for section in page.split("### ")}
    harms = ["It kills the healthy", "It spares the hung", "It leaves things behind"]

    for entry in INVARIANTS.values():
        assert f"\n| `{entry.id}` | {entry.statement} |\n" in sections[harms[entry.harm]]
    assert [goal for goal in GOALS if f"\n- {goal}\n" not in page] == []


PAGES = [DOCS.parent / "README.md", DOCS.parent / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Each link to a file of the repository leads to one, and to a heading that it has."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", text)
    targets = [((page.parent / file).resolve() if file else page, heading) for file, heading in links]

    assert [str(file) for file, _ in targets if not file.exists()] == []
    assert [heading for file, heading in targets if heading and heading not in headings(file)] == []


def headings(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
