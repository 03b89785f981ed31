"""Ctrl-C, wherever it comes: what was done so far is told, what was not is not judged, and the exit status is 130."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from timersim import __main__
from timersim.cli import app

Interrupt = Callable[..., None]


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Interrupt]:
    """Returns what has Ctrl-C come in the call with this number of a function, which a descriptor is open in then."""
    opened: list[int] = []
    monkeypatch.chdir(tmp_path)

    def interrupt(name: str, number: int = 1) -> None:
        called, calls = resolve_name(name), []

        def stands_in(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            if len(calls) < number:
                return called(*arguments, **options)
            opened.append(os.open(os.devnull, os.O_RDONLY))
            raise KeyboardInterrupt

        monkeypatch.setattr(name, stands_in)

    yield interrupt
    for descriptor in opened:
        os.close(descriptor)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Returns what runs a command that is interrupted, and returns its output."""

    def run(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["timersim", *arguments])
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        told = capsys.readouterr()
        assert ended.value.code == 130
        assert "Traceback" not in told.err
        return [*told.out.splitlines(), *(line for line in told.err.splitlines() if line.startswith("timersim: "))]

    return run


Command = Callable[..., list[str]]

NOTHING_TOLD = ["timersim: interrupted"]


def test_an_exhaustion_has_left_nothing(interrupt: Interrupt, command: Command) -> None:
    """A descriptor that was open when Ctrl-C came ends with the process, and is nothing that a server left."""
    interrupt("timersim.strategies.search.run", 30)
    lines = command("exhaust", "--size", "2")

    assert lines[1].split()[:3] == ["memory", "29", "schedules"]
    assert lines[-1].startswith("Interrupted: 29 schedules, ")
    assert lines[-1].endswith("Nothing left behind.")


def test_a_soak_has_left_nothing(interrupt: Interrupt, command: Command) -> None:
    """So it is with a soak, which says how it goes on."""
    interrupt("timersim.cli_soak.pace", 2)
    *_, ended, go_on = command("soak", "--schedules", "200", "--jobs", "1")

    assert ended.startswith("Interrupted: ")
    assert ended.endswith("Nothing left behind.")
    assert go_on == "Go on: timersim soak --resume timersim-soak.json"


@pytest.mark.parametrize("where", ["timersim.cli_searching.run", "timersim.cli_check.progress_of"])
def test_what_was_searched_before_is_told(where: str, interrupt: Interrupt, command: Command) -> None:
    """Between two backends, too: the first one's report stands, the second one has done nothing, and missed nothing."""
    interrupt(where, 2)
    lines = command("check", *["--backend", "memory"] * 3, "--examples", "12")

    done = [line.split()[1] for line in lines if line.startswith("memory ")]
    assert done == ["12", "0"]
    assert lines[-1].startswith("Interrupted: 12 schedules, ")
    assert len([line for line in lines if line.startswith("not tried on memory, in ")]) == 1


def test_the_causes_that_were_searched_before_are_told(interrupt: Interrupt, command: Command, tmp_path: Path) -> None:
    """A search for causes tells what it has found so far; it writes no page, which would tell half of it."""
    interrupt("timersim.cli_check.broken_note", 30)
    lines = command("check", "--backend", "memory", "--without", "reap-once", "--examples", "2", "--report", "page.md")

    assert any(line.startswith("reaped-once: ") for line in lines)
    assert lines[-1].startswith("Interrupted: 30 schedules, ")
    assert list(tmp_path.glob("page.md")) == []


def test_a_comparison_tells_what_it_has_compared(interrupt: Interrupt, command: Command, tmp_path: Path) -> None:
    """Each backend that was compared has its lines; the last one those of its schedules before Ctrl-C."""
    interrupt("timersim.strategies.comparison.compare", 30)
    options = [
        "--backend",
        "file",
        "--backend",
        "local",
        "--backend",
        "socket",
        "--examples",
        "20",
        "--json",
        "report.json",
    ]
    lines = command("compare", *options)

    assert [line.split()[:3] for line in lines if " as in memory" in line] == [
        ["file", "20", "schedules"],
        ["local", "9", "schedules"],
    ]
    assert any("model: memory's wire keeps what is sent" in line for line in lines)
    assert lines[-1].startswith("Interrupted: 29 schedules, ")
    written = json.loads((tmp_path / "report.json").read_text())["comparisons"]
    assert [comparison["examples"] for comparison in written] == [20, 9]


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ("check --backend memory", "timersim.cli_searching.run"),
        ("exhaust", "timersim.cli_searching.run"),
        ("soak", "timersim.cli_soak.run"),
        ("compare --backend file", "timersim.cli_compare.make_backend"),
        ("compare --backend file", "timersim.strategies.comparison.compare"),
        ("replay .", "timersim.cli_replay._saved_files"),
        ("check", "typer.core.TyperCommand.make_context"),
        ("check", "typer.core.TyperGroup.make_context"),
        ("check", "timersim.cli.main"),
    ],
)
def test_who_has_nothing_to_tell_says_that_it_was_interrupted(
    arguments: str, where: str, interrupt: Interrupt, command: Command
) -> None:
    """Ctrl-C is not passed over in silence: while the call is read, and before anything is done."""
    interrupt(where)

    assert command(*arguments.split()) == NOTHING_TOLD


def test_an_interrupt_of_its_import_is_no_traceback(tmp_path: Path) -> None:
    """Ctrl-C right after the command was called, while it is being read: a line, and exit status 130."""
    code = """
import sys

class Interrupt:
    def find_spec(self, name, *rest):
        if name == "timersim.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from timersim.__main__ import main

main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "timersim: interrupted\n")


def test_the_command_that_others_embed_raises_no_interrupt(interrupt: Interrupt) -> None:
    """Without `main` an interrupt is typer's own Abort, as every program of typer knows it."""
    import typer

    interrupt("timersim.cli_searching.run")

    with pytest.raises(typer.Abort):
        app(["check", "--backend", "memory"], standalone_mode=False)
