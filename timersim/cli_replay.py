"""`timersim replay` and `timersim show`: saved schedules, run again."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from timersim.backends.names import BackendError
from timersim.backends.rack import BackendRack
from timersim.cli_files import check_writable, writing
from timersim.cli_output import BROKEN, out, print_lines
from timersim.lab.case import shown
from timersim.lab.experiment import run
from timersim.lab.figure import draw
from timersim.lab.operations import ScheduleError
from timersim.lab.replay import PASSES, verdict
from timersim.lab.replay import replay as run_again
from timersim.lab.saved import SUFFIX, load

FORMATS = (".png", ".svg")


def replay(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR", help=f"Saved schedules (NAME{SUFFIX}), or folders of them.")
    ],
) -> int:
    """Run saved schedules again: each STILL FAILS, is FIXED, or is KNOWN since the backend's contract exempts it.

    Exit status 1 where one still fails.
    """
    files = [file for path in paths for file in _saved_files(path)]
    saved = [load(file) for file in files]
    width = max(len(each.name) for each in saved)
    has_failed = False
    with BackendRack() as rack:
        for each in saved:
            word, violation = run_again(each, rack.backend(each.backend))
            has_failed |= word not in PASSES
            colour = "green" if word in PASSES else "red"
            detail = f"\n  {escape(violation.headline)}" if violation else ""
            out.print(f"{each.name:<{width}}   [{colour}]{word}[/]{detail}")
    return BROKEN if has_failed else 0


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=f"A saved schedule (NAME{SUFFIX}).")],
    figure: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help=f"Draw it, too: a file in {' or '.join(FORMATS)}. Needs matplotlib."),
    ] = None,
) -> int:
    """Run a saved schedule again, and show who did what, when, and what was wrong with it.

    Lanes for the workers, the wire and the server; below them when the reap of the worker in question was forbidden
    (MUST NOT), allowed (MAY) and owed (MUST), and a mark where it fell.

    timersim show NAME.timersim.json                       as text

    timersim show NAME.timersim.json --figure case.png     as a picture, too

    Exit status: 0 it holds, 1 it still breaks something, 2 the call or the environment is wrong.
    """
    saved = load(file)
    if figure is not None:
        _check_figure(figure)
    with BackendRack() as rack:
        trace = run(saved.schedule, rack.backend(saved.backend))
    word, violation = verdict(saved, trace)
    out.print(f"{escape(saved.name)}   [{'green' if word in PASSES else 'red'}]{word}[/]")
    print_lines(out, shown(saved, str(file), trace, violation))
    if figure is not None:
        with writing(figure, "figure"):
            draw(violation or trace).savefig(figure)
    return 0 if word in PASSES else BROKEN


def _check_figure(path: Path) -> None:
    """Raises BackendError where a figure can't be drawn to `path`: before the run rather than after it."""
    if path.suffix not in FORMATS:
        raise BackendError(f"a figure is a file in {' or '.join(FORMATS)}: {path}")
    try:
        import_module("matplotlib")
    except ImportError:
        raise BackendError("a figure needs matplotlib, which is not there: pip install matplotlib") from None
    check_writable(path, "figure")


def _saved_files(path: Path) -> list[Path]:
    if not path.exists():
        raise ScheduleError(f"{path} is not there")
    if path.is_file():
        return [path]
    files = sorted(path.rglob(f"*{SUFFIX}"))
    if not files:
        raise ScheduleError(f"{path} holds no saved schedule (NAME{SUFFIX})")
    return files
