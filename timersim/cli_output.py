"""Where the commands print: the two consoles, the colours, and the exit statuses."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from timersim.cli_files import check_writable
from timersim.lab.layout import Kind, Line

BROKEN, WRONG_CALL, INTERRUPTED = 1, 2, 130
"""Exit statuses; the last is the shell's for Ctrl-C."""


class _Output(Console):
    """A console that leaves it to the command what becomes of a pipe that was closed early; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise


out = _Output(highlight=False, soft_wrap=True, emoji=False)
err = _Output(highlight=False, soft_wrap=True, emoji=False, stderr=True)

COLOURS = {
    Kind.PLAIN: "",
    Kind.HEAD: "bold",
    Kind.WRONG: "bold red",
    Kind.FAULT: "yellow",
    Kind.WINDOW: "cyan",
    Kind.GOOD: "green",
}


def console_beside(json_file: str | None) -> Console:
    """Returns where the text for people goes: to standard error where the report, as JSON, goes to standard output.

    Raises BackendError where the file can't be written, before anything is run.
    """
    if json_file == "-":
        return err
    if json_file is not None:
        check_writable(Path(json_file))
    return out


def print_lines(text: Console, lines: Sequence[Line]) -> None:
    """Prints lines with a colour for each kind of piece, where there are colours."""
    for line in lines:
        pieces = [(each, "" if text.no_color else COLOURS[kind]) for each, kind in line]
        text.print(Text.assemble(*pieces))
