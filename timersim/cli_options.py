"""Options that several commands have, and what they may be."""

from typing import Annotated, Any

import typer

from timersim.backends.names import EXAMPLES, BackendError


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
    int, typer.Option(metavar="N", help="Another seed draws other schedules; the same one draws the same.")
]

JsonFile = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the report to FILE as JSON; - for standard output."),
]


def check_positive(option: str, value: int | None) -> None:
    """Raises BackendError for what is given and no number of things.

    >>> check_positive("--examples", 0)
    Traceback (most recent call last):
    timersim.backends.names.BackendError: --examples is a whole number of at least 1: 0
    """
    if value is not None and value < 1:
        raise BackendError(f"{option} is a whole number of at least 1: {value}")
