"""`timersim compare`: the same schedules in memory and on real processes, and why they differ where they do."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from timersim.backends.names import EXAMPLES, BackendError, default_names, make_backend
from timersim.cli_json import write_json
from timersim.cli_options import JsonFile, Seed, whole
from timersim.cli_output import BROKEN, INTERRUPTED, console_beside, err
from timersim.cli_progress import progress_of
from timersim.lab.experiment import Backend
from timersim.lab.report import plural
from timersim.strategies.comparison import Comparison, Example, compare_backends

MODEL = "memory"

WIDTH, INDENT = 80, " " * 8


def compare(
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="What to compare memory with. May be repeated. [default: local, file, socket]"
        ),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(metavar="SAFEGUARD", help="Take a safeguard out of the real server, to see that it is noticed."),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(parser=whole("--examples", 1), metavar="N", help="Schedules on each backend. [default: 200]"),
    ] = None,
    seed: Seed = 0,
    json_file: JsonFile = None,
) -> int:
    """Run the same schedules in memory and on real processes, and explain each difference.

    What differs comes from the model, from the implementation or from timing: an example of each explanation is shown,
    with the number of schedules in which it was seen. A difference without an explanation is shrunk. Ctrl-C ends it,
    and tells what was seen so far.

    Exit status: 0 every difference is explained, 1 one is not, 2 the call or the environment is wrong, 130 interrupted.
    """
    names = backend or [name for name in default_names(without=without) if name != MODEL]
    if MODEL in names:
        raise BackendError(f"{MODEL} is what the others are compared with: no --backend {MODEL}")
    text = console_beside(json_file)
    made = [make_backend(name, without=without, pin=True) for name in names]
    comparisons = _compared([(each, examples or EXAMPLES[each.name]) for each in made], seed, text)
    text.print(conclusion(comparisons))
    if json_file is not None:
        write_json(json_file, {"model": MODEL, "comparisons": [each.to_object() for each in comparisons]})
    if any(each.is_interrupted for each in comparisons):
        return INTERRUPTED
    return BROKEN if any(each.unexplained for each in comparisons) else 0


def _compared(backends: Sequence[tuple[Backend, int]], seed: int, text: Console) -> list[Comparison]:
    """Compares each backend with the model in so many schedules, and tells what it came to, until one is interrupted.

    An interrupt costs nothing of what was done before it. Raises KeyboardInterrupt where that is nothing at all.
    """
    comparisons: list[Comparison] = []
    for real, examples in backends:
        comparison = Comparison(real.name, seed)
        try:
            with closing(real), progress_of(real.name, examples, err) as tell:
                comparison = compare_backends(
                    make_backend(MODEL), real, examples, seed, lambda now: tell(now.examples, _note(now))
                )
        except KeyboardInterrupt:
            comparison.is_interrupted = True
        comparisons.append(comparison)
        if comparison.is_interrupted and not any(each.examples for each in comparisons):
            raise KeyboardInterrupt
        for line in comparison_lines(comparison):
            text.print(line, markup=False)
        if comparison.is_interrupted:
            break
    return comparisons


def _note(comparison: Comparison) -> str:
    different = comparison.examples - comparison.equal
    return f"{different:,} with a difference" if different else ""


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yields what a comparison came to: the numbers, then each explanation with its example."""
    yield (
        f"{comparison.backend:<12}{comparison.examples:>6,} schedules   {comparison.equal:>6,} as in {MODEL}"
        f"   {comparison.seconds:>5.1f} s"
    )
    for explanation, example in sorted(comparison.found.items(), key=lambda found: -found[1].count):
        head = f"{example.count:>6,}  {explanation.cause}: {explanation.text}"
        yield from textwrap.wrap(head, WIDTH, subsequent_indent=INDENT)
        yield from _example_lines(example)


def conclusion(comparisons: Sequence[Comparison]) -> str:
    """Returns what it all comes to."""
    schedules = sum(comparison.examples for comparison in comparisons)
    different = schedules - sum(comparison.equal for comparison in comparisons)
    missing = sum(len(comparison.unexplained) for comparison in comparisons)
    done = f"{plural(schedules, 'schedule')}, {different:,} with a difference."
    if any(comparison.is_interrupted for comparison in comparisons):
        return f"Interrupted: {done}"
    if missing:
        return f"[red]Not explained[/]: {plural(missing, 'kind')} of difference. {done}"
    return f"[green]Every difference is explained[/]: {done}"


def _example_lines(example: Example) -> Iterator[str]:
    for text in (f"as in: {example.difference.seen}", repr(example.schedule)):
        yield from textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)
