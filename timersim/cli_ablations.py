"""The table of the ablations: which safeguard was taken out, what finds that, and how soon."""

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console

from timersim.cli_progress import progress_of
from timersim.fakes.broken_servers import ABLATIONS
from timersim.strategies.ablations import AblationResult, search_ablations

WIDTH = 80

SHOWN = 2
"""How many other invariants the table names; the report as JSON has them all."""


def searched_ablations(examples: int, seed: int, err: Console) -> list[AblationResult]:
    """Searches every ablation, with progress on standard error."""
    results: list[AblationResult] = []
    with progress_of("ablations", len(ABLATIONS), err, "safeguards") as tell:
        for result in search_ablations(examples, seed):
            results.append(result)
            tell(len(results), "")
    return results


def ablation_lines(results: Sequence[AblationResult]) -> Iterator[str]:
    """Yields the lines of the table, each of 80 columns at most."""
    names = max(len("safeguard taken out"), *map(len, ABLATIONS))
    found_by = max(len(ablation.breaks) for ablation in ABLATIONS.values())
    yield f"{'safeguard taken out':<{names}}  {'found by':<{found_by}}  schedules  operations"
    for result in results:
        finding = result.finding
        if finding is None:
            yield f"{result.ablation.safeguard:<{names}}  nothing"
            continue
        numbers = f"{finding.examples:>9,}  {len(finding.schedule):>10,}"
        yield f"{result.ablation.safeguard:<{names}}  {result.found_by[0]:<{found_by}}  {numbers}"
        yield from _wrapped(_details(result), indent="    ")


def verdict_lines(results: Sequence[AblationResult]) -> Iterator[str]:
    """Yields what it comes to: that each was found and named for its own cause, or which were not.

    Of one in which an interrupt came nothing is said.
    """
    interrupted = any(result.report.is_interrupted for result in results)
    results = [result for result in results if not result.report.is_interrupted]
    missed = [result.ablation.safeguard for result in results if result.finding is None]
    misnamed = [
        f"{result.ablation.safeguard} ({result.ablation.breaks})"
        for result in results
        if result.finding is not None and not result.is_named
    ]
    seconds = sum(result.report.seconds for result in results)
    if interrupted:
        yield f"Interrupted: {len(results)} of {len(ABLATIONS)} ablations in {seconds:.0f} s."
    if interrupted and not missed and not misnamed:
        return
    if not missed and not misnamed:
        yield f"Every ablation was found, and named for its own cause: {len(results)} in {seconds:.0f} s."
        return
    for what, names in (("Not found", missed), ("Found, but not by its own invariant", misnamed)):
        if names:
            yield from _wrapped(f"{what}: {', '.join(names)}.")
    if not interrupted:
        yield f"{len(results)} ablations in {seconds:.0f} s."


def is_all_named(results: Sequence[AblationResult]) -> bool:
    """Returns whether every ablation was found, and named for its own cause."""
    return len(results) == len(ABLATIONS) and all(result.is_named for result in results)


def _details(result: AblationResult) -> str:
    """Returns what a finding needs, what else was broken, and what should have been."""
    assert result.finding is not None
    own = f"not by {result.ablation.breaks}" if not result.is_named else ""
    needs = f"needs {', '.join(result.finding.faults)}" if result.finding.faults else ""
    others = result.found_by[1:]
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    also = f"breaks as well {', '.join(others[:SHOWN])}{more}" if others else ""
    return "; ".join(filter(None, [own, needs, also]))


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
