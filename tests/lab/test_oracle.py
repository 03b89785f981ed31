"""The oracle: when a worker may, must and must not be reaped."""

import math
from typing import Literal

import pytest

from tests.lab.story import LIFE, NEXT, Story
from timersim.lab.contract import Contract
from timersim.lab.oracle import Account, Guard
from timersim.lab.record import (
    Instant,
)


def may(account: Account, *instants: Instant) -> list[bool]:
    """Returns at which of the instants worker 0 may be reaped."""
    return [account.may_reap(LIFE, at) for at in instants]


def owed(account: Account) -> list[tuple[str, Instant]]:
    """Returns the scope and the latest instant of each reap that is owed."""
    return [(duty.guard.scope, duty.by) for duty in account.duties]


def test_a_worker_may_be_reaped_from_its_expiration_on() -> None:
    """A worker may be reaped at its expiration, not a tick before."""
    assert may(Story().acquire(5).account(), 4, 5, 6, 99) == [False, True, True, True]


def test_a_worker_may_not_be_reaped_before_its_acquire_arrived() -> None:
    """What was due before it arrived may be reaped at its arrival, not a tick before."""
    assert may(Story().at(7).acquire(5).account(), 5, 6, 7, 8) == [False, False, True, True]


@pytest.mark.parametrize("again", [None, 50])
def test_a_worker_may_be_reaped_until_a_request_supersedes(again: Instant | None) -> None:
    """A release or a re-arm ends the permission; in the tick of its arrival a reap may still come."""
    story = Story().acquire(5).at(8)
    story.arrived(story.sent(0, "s0", again))

    assert may(story.account(), 7, 8, 9) == [True, True, False]


def test_superseded_at_its_expiration_is_a_tie() -> None:
    """What is released at its very expiration may be reaped then, and at no other instant."""
    assert may(Story().acquire(5).at(5).release().account(), 4, 5, 6) == [False, True, False]


def test_superseded_before_its_expiration_may_not_be_reaped() -> None:
    """What is released a tick before its expiration may never be reaped."""
    assert may(Story().acquire(5).at(4).release().account(), 3, 4, 5, 6) == [False] * 4


def test_a_request_counts_when_it_arrives_not_when_it_is_sent() -> None:
    """A release that was sent before the expiration and arrived after it spares nobody in between."""
    story = Story().acquire(5).at(4)
    release = story.sent(0, "s0", None)
    story.at(7).arrived(release)

    assert may(story.account(), 5, 6, 7, 8) == [True, True, True, False]


def test_a_request_that_never_arrived_changes_nothing() -> None:
    """A dropped acquire permits no reap, a dropped release forbids none."""
    story = Story()
    story.sent(0, "s1", 2)
    story.acquire(5).at(4).sent(0, "s0", None)

    assert may(story.account(), 2, 4, 5) == [False, False, True]


def test_requests_of_a_key_count_in_the_order_of_their_arrival() -> None:
    """A re-arm that overtook the first acquire is superseded by it."""
    story = Story()
    first, second = story.sent(0, "s0", 5), story.sent(0, "s0", 50)
    story.at(1).arrived(second)
    story.at(2).arrived(first)

    assert story.account().guards[LIFE] == [Guard(LIFE, "s0", 1, 50, 2, "re-armed"), Guard(LIFE, "s0", 2, 5)]


def test_one_scope_does_not_supersede_another() -> None:
    """The release of one scope leaves the others of its worker, and the same of other workers, as they are."""
    story = Story()
    story.started(1)
    account = story.acquire(5, "s0").acquire(5, "s1").acquire(5, "s0", worker=1).at(3).release("s0").account()

    assert dict(account.guards) == {
        (0, 0): [Guard((0, 0), "s0", 0, 5, 3, "released"), Guard((0, 0), "s1", 0, 5)],
        (1, 0): [Guard((1, 0), "s0", 0, 5)],
    }
    assert account.may_reap((0, 0), 5)


def test_a_release_of_nothing_is_nothing() -> None:
    """A release of what is not held, or was released, changes nothing."""
    account = Story().release().acquire(5).at(1).release().at(2).release().account()

    assert account.guards[LIFE] == [Guard(LIFE, "s0", 0, 5, 1, "released")]


def test_transit_widens_the_permission_on_both_sides() -> None:
    """Where an instant is known to 2 ticks, a reap may come 2 ticks before the expiration and after the release."""
    account = Story(Contract(transit=2)).acquire(10).at(20).release().account()

    assert may(account, 7, 8, 9, 21, 22, 23) == [False, True, True, True, True, False]


def test_transit_widens_the_arrival() -> None:
    """Where an instant is known to 2 ticks, an acquire may have arrived 2 ticks before it was seen."""
    account = Story(Contract(transit=2)).at(10).acquire(5).account()

    assert may(account, 7, 8) == [False, True]


def test_the_reap_is_owed_at_the_expiration() -> None:
    """Without a bound of its own the contract owes the reap at the expiration."""
    assert owed(Story().acquire(5).account()) == [("s0", 5)]


def test_what_is_due_when_it_arrives_is_owed_at_its_arrival() -> None:
    """What was due before it arrived is owed when it arrives."""
    assert owed(Story().at(7).acquire(5).account()) == [("s0", 7)]


@pytest.mark.parametrize(("end", "expected"), [(14, []), (15, [("s0", 15)]), (16, [("s0", 15)])])
def test_a_reap_is_owed_within_the_bound_where_the_run_lasts_as_long(
    end: Instant, expected: list[tuple[str, Instant]]
) -> None:
    """The contract's bound comes on top; a run that ends a tick before owes nothing."""
    assert owed(Story(Contract(reap_within=10)).acquire(5).account(end)) == expected


@pytest.mark.parametrize(("released", "expected"), [(14, []), (15, []), (16, [("s0", 15)])])
def test_what_is_superseded_in_time_is_not_owed(released: Instant, expected: list[tuple[str, Instant]]) -> None:
    """What is released at or before the latest instant is not owed; a tick after, it is."""
    assert owed(Story(Contract(reap_within=10)).acquire(5).at(released).release().account()) == expected


@pytest.mark.parametrize("how", ["exit", "sigkill", "os._exit", "abort", "segv"])
@pytest.mark.parametrize(("died", "expected"), [(14, []), (15, []), (16, [("s0", 15)])])
def test_a_dead_worker_owes_nothing(how: str, died: Instant, expected: list[tuple[str, Instant]]) -> None:
    """Who died of something else at or before the latest instant need not be reaped; a tick after, it had to be."""
    story = Story(Contract(reap_within=10)).acquire(5).at(died)
    story.died(0, how)

    assert owed(story.account()) == expected


def test_who_was_reaped_was_owed() -> None:
    """A reap does not cancel the debt that it pays."""
    assert owed(Story().acquire(5).at(5).attempt("reaped").account()) == [("s0", 5)]


def test_transit_widens_the_debt() -> None:
    """Where instants are known to 2 ticks, the reap is owed 4 ticks later: neither end is known better."""
    assert owed(Story(Contract(reap_within=10, transit=2)).acquire(5).account()) == [("s0", 19)]


@pytest.mark.parametrize(("begin", "by"), [(6, 24), (7, 24), (8, 9)])
def test_transit_lets_a_pause_begin_before_the_reap(begin: Instant, by: Instant) -> None:
    """A pause that begins 2 ticks after the expiration may have begun before it; and its end is as imprecise."""
    assert owed(Story(Contract(transit=2)).acquire(5).at(begin).pause(20).account()) == [("s0", by)]


@pytest.mark.parametrize(("begin", "by"), [(20, 34), (22, 34), (23, 24)])
def test_transit_joins_pauses_between_which_nothing_can_be_done(begin: Instant, by: Instant) -> None:
    """Of a server that was there for 2 ticks between two pauses nothing is owed in these."""
    account = Story(Contract(transit=2)).acquire(5).at(4).pause(20).at(begin).pause(30).account()

    assert owed(account) == [("s0", by)]


@pytest.mark.parametrize(("begin", "is_owed"), [(6, False), (7, False), (8, True)])
def test_transit_lets_a_stop_begin_before_the_reap(begin: Instant, is_owed: bool) -> None:  # noqa: FBT001 - a parameter
    """A server that stops 2 ticks after the expiration may have stopped before it."""
    assert bool(owed(Story(Contract(transit=2)).acquire(5).at(begin).stop().account())) == is_owed


@pytest.mark.parametrize(("begin", "until", "by"), [(1, 4, 5), (1, 5, 5), (1, 6, 6), (5, 9, 9), (6, 9, 5), (0, 50, 50)])
def test_a_pause_that_covers_the_expiration_puts_off_the_reap(begin: Instant, until: Instant, by: Instant) -> None:
    """A pause that covers the expiration puts the reap off to its end; one that ends then or begins after does not."""
    story = Story().acquire(5).at(begin).pause(until)

    assert owed(story.account()) == [("s0", by)]


def test_a_pause_that_covers_the_latest_instant_puts_off_the_reap() -> None:
    """A pause that covers the end of the bound puts the reap off to its end."""
    assert owed(Story(Contract(reap_within=10)).acquire(5).at(14).pause(30).account()) == [("s0", 30)]


def test_pauses_that_overlap_put_off_the_reap_to_the_end_of_the_last() -> None:
    """Pauses that overlap, or follow at once, are one."""
    account = Story().acquire(5).at(4).pause(7).at(6).pause(9).at(9).pause(12).account()

    assert owed(account) == [("s0", 12)]


def test_a_stop_puts_off_the_reap_until_the_start() -> None:
    """What falls due while the server is stopped is owed when it is started again."""
    assert owed(Story().acquire(5).at(4).stop().at(8).start().account()) == [("s0", 8)]


def test_after_a_start_the_whole_bound_is_granted_anew() -> None:
    """A server that polls has its whole bound after a start that came before the reap was owed."""
    account = Story(Contract(reap_within=10)).acquire(5).at(12).stop().at(13).start().account()

    assert owed(account) == [("s0", 23)]


def test_a_stop_after_the_reap_was_owed_does_not_forgive_it() -> None:
    """What had to be reaped before the stop had to be reaped."""
    account = Story(Contract(reap_within=10)).acquire(5).at(16).stop().at(17).start().account()

    assert owed(account) == [("s0", 15)]


def test_a_stopped_server_owes_nothing() -> None:
    """A server that is not started again owes nothing from its stop on."""
    assert owed(Story().acquire(5).at(4).stop().account()) == []


def test_a_second_stop_or_start_changes_nothing() -> None:
    """The server is away from its first stop to the next start."""
    account = Story().at(2).start().at(3).stop().at(4).stop().at(6).start().at(7).start().account()

    assert account.stops == [(3, 6)]
    assert Story().at(3).stop().account().stops == [(3, math.inf)]


def test_a_contract_that_forgets_owes_nothing_over_a_restart() -> None:
    """What was held over a restart is forgotten under such a contract, and guarded again under the other."""
    forgets = Story(Contract(restart="forgets")).acquire(5).at(3).stop().at(4).start().account()
    guards_again = Story(Contract(restart="guards-again")).acquire(5).at(3).stop().at(4).start().account()

    assert owed(forgets) == []
    assert owed(guards_again) == [("s0", 5)]


def test_a_contract_that_forgets_owes_what_arrives_after_the_stop() -> None:
    """What arrived after the stop began was not there to be forgotten."""
    account = Story(Contract(restart="forgets")).at(3).stop().at(4).acquire(5).at(6).start().account()

    assert owed(account) == [("s0", 6)]


def test_a_contract_that_forgets_still_owes_what_was_owed_before_the_stop() -> None:
    """A restart forgives only what was not yet owed: it lies between arrival and the latest instant."""
    account = Story(Contract(restart="forgets")).acquire(5).at(6).stop().at(7).start().account()

    assert owed(account) == [("s0", 5)]


@pytest.mark.parametrize("outcome", ["failed", "raised"])
@pytest.mark.parametrize(("attempts", "by"), [([], 5), ([5], 8), ([5, 8], 11), ([5, 8, 11], 14), ([6], 5), ([5, 9], 8)])
def test_each_failed_attempt_in_time_grants_a_retry(outcome: str, attempts: list[Instant], by: Instant) -> None:
    """Each failed or raised attempt up to the latest instant puts it off by the time of a retry."""
    story = Story(Contract(retry_within=3)).acquire(5)
    for at in attempts:
        story.at(at).attempt(outcome)

    assert owed(story.account()) == [("s0", by)]


def test_a_pause_that_covers_the_retry_puts_it_off() -> None:
    """A retry that falls into a pause is owed at its end."""
    story = Story(Contract(retry_within=3)).acquire(5).at(5).attempt("failed").at(7).pause(12)

    assert owed(story.account()) == [("s0", 12)]


def test_an_attempt_that_found_nobody_grants_no_retry() -> None:
    """Only failed and raised attempts put off the reap."""
    assert owed(Story(Contract(retry_within=3)).acquire(5).at(5).attempt("gone").account()) == [("s0", 5)]


def test_a_restarted_worker_is_another_life() -> None:
    """What the first incarnation acquired holds nothing of the second."""
    story = Story().acquire(5).at(1)
    story.died(0, "exit")
    story.at(2).started(0)
    account = story.at(3).acquire(20).account()

    assert account.lives == [(0, 0), (0, 1)]
    assert [account.may_reap((0, 0), 5), account.may_reap((0, 1), 5)] == [True, False]
    assert [account.may_reap((0, 1), 19), account.may_reap((0, 1), 20)] == [False, True]
    assert [(duty.guard.life, duty.by) for duty in account.duties] == [((0, 1), 20)]


def test_a_late_request_speaks_for_who_sent_it() -> None:
    """A release that the first incarnation sent does not release what the second holds."""
    story = Story()
    late = story.sent(0, "s0", None)
    story.died(0, "exit")
    story.at(1).started(0)
    story.acquire(5).at(2).arrived(late)

    assert story.account().may_reap((0, 1), 5)


def test_attempts_and_deaths_are_kept_by_life() -> None:
    """Each life has its own attempts and its own death."""
    story = Story().at(1).attempt("reaped").at(2)
    story.started(0)
    story.at(3).attempt("failed").died(0, "exit")
    account = story.account()

    assert {life: [(a.at, a.outcome) for a in attempts] for life, attempts in account.attempts.items()} == {
        (0, 0): [(1, "reaped")],
        (0, 1): [(3, "failed")],
    }
    assert {life: (death.at, death.how) for life, death in account.deaths.items()} == {
        (0, 0): (1, "reaped"),
        (0, 1): (3, "exit"),
    }


def test_who_never_acquired_may_never_be_reaped() -> None:
    """A life without a timer may not be reaped, nor may one that was never lived."""
    account = Story().account()

    assert may(account, 0, 50) == [False, False]
    assert account.may_reap((9, 9), 5) is False
    assert owed(account) == []


@pytest.mark.parametrize(("identity", "by"), [("pid", 8), ("incarnation", 5)])
def test_a_failed_reap_of_a_pid_puts_off_that_of_its_next_bearer(
    identity: Literal["pid", "incarnation"], by: Instant
) -> None:
    """A server that knows only pids tries again when it would have: it can't see that another bears this one."""
    story = Story(Contract(identity=identity, retry_within=3)).acquire(5).at(5).attempt("failed").die("sigkill")
    account = story.reuse().acquire(5, scope="s1", worker=1).account()

    assert [(duty.guard.scope, duty.by) for duty in account.duties if duty.guard.life == NEXT] == [("s1", by)]


def test_a_timer_that_may_be_the_former_bearer_s_does_not_stand() -> None:
    """What was registered for whoever bore the pid then leaves nothing for which a reap must be tried again."""
    story = Story(Contract(identity="pid")).pause(12).at(1).acquire(5).at(12).attempt("reaped").reuse()

    assert story.account().stands(NEXT, 15, 25) is False
    assert story.acquire(13, worker=1).account().stands(NEXT, 15, 25) is True
