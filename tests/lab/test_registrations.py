"""Registrations: what was taken from the wire at once, put beside what the requests were."""

import math

import pytest

from tests.lab.story import Story, holds
from timersim.lab.contract import Contract
from timersim.lab.record import Instant, Table
from timersim.lab.registrations import Registration

SEQUENCED = Contract(order="sequence")

S0 = ((0, 0), "s0")
S1 = ((0, 0), "s1")


def made(story: Story) -> list[Registration]:
    """Returns the registrations of a story."""
    return story.account().registrations


def changed(before: Table, after: Table) -> list[str]:
    """Returns the scopes whose timers a registration changed."""
    (registration,) = made(Story().registered(before=before, after=after))
    return [scope for life, scope in (S0, S1) if registration.changed((life, scope))]


def test_of_a_batch_the_last_request_of_each_timer_counts() -> None:
    """The latest of a batch is, for each timer, what came last."""
    (batch,) = made(Story().acquire(5).acquire(6, "s1").release().registered(0, 1, 2, after=holds("s1")))

    assert {key: request.request for key, request in batch.latest.items()} == {S0: 2, S1: 1}
    assert (batch.replayed, batch.bystanders, batch.bad) == (set(), set(), 0)


def test_a_bad_message_is_counted_and_concerns_nobody() -> None:
    """A message without a number is bad; all that is in the table stands by."""
    (first, second) = made(
        Story().acquire(5).registered(0, after=holds("s0")).registered(None, None, after=holds("s0"))
    )

    assert (first.bad, second.bad, second.latest, second.bystanders) == (0, 2, {}, {S0})


def test_a_replay_counts_where_requests_count_as_they_arrive() -> None:
    """What came twice is replayed on either wire; it counts where requests carry no sequence."""
    told = []
    for contract in (SEQUENCED, Contract()):
        story = Story(contract).acquire(5).registered(0, after=holds("s0")).came(0).registered(0, after=holds("s0"))
        told.append([(made.replayed, set(made.latest)) for made in story.account().registrations])

    assert told == [[(set(), {S0}), ({S0}, set())], [(set(), {S0}), ({S0}, {S0})]]


def test_an_overtaken_request_is_a_replay_of_its_life() -> None:
    """A number below one that was registered is overtaken, in the same life alone."""
    story = Story(SEQUENCED).begin(1)
    first, other = story.sent(0, "s0", 5), story.sent(1, "s0", 5)
    story.acquire(6, "s1").registered(2, after={}).registered(first, other, after={})

    assert [(sorted(each.replayed), sorted(each.latest)) for each in made(story)] == [
        ([], [S1]),
        ([S0], [((1, 0), "s0")]),
    ]


def test_what_was_overtaken_does_not_open_the_way_for_another() -> None:
    """After a request that was overtaken another one, of a number in between, is overtaken too."""
    story = Story(SEQUENCED)
    first, second = story.sent(0, "s0", 5), story.sent(0, "s1", 5)
    story.release().registered(2, first, second, after={})

    assert [each.replayed for each in made(story)] == [{S0, S1}]


def test_a_request_and_its_replay_at_once() -> None:
    """A timer that was asked for and replayed in one batch is among both, and the request counts."""
    (batch,) = made(Story(SEQUENCED).acquire(5).came(0).registered(0, 0, after=holds("s0")))

    assert (batch.replayed, list(batch.latest), batch.bystanders) == ({S0}, [S0], set())


@pytest.mark.parametrize(
    ("before", "after", "scopes"),
    [
        ({}, {}, []),
        ({}, holds("s0"), ["s0"]),
        (holds("s0"), {}, ["s0"]),
        (holds("s0"), holds("s0"), []),
        (holds("s0", due=5), holds("s0", due=5.0), []),
        (holds("s0", due=5), holds("s0", due=5 + 1e-9), ["s0"]),
        (holds("s0", due=math.nan), holds("s0", due=float("nan")), []),
        (holds("s0", due=math.nan), holds("s0", due=5), ["s0"]),
        (holds("s0", due=5), holds("s0", due=math.nan), ["s0"]),
        (holds("s0", due=math.nan), {}, ["s0"]),
        (holds("s0"), holds("s1"), ["s0", "s1"]),
    ],
)
def test_a_timer_is_changed_that_came_went_or_moved(before: Table, after: Table, scopes: list[str]) -> None:
    """A timer is changed that is in one table and not in the other, or due at another instant."""
    assert changed(before, after) == scopes


def test_the_table_of_before_is_kept() -> None:
    """Each registration knows how the one before it left the table; the first one, that there was none."""
    story = Story().registered(before=holds("s0"), after=holds("s1")).registered(before={}, after={})

    assert [each.previous for each in made(story)] == [{}, {S1: 200}]


def test_a_start_or_a_crash_since_the_last_one_is_known() -> None:
    """A registration knows whether the server was started since the one before, or is another one."""
    story = Story().start().registered(after={}).registered(after={})
    story.stop().start().registered(after={}).registered(after={})
    story.crash().start().registered(after={}).registered(after={})

    assert [(each.is_restarted, each.is_new) for each in made(story)] == [
        *((True, False), (False, False)),
        *((True, False), (False, False)),
        *((True, True), (False, False)),
    ]


def test_who_bears_a_pid_has_the_timers_of_who_bore_it() -> None:
    """The lives of one pid have the same keys, in the tables and in the requests."""
    story = Story(Contract(identity="pid")).acquire(200).registered(0, after=holds("s0")).at(1).reuse()
    story.release(worker=1).registered(1, before=holds("s0", worker=1), after={})

    assert [(each.before, list(each.latest)) for each in made(story)] == [({}, [S0]), ({S0: 200}, [S0])]


@pytest.mark.parametrize("at", [0, 7])
def test_a_registration_has_its_instant_and_its_refusals(at: Instant) -> None:
    """A registration says when it was, and how many the server refused."""
    (registration,) = made(Story().at(at).registered(None, refused=1, after={}))

    assert (registration.at, registration.refused) == (at, 1)
