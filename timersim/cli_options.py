"""Options that several commands have, and what they may be."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from timersim.backends.names import EXAMPLES


class OptionError(RuntimeError):
    """A value that an option can't have; the text says what it can.

    No ValueError, which typer would tell in words of its own, without the value.
    """


def whole(option: str, least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """Returns what reads the value of an option that is a whole number, from `least` to `most`; else OptionError.

    >>> whole("--examples", 1)("20")
    20
    >>> whole("--examples", 1)("1e3")
    Traceback (most recent call last):
    timersim.cli_options.OptionError: --examples is a whole number of at least 1: '1e3'
    """
    limits = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
    rule = f"{option} is a whole number{limits}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise OptionError(f"{rule}: {text!r}") from None
        if (least is not None and number < least) or (most is not None and number > most):
            raise OptionError(f"{rule}: {number}")
        return number

    return read


def backend_option(default: str, *, is_several: bool = True) -> Any:
    """Returns the option `--backend` of a command that has a `default`, told in words."""
    names = f"What to run on: {', '.join(EXAMPLES)}."
    return typer.Option(metavar="NAME", help=f"{names}{' May be repeated.' * is_several} [default: {default}]")


Server = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:NAME",
        help="Your own server: a function server(world), a class, or a Backend (docs/your-server.md).",
    ),
]

Without = Annotated[
    str | None,
    typer.Option(
        metavar="SAFEGUARD",
        help="Take a safeguard out of timersim's server: one of those that timersim check --ablations lists.",
    ),
]

Seed = Annotated[
    int,
    typer.Option(
        parser=whole("--seed"), metavar="N", help="Another seed draws other schedules; the same one draws the same."
    ),
]

JsonFile = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the report to FILE as JSON; - for standard output."),
]
