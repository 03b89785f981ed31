"""The README says the truth: its code runs, its output is what the command prints, its list what the page has."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.busy import NO_DEADLINE
from timersim.backends.names import DEFAULTS, EXAMPLES

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FINDINGS = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
YOUR_SERVER = (ROOT / "docs" / "your-server.md").read_text(encoding="utf-8")

PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = PYTHON.findall(README)
(OUTPUT,) = re.findall(r"^```text\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
(PICTURE,) = re.findall(r"^!\[.*\]\((.*\.svg)\)$", README, re.MULTILINE)

SERVER_OF_ONES_OWN = "from my_watchdog import"
"""What the one block has in it whose test fails, on purpose."""


def timersim(folder: Path, *arguments: str) -> str:
    """Runs the command in a folder; returns what it prints."""
    code = "from timersim.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_every_test_passes_but_one(pytester: pytest.Pytester) -> None:
    """Each block of code is a test, and passes, with real processes, too; but the one of a server with a mistake."""
    pytester.makeconftest(NO_DEADLINE)
    passing = [block for block in BLOCKS if SERVER_OF_ONES_OWN not in block]
    pytester.makepyfile(**{f"test_block_{number}": block for number, block in enumerate(passing)})

    pytester.runpytest_subprocess("-q").assert_outcomes(passed=len(passing))
    assert len(passing) == len(BLOCKS) - 1 == 4


def test_the_users_own_server_is_found_out(pytester: pytest.Pytester) -> None:
    """The watchdog of the page that the README leads to has a mistake, and the README's test names an invariant."""
    (block,) = [block for block in BLOCKS if SERVER_OF_ONES_OWN in block]
    watchdog = PYTHON.findall(YOUR_SERVER)[0]
    pytester.makeconftest(NO_DEADLINE)
    pytester.makepyfile(my_watchdog=watchdog, test_mine=block)

    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r".*(ReleaseWins|ReapedInTime): .*worker 0 was"])


def test_as_many_schedules_are_run_as_it_says() -> None:
    """The first command runs the number of schedules that the README names."""
    assert f"runs {sum(EXAMPLES[name] for name in DEFAULTS):,} generated schedules" in README


def test_the_picture_of_a_failing_test_case_is_what_is_printed(tmp_path: Path) -> None:
    """The failing test case is what the command above it prints; the picture is what the command in it draws."""
    printed = timersim(tmp_path, "check", "--without", "drain-before-expire", "--backend", "memory")
    (saved,) = re.findall(r"show:   timersim show (\S+)", OUTPUT)
    timersim(tmp_path, "show", saved, "--figure", "drawn.svg")

    assert printed.split("\n\n")[1].strip() == OUTPUT.strip()
    assert words_drawn(ROOT / PICTURE) == words_drawn(tmp_path / "drawn.svg")
    assert f"--figure {PICTURE}`" in README


def words_drawn(picture: Path) -> list[str]:
    """Lists the words in a picture of matplotlib's, which draws letters as curves, and says in a comment which."""
    words = re.findall("<!-- (.*?) -->", picture.read_text(encoding="utf-8"))
    assert words
    return words


def test_what_it_found_in_torch_is_what_the_page_has() -> None:
    """The list has every finding that needs no fault, shows on real processes and isn't documented; and no other."""
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]]
        for row in FINDINGS.splitlines()
        if row.startswith("| torch-") and "](#" in row
    ]
    linked = [
        re.findall(r"\[(.*)\]\((#.*)\)", finding)[0]
        for _, finding, _, fault, seen, documented in rows
        if fault.startswith("none") and seen.startswith("10 of 10 ") and not documented
    ]
    section = README.partition("## What it found in torch\n")[2].partition("\n## ")[0]

    assert sorted(re.findall(r"\[([\w-]+)\]\(docs/findings\.md(#[\w-]+)\)", section)) == sorted(linked)
    prose = " ".join(section.split())
    assert f"has {len(rows)} findings," in prose
    assert f"of {sum(row[-1] == 'documented' for row in rows)} that torch documents them" in prose
    assert f"{['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven'][len(linked)]} of the others" in prose
