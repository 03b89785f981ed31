"""The search of ablations: what each came to, its own cause first."""

from typing import Any

import pytest

from timersim.fakes.broken_servers import ABLATIONS, Ablation
from timersim.lab import Acquire, Release, Schedule
from timersim.lab.report import Finding, Report
from timersim.strategies.ablations import AblationResult, search_ablations

OWN = "release-wins"


def found(*invariants: list[str], breaks: str = OWN) -> AblationResult:
    """Returns what a search came to that found these, each with as many operations as it has names."""
    report = Report("memory", 0)
    report.findings = [
        Finding(names, Schedule([Acquire(0, "s", after=n) for n, _ in enumerate(names)]), 7, 9, None)
        for names in invariants
    ]
    ablation = Ablation("honour-releases", ABLATIONS["honour-releases"].takes_out, breaks)
    return AblationResult(ablation, report)


@pytest.mark.parametrize(
    ("result", "is_named", "found_by", "operations"),
    [
        (found(), False, [], None),
        (found(["release-wins"]), True, ["release-wins"], 1),
        (found(["reaped-once", "dead-stay-dead"]), False, ["reaped-once", "dead-stay-dead"], 2),
        (
            found(["reaped-once"], ["nothing-left", "release-wins"]),
            True,
            ["release-wins", "nothing-left", "reaped-once"],
            2,
        ),
    ],
)
def test_its_own_cause_comes_first(
    result: AblationResult,
    is_named: bool,  # noqa: FBT001 - a parameter
    found_by: list[str],
    operations: int | None,
) -> None:
    """Of what was found that which is named for its cause is told, then the rest."""
    told = result.to_object()

    assert (result.is_named, result.found_by) == (is_named, found_by)
    assert (told["operations"], told["is_named"], told["found_by"]) == (operations, is_named, found_by)


def test_a_search_goes_through_the_safeguards_in_their_order() -> None:
    """Each is searched with as many schedules and the seed that are asked for; its finding is shrunk."""
    results = list(search_ablations(20, 3, ["reap-once", "honour-releases"]))

    assert [(r.ablation.safeguard, r.report.examples, r.report.seed) for r in results] == [
        ("reap-once", 20, 3),
        ("honour-releases", 20, 3),
    ]
    assert results[1].finding is not None
    assert results[1].finding.schedule == Schedule([Acquire(0, "s0", after=1), Release(0, "s0")])


def test_an_interrupt_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C no further ablation is searched."""

    def interrupted(*_: Any, **options: Any) -> Report:
        return Report("memory", 0, is_interrupted=True)

    monkeypatch.setattr("timersim.strategies.ablations.find_violations", interrupted)

    assert len(list(search_ablations(20))) == 1
