"""Invariants under faults: whose life a reap may end, and when one that failed must be tried again."""

import pytest

from tests.lab.story import NEXT, Story, verdict
from timersim.lab.contract import Contract
from timersim.lab.invariants import Harm, InvariantViolation, judge
from timersim.lab.record import Attempted, Instant, Left, ServerFailed, ServerPaused

LENIENT = Contract(reap_within=10, retry_within=3)
"""What owes a reap late, so that a retry that comes late is all that is broken."""


def violation_of(story: Story) -> InvariantViolation:
    """Returns the one violation of a story."""
    (violation,), _ = judge(story.account())
    return violation


# right-incarnation


def passed_on(contract: Contract | None = None) -> Story:
    """Worker 0 holds a timer that is due at 5; it dies at 2, and worker 1 has its pid."""
    return Story(contract).acquire(5).at(2).reuse()


def incarnation_verdict(story: Story) -> tuple[list[str], int]:
    """Returns what a story breaks, and its cases of right-incarnation."""
    return verdict(story, "right-incarnation")


def wrong_incarnation(at: Instant) -> str:
    """Returns the headline for a reap of worker 1 for worker 0's timer."""
    return f"right-incarnation: worker 1 was to be reaped at t={at}, for a timer of worker 0, which bore its pid before"


BYSTANDER = "right-set: worker 1 was reaped at t={}, and never held a timer"


@pytest.mark.parametrize(
    ("at", "headline"), [(4, BYSTANDER.format(4)), (5, wrong_incarnation(5)), (6, wrong_incarnation(6))]
)
def test_a_reap_for_a_timer_of_the_former_bearer_is_of_the_wrong_incarnation(at: Instant, headline: str) -> None:
    """From the expiration on, not a tick before, a reap of the next bearer is one for the former one's timer."""
    assert incarnation_verdict(passed_on().at(at).attempt("reaped", worker=1)) == ([headline], 1)


@pytest.mark.parametrize(
    ("at", "headline"), [(7, wrong_incarnation(7)), (8, wrong_incarnation(8)), (9, BYSTANDER.format(9))]
)
def test_a_timer_that_was_released_is_nobody_s(at: Instant, headline: str) -> None:
    """When the former bearer's timer was released, at 8, a reap from the tick after on is one of a bystander."""
    story = passed_on().at(8).release(worker=1) if at > 8 else passed_on()
    story.at(at).attempt("reaped", worker=1)
    if at <= 8:
        story.at(8).release(worker=1)

    assert incarnation_verdict(story) == ([headline], 1)


@pytest.mark.parametrize("outcome", ["failed", "raised", "gone"])
def test_an_attempt_is_enough(outcome: str) -> None:
    """No attempt may be made for the former bearer's timer, however it ends."""
    assert incarnation_verdict(passed_on().at(5).attempt(outcome, worker=1)) == ([wrong_incarnation(5)], 1)


def test_the_headline_names_who_bore_the_pid_before() -> None:
    """The headline tells apart who was to be reaped and for whom."""
    story = Story()
    story.started(3)
    story.acquire(5, worker=3).at(2).reuse(1, of=(3, 0)).at(5).attempt("reaped", worker=1)

    assert incarnation_verdict(story) == ([wrong_incarnation(5).replace("worker 0", "worker 3")], 1)


def test_every_later_bearer_is_safe() -> None:
    """The third bearer of a pid is no more to be reaped for the first one's timer than the second."""
    story = passed_on().at(3).reuse(2, of=NEXT).at(5).attempt("reaped", worker=2)

    assert incarnation_verdict(story) == (
        ["right-incarnation: worker 2 was to be reaped at t=5, for a timer of worker 0, which bore its pid before"],
        1,
    )


@pytest.mark.parametrize(
    ("at", "headlines"),
    [
        (4, ["no-early-reap: worker 1 was reaped at t=4, and is due at t=7 at the earliest"]),
        (5, [wrong_incarnation(5)]),
        (6, [wrong_incarnation(6)]),
        (7, []),
    ],
)
def test_who_is_due_itself_may_be_reaped(at: Instant, headlines: list[str]) -> None:
    """A reap of the next bearer holds when its own timer is due, at 7, and is one for the former's before."""
    story = passed_on().at(3).acquire(7, scope="s1", worker=1).at(at).attempt("reaped", worker=1)

    assert incarnation_verdict(story) == (headlines, 1)


@pytest.mark.parametrize(("at", "headlines"), [(8, []), (9, [wrong_incarnation(9)])])
def test_who_has_released_its_own_is_reaped_for_the_other_s(at: Instant, headlines: list[str]) -> None:
    """When the next bearer's own timer is released, at 8, a reap in that tick holds, and one a tick later does not."""
    story = passed_on(LENIENT).at(3).acquire(7, scope="s1", worker=1).at(8).release("s1", worker=1)

    assert incarnation_verdict(story.at(at).attempt("reaped", worker=1))[0] == headlines


def test_a_contract_that_knows_only_pids_may_reap_the_next_bearer() -> None:
    """Where the contract guards whoever bears the pid, the same reap holds, and is a case."""
    assert incarnation_verdict(passed_on(Contract(identity="pid")).at(5).attempt("reaped", worker=1)) == ([], 1)


@pytest.mark.parametrize("at", [4, 5])
def test_a_contract_that_knows_only_pids_may_reap_nobody_early(at: Instant) -> None:
    """Where the contract guards whoever bears the pid, a reap a tick before the expiration is still an early one."""
    early = ["no-early-reap: worker 1 was reaped at t=4, and is due at t=5 at the earliest"]
    story = passed_on(Contract(identity="pid")).at(at).attempt("reaped", worker=1)

    assert incarnation_verdict(story) == (early if at == 4 else [], 1)


def test_the_former_bearer_may_be_found_gone() -> None:
    """An attempt on who held the timer, and has ended, is one on the right incarnation."""
    story = passed_on().at(5)
    story.add(Attempted, 0, 0, "worker 0", "gone")

    assert incarnation_verdict(story) == ([], 1)


def test_without_a_pid_that_was_passed_on_there_is_no_case() -> None:
    """Where each life has a pid of its own no reap can be of the wrong incarnation, nor of its next life."""
    story = Story().acquire(5).at(2).die("exit")
    story.started(0)

    assert incarnation_verdict(story.at(5).attempt("reaped")) == (
        ["right-set: worker 0 was reaped at t=5, and never held a timer"],
        0,
    )


def test_the_wrong_incarnation_is_shown_with_its_rule() -> None:
    """The violation is harm to the healthy, names the life, and shows its rule once."""
    violation = violation_of(passed_on().at(5).attempt("reaped", worker=1))

    assert (violation.invariant.harm, violation.breach.at, violation.breach.life) == (Harm.KILLS_THE_HEALTHY, 5, NEXT)
    assert violation.breach.rule == "MUST NOT: the timer is another's"
    assert violation.timeline.count("MUST NOT:") == 1


# failed-reap-retried

LATE = "failed-reap-retried: worker 0: a reap failed at t=5, and was not tried again by t=8"
AT_ONCE = "failed-reap-retried: worker 0: a reap failed at t=5, and was tried again at once"


def failed(outcome: str = "failed", contract: Contract = LENIENT) -> Story:
    """Worker 0 was due at 5, and its reap failed then."""
    return Story(contract).acquire(5).at(5).attempt(outcome)


def retry_verdict(story: Story, end: Instant = 100) -> tuple[list[str], int]:
    """Returns what a story breaks, and its cases of failed-reap-retried."""
    return verdict(story, "failed-reap-retried", end)


@pytest.mark.parametrize("outcome", ["failed", "raised"])
@pytest.mark.parametrize(("at", "headlines"), [(6, []), (7, []), (8, []), (9, [LATE])])
def test_a_reap_that_failed_is_tried_again_in_time(outcome: str, at: Instant, headlines: list[str]) -> None:
    """After a reap that failed, or raised, another comes 3 ticks later at the latest, not a tick after."""
    assert retry_verdict(failed(outcome).at(at).attempt("reaped")) == (headlines, 1)


@pytest.mark.parametrize("outcome", ["failed", "raised"])
@pytest.mark.parametrize("again", ["reaped", "failed", "raised"])
def test_a_reap_that_failed_is_not_tried_again_at_once(outcome: str, again: str) -> None:
    """In the tick of the failure there is no other attempt, however it ends."""
    story = failed(outcome).attempt(again).at(6)
    if story.alive(0):
        story.die("exit")

    assert retry_verdict(story)[0] == [AT_ONCE]


def test_a_reap_that_failed_may_be_tried_again_at_once_for_another_timer() -> None:
    """A timer that arrives after the failure, in its tick, may be reaped for at once; one that came before not."""
    armed = failed().acquire(5, "s1").attempt("reaped")
    before = Story(LENIENT).acquire(5).at(5).acquire(5, "s1").attempt("failed").attempt("reaped")
    after = failed().attempt("reaped").acquire(5, "s1")

    assert retry_verdict(armed) == ([], 1)
    assert retry_verdict(before) == retry_verdict(after) == ([AT_ONCE], 1)


def test_the_release_of_another_timer_is_no_leave_to_try_at_once() -> None:
    """Only what arms a timer gives leave to try again at once."""
    story = failed().release("s1").attempt("reaped")

    assert retry_verdict(story) == ([AT_ONCE], 1)


@pytest.mark.parametrize(("at", "headlines"), [(7, []), (8, []), (9, [LATE])])
def test_a_timer_that_is_released_needs_no_other_reap(at: Instant, headlines: list[str]) -> None:
    """What is released before the retry is owed, or in that tick, need not be tried again; a tick later it had."""
    assert retry_verdict(failed().at(at).release()) == (headlines, len(headlines))


@pytest.mark.parametrize("how", ["exit", "sigkill"])
@pytest.mark.parametrize(("at", "headlines"), [(7, []), (8, []), (9, [LATE])])
def test_a_worker_that_dies_needs_no_other_reap(how: str, at: Instant, headlines: list[str]) -> None:
    """Who dies before the retry is owed, or in that tick, need not be tried again; a tick later it had to be."""
    assert retry_verdict(failed().at(at).die(how)) == (headlines, len(headlines))


@pytest.mark.parametrize(("at", "headlines"), [(7, []), (8, []), (9, [LATE])])
def test_a_server_that_has_forgotten_tries_nobody_again(at: Instant, headlines: list[str]) -> None:
    """What a crash has forgotten before the retry is owed, or in that tick, need not be tried again."""
    assert retry_verdict(failed().at(at).crash().start()) == (headlines, len(headlines))


def test_a_server_that_has_crashed_knows_of_no_failure() -> None:
    """The next server may try at once what the last one failed to do; one that was merely stopped may not."""
    assert retry_verdict(failed().crash().start().attempt("reaped")) == ([], 1)
    assert retry_verdict(failed().stop().start().attempt("reaped")) == ([AT_ONCE], 1)


@pytest.mark.parametrize(("end", "headlines"), [(7, []), (8, [LATE]), (9, [LATE])])
def test_a_retry_is_owed_within_the_run(end: Instant, headlines: list[str]) -> None:
    """A run that ends a tick before the retry is owed says nothing about it."""
    assert retry_verdict(failed(), end) == (headlines, len(headlines))


@pytest.mark.parametrize(("at", "headlines"), [(11, []), (12, []), (13, [LATE.replace("8", "12")])])
def test_a_pause_puts_off_the_retry(at: Instant, headlines: list[str]) -> None:
    """A retry that falls into a pause is owed at its end, not a tick later."""
    story = failed().at(7)
    story.add(ServerPaused, 12)

    assert retry_verdict(story.at(at).attempt("reaped")) == (headlines, 1)


@pytest.mark.parametrize(("at", "headlines"), [(12, []), (13, [LATE.replace("8", "12")])])
def test_a_stop_puts_off_the_retry(at: Instant, headlines: list[str]) -> None:
    """A retry that falls due while the server is stopped is owed at the start, not a tick later."""
    assert retry_verdict(failed().at(7).stop().at(12).start().at(at).attempt("reaped")) == (headlines, 1)


@pytest.mark.parametrize(("failure", "headlines"), [(4, []), (5, [LATE])])
def test_a_failure_before_the_expiration_is_no_debt(failure: Instant, headlines: list[str]) -> None:
    """An attempt that failed a tick before anything was due need not be repeated."""
    story = Story(LENIENT).acquire(5).at(failure).attempt("failed").at(9).attempt("reaped")

    assert retry_verdict(story) == (headlines, len(headlines))


def test_each_failure_is_a_case() -> None:
    """Each failure counts, and each is to be followed by another attempt in its time."""
    held = failed().at(8).attempt("raised").at(11).attempt("reaped")
    broken = failed().at(8).attempt("raised").at(12).attempt("reaped")
    late = "failed-reap-retried: worker 0: a reap failed at t=8, and was not tried again by t=11"

    assert (retry_verdict(held), retry_verdict(broken)) == (([], 2), ([late], 2))


def test_the_retry_of_one_worker_is_not_that_of_another() -> None:
    """An attempt on somebody else is no retry."""
    story = failed()
    story.started(1)
    story.acquire(5, worker=1).at(6).attempt("reaped", worker=1).at(9).attempt("reaped")

    assert retry_verdict(story) == ([LATE], 1)


@pytest.mark.parametrize("outcome", ["reaped", "gone"])
def test_what_did_not_fail_is_not_tried_again(outcome: str) -> None:
    """After a reap that succeeded, or found nobody, nothing is owed."""
    story = Story(LENIENT).acquire(5).at(4)
    if outcome == "gone":
        story.die("exit")

    assert retry_verdict(story.at(5).attempt(outcome)) == ([], 0)


def test_a_second_reap_of_who_was_reaped_is_no_retry() -> None:
    """What is attempted again after a reap that did not fail is no matter of retries."""
    story = Story(LENIENT).acquire(5).at(5).attempt("reaped").attempt("reaped")

    assert retry_verdict(story) == (["reaped-once: worker 0 was reaped at t=5, and again at t=5"], 0)


def test_who_is_never_reaped_since_the_watchdog_ended_breaks_all_three() -> None:
    """A watchdog that ends after a failure tries too late, and spares the hung: three claims, the worst first."""
    alive = "reaped-in-time: worker 0 was due at t=5 and is alive at t=100; the server died at t=6: OSError: no"
    story = failed().at(6)
    story.add(ServerFailed, "OSError: no")

    assert retry_verdict(story)[0] == [alive, LATE, "watchdog-survives: the server died at t=6: OSError: no"]


def test_the_retry_that_did_not_come_is_shown_with_its_rule() -> None:
    """The violation spares the hung, names the life and the instant of the debt, and shows its rule once."""
    late = violation_of(failed().at(9).attempt("reaped"))
    at_once = violation_of(failed().attempt("reaped"))

    assert [(v.invariant.harm, v.breach.at, v.breach.life) for v in (late, at_once)] == [
        (Harm.SPARES_THE_HUNG, 8, (0, 0)),
        (Harm.SPARES_THE_HUNG, 5, (0, 0)),
    ]
    assert [v.breach.rule for v in (late, at_once)] == ["MUST have been tried again", "MUST NOT be tried again at once"]
    assert [v.timeline.count(v.breach.rule) for v in (late, at_once)] == [1, 1]


def test_neither_speaks_where_only_something_was_left() -> None:
    """What is left behind is no matter of incarnations or retries."""
    story = Story()
    story.add(Left, "a fifo")

    assert incarnation_verdict(story) == retry_verdict(story) == (["nothing-left: a fifo outlived the run"], 0)
