"""The command line: `timersim check`, `soak`, `exhaust`, `replay`, `show`, `compare` and `bench`."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperGroup

from timersim import __version__
from timersim.backends.names import BackendError
from timersim.cli_bench import BenchError, bench
from timersim.cli_check import check
from timersim.cli_compare import compare
from timersim.cli_exhaust import exhaust
from timersim.cli_output import INTERRUPTED, WRONG_CALL, err, out
from timersim.cli_replay import replay, show
from timersim.cli_soak import soak
from timersim.fakes.patch import PatchError
from timersim.fakes.servers import ServerError
from timersim.lab.operations import ScheduleError
from timersim.strategies.soak_state import SoakError


class _Commands(TyperGroup):
    """The commands; an interrupt is told by `main`, of which typer makes an exit without a word."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _told_by_main():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _told_by_main():
            return super().invoke(ctx)


@contextmanager
def _told_by_main() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Abort from None
    except BrokenPipeError:
        raise _HadEnoughError from None


class _HadEnoughError(Exception):
    """Who read the output has had enough; typer would exit with 1, which is what a broken invariant does."""


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

WRONG = (
    *(BackendError, BenchError, SoakError, ServerError, PatchError, ScheduleError),
    *(ImportError, RuntimeError),
)
"""What is wrong with a call or with the environment."""


def main() -> None:
    """Runs the command; what is wrong with the call is said in one line, exit status 2."""
    logging.getLogger("timersim").addHandler(logging.NullHandler())
    logging.getLogger("torch").addHandler(logging.NullHandler())
    try:
        status = app(standalone_mode=False)
        if sys.stdout is not None:  # as after >&-
            sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        err.print("timersim: interrupted")
        sys.exit(INTERRUPTED)
    except WRONG as error:
        _fail(str(error))
    except (BrokenPipeError, _HadEnoughError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # who read has had enough
        sys.exit(INTERRUPTED)
    except OSError as error:
        _fail(_told(error))
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if not sys.argv[1:]:
            out.print(error.format_message())
            sys.exit(WRONG_CALL)
        _fail(error.format_message())
    sys.exit(status or 0)


def _tell_version(is_asked: bool) -> None:  # noqa: FBT001 - so it is called
    if is_asked:
        out.print(f"timersim {__version__}")
        raise typer.Exit


@app.callback()
def timersim_(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is, and end.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """A laboratory for timers and watchdogs.

    Exit status: 0 every invariant held, 1 something is broken, 2 the call or the environment is wrong.
    """


for _command, _help in (
    (check, "Search for what breaks a watchdog."),
    (soak, "Search very many schedules, over processes or machines."),
    (exhaust, "Run every schedule up to a bound."),
    (compare, "Compare real processes with the simulated ones."),
    (replay, "Run saved schedules again."),
    (show, "Show what a saved schedule does, as text and as a figure."),
    (bench, "Measure how fast timersim is."),
):
    app.command(short_help=_help)(_command)


def _told(error: OSError) -> str:
    """Says what the system refused, and of what, where that is known."""
    what = f" ({error.filename})" if error.filename else ""
    return f"the system says: {error.strerror}{what}"


def _fail(message: str) -> NoReturn:
    with suppress(OSError):  # nobody hears it; the exit status tells
        err.print(f"timersim: {escape(message)}")
    sys.exit(WRONG_CALL)
