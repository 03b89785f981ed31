"""`timersim bench`: how fast timersim is, as ratios to floors beside it, and whether that is enough."""

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from timersim import __version__
from timersim.cli_json import write_json
from timersim.cli_options import OptionError, whole
from timersim.cli_output import BROKEN, console_beside, err
from timersim.strategies.search import unheard

if TYPE_CHECKING:
    from tests.benchmarks.row import Benchmark, Row, Size

BENCHMARKS = Path("tests", "benchmarks", "__init__.py")

MOST = 100
"""A scale, or a number of rounds, beyond which nobody has the patience."""


class BenchError(ValueError):
    """A benchmark that can't be run; the text says why, and the way out."""


def _scale(text: str) -> float:
    """Reads the scale; raises OptionError for what is no number, and for one that is none to measure at."""
    try:
        scale = float(text)
    except ValueError:
        scale = 0
    if not 0 < scale <= MOST:
        raise OptionError(f"--scale is a number above 0, and at most {MOST}: {text!r}")
    return scale


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ROWS]...", help="Which rows to measure. [default: all]")
    ] = None,
    scale: Annotated[
        float,
        typer.Option(parser=_scale, metavar="X", help="Measure so much of the whole: 0.01 is little, 2 twice as much."),
    ] = 1.0,
    rounds: Annotated[
        int | None,
        typer.Option(
            parser=whole("--rounds", 1, MOST),
            metavar="N",
            help="Rounds for each row. [default: 7 or 9, times the scale]",
        ),
    ] = None,
    json_file: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write the rows to FILE as JSON; - for standard output."),
    ] = None,
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown, with the date and the machine.")
    ] = False,
) -> int:
    """Measure how fast timersim is, each row beside a floor that does the same by hand, and no more than it must.

    Both sides run by turns in processes of their own; the ratio is the median of the rounds' ratios. The benchmarks
    come with the source: run this in its folder. On a busy machine even ratios are off.

    timersim bench                                       every row

    timersim bench drawing soak                          some of them

    Exit status: 0 every target is met, 1 one is missed, 2 the call or the environment is wrong.
    """
    if markdown and json_file == "-":
        raise BenchError("--markdown and --json - are both for standard output: name a file for the JSON")
    folder = source_folder(Path.cwd(), Path(__file__).parent.parent)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # for the processes that the benchmarks spawn, too
    parts = import_module("tests.benchmarks").PARTS
    chosen = chosen_names(names or [], list(parts))
    text = console_beside(json_file)
    size = import_module("tests.benchmarks.row").Size(scale, rounds)
    table = import_module("tests.benchmarks.table")
    rows: list[Row] = []
    left_out: list[Benchmark] = []
    if not markdown:
        text.print(table.head_line(), style="bold")
    with unheard():
        for benchmark, row in measured(parts, chosen, size):
            if row is None:
                left_out.append(benchmark)
                continue
            rows.append(row)
            if not markdown:
                for line in table.row_lines(row):
                    text.print(line, markup=False, style="red" if row.verdict == "missed" else None)
    if not rows:
        raise BenchError(
            f"nothing was measured: every row of {', '.join(chosen)} is too large for {scale:g}, the scale"
        )
    today, machine = date.today(), machine_text()
    if markdown:
        for line in table.markdown_lines(rows, today, machine):
            text.print(line, markup=False)
    for line in table.conclusion_lines(rows, left_out):
        (err if markdown else text).print(line, markup=False)
    if json_file is not None:
        settings = {"date": today.isoformat(), "machine": machine, "scale": scale, "rounds": rounds}
        told = {"rows": [row.to_object() for row in rows], "left_out": [each.what for each in left_out]}
        write_json(json_file, {**settings, **told})
    return BROKEN if any(row.verdict == "missed" for row in rows) else 0


def source_folder(*folders: Path) -> Path:
    """Returns the first of these folders that holds the source, with the benchmarks.

    Raises BenchError where none does.
    """
    for folder in folders:
        if (folder / BENCHMARKS).is_file() and (folder / "timersim" / "cli_bench.py").is_file():
            return folder
    raise BenchError(
        f"the benchmarks come with the source, not with the package: run timersim bench in the folder of a checkout,"
        f" the one that holds {BENCHMARKS.parent}"
    )


def chosen_names(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Returns the rows to measure, in their own order: those that are named, or all. Raises BenchError for another.

    >>> chosen_names(["soak", "drawing"], ["drawing", "soak", "sweep"])
    ['drawing', 'soak']
    """
    if wrong := [name for name in names if name not in known]:
        raise BenchError(f"there are no rows {wrong[0]!r}; there are {', '.join(known)}")
    return [name for name in known if name in names or not names]


def machine_text() -> str:
    """Returns what the figures depend on."""
    cpus = len(os.sched_getaffinity(0))
    processors = f"{cpus} CPU{'s' if cpus > 1 else ''}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    kernel = ".".join(platform.release().split(".")[:2])  # the rest is the builder's
    return f"{processors}, {python}, {platform.system()} {kernel}, timersim {__version__}"


def measured(parts: Any, names: Sequence[str], size: "Size") -> Iterator[tuple["Benchmark", "Row | None"]]:
    """Yields each row when it is measured, or None for what is left out; says on standard error which comes next.

    A line and no bar: what draws a bar ten times a second has a thread, and is measured with the rest.
    """
    benchmarks = [benchmark for name in names for benchmark in parts[name]()]
    for number, benchmark in enumerate(benchmarks, 1):
        err.print(f"{number} of {len(benchmarks)}: {benchmark.what}", style="dim", markup=False)
        yield benchmark, benchmark.row(size)
