"""The table of live timers, against a plain dict."""

import math
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timersim.timer_table import Key, TimerTable


class Model:
    """What a timer table is: a dict from key to (expiration, number of the arming), searched from end to end."""

    def __init__(self) -> None:
        self.timers: dict[Key, tuple[float, int]] = {}
        self.serial = count()

    def arm(self, key: Key, expiration: float) -> None:
        """Arms, or arms again."""
        self.timers[key] = (expiration, next(self.serial))

    def disarm(self, key: Key) -> bool:
        """Forgets one timer."""
        return self.timers.pop(key, None) is not None

    def disarm_worker(self, worker: object) -> int:
        """Forgets a worker's timers."""
        doomed = [key for key in self.timers if key[0] == worker]
        for key in doomed:
            del self.timers[key]
        return len(doomed)

    def due(self, now: float) -> list[Key]:
        """Finds what is due, by expiration and then by arming."""
        return sorted((key for key in self.timers if self.timers[key][0] <= now), key=self.timers.__getitem__)

    def next_expiration(self, after: float) -> float | None:
        """Finds the earliest expiration after an instant."""
        return min((at for at, _ in self.timers.values() if at > after), default=None)


@dataclass(frozen=True)
class Step:
    """One operation; `times` counts for those that are done many times over."""

    kind: str
    worker: int
    scope: str
    at: int
    times: int

    def apply(self, table: TimerTable, model: Model) -> None:
        """Does the same to the table and to the model, and compares what they answer."""
        key = (self.worker, self.scope)
        if self.kind == "disarm":
            assert table.disarm(key) == model.disarm(key)
        elif self.kind == "disarm worker":
            assert table.disarm_worker(self.worker) == model.disarm_worker(self.worker)
        else:
            for index in range(1 if self.kind == "arm" else self.times):
                key = (self.worker, f"crowd {index}" if self.kind == "crowd" else self.scope)
                at = self.at + (index if self.kind == "re-arm" else 0)
                table.arm(key, at)
                model.arm(key, at)


steps = st.builds(
    Step,
    kind=st.sampled_from(["arm", "disarm", "disarm worker", "re-arm", "crowd"]),
    worker=st.integers(0, 2),
    scope=st.sampled_from(["a", "b", "c"]),
    at=st.integers(0, 6),
    times=st.integers(1, 90),
)


@given(st.lists(steps, max_size=30))
def test_the_table_answers_as_a_dict_that_is_searched_would(script: list[Step]) -> None:
    """After any operations the table holds and answers what a plain dict would."""
    table, model = TimerTable(), Model()
    for step in script:
        step.apply(table, model)

        assert len(table) == len(model.timers)
        assert sorted(table) == sorted(model.timers)
        assert table.next_expiration() == model.next_expiration(-math.inf)
        assert {key: table.expiration(key) for key in table} == {key: at for key, (at, _) in model.timers.items()}
        for now in range(-1, 9):
            assert table.due(now) == model.due(now)
            assert table.next_expiration(after=now) == model.next_expiration(now)


@given(st.lists(steps, max_size=30))
def test_the_heap_holds_little_more_than_what_lives(script: list[Step]) -> None:
    """Whatever was done, the heap is never longer than twice the live timers and 64 more."""
    table, model = TimerTable(), Model()
    for step in script:
        step.apply(table, model)

        assert len(table._heap) <= 2 * len(table) + 64


def test_the_heap_stays_small_when_one_timer_is_armed_for_ever() -> None:
    """Arming one timer again and again never makes the heap longer than 66 entries."""
    table = TimerTable()
    lengths = []
    for at in range(1000):
        table.arm((1, "s"), at)
        lengths.append(len(table._heap))

    assert max(lengths) == 66


@pytest.mark.parametrize("how", ["one by one", "by worker"])
def test_the_heap_shrinks_when_timers_are_disarmed(how: str) -> None:
    """A thousand timers that were disarmed leave no thousand entries behind."""
    table = TimerTable()
    for index in range(1000):
        table.arm((1, f"s{index}"), index)
    if how == "by worker":
        table.disarm_worker(1)
    else:
        for index in range(1000):
            table.disarm((1, f"s{index}"))

    assert (len(table), len(table._heap) <= 64) == (0, True)


@pytest.mark.parametrize(("offset", "due"), [(-1, []), (0, [(1, "s")]), (1, [(1, "s")])])
def test_a_timer_is_due_at_its_expiration(offset: int, due: list[Key]) -> None:
    """A timer is due at its expiration, not a tick before."""
    table = TimerTable()
    table.arm((1, "s"), 10)

    assert table.due(10 + offset) == due


@pytest.mark.parametrize(("after", "found"), [(9, 10), (10, 20), (11, 20), (20, None)])
def test_the_next_expiration_is_later_than_the_instant_given(after: int, found: float | None) -> None:
    """`next_expiration(after=t)` leaves out what expires at t itself."""
    table = TimerTable()
    table.arm((1, "s"), 10)
    table.arm((2, "s"), 20)

    assert table.next_expiration(after=after) == found


def test_timers_of_one_expiration_are_due_in_the_order_of_their_arming() -> None:
    """Equal expirations come as they were armed; one that was armed again comes last."""
    table = TimerTable()
    for worker in ("b", "c", "a"):
        table.arm((worker, "s"), 10)
    table.arm(("b", "s"), 10)

    assert table.due(10) == [("c", "s"), ("a", "s"), ("b", "s")]


def test_a_timer_armed_again_has_only_its_newer_expiration() -> None:
    """To arm a key again, earlier or later, forgets its older expiration."""
    table = TimerTable()
    table.arm((1, "s"), 10)
    table.arm((1, "s"), 20)
    assert (table.due(19), table.due(20), len(table)) == ([], [(1, "s")], 1)

    table.arm((1, "s"), 5)
    assert (table.due(4), table.due(5), table.next_expiration(), len(table)) == ([], [(1, "s")], 5, 1)


def test_what_is_due_stays_in_the_table() -> None:
    """To ask what is due takes nothing out."""
    table = TimerTable()
    table.arm((1, "s"), 10)

    assert table.due(10) == table.due(10) == [(1, "s")]
    assert list(table) == [(1, "s")]


def test_workers_of_unlike_types_share_a_table() -> None:
    """Keys are never compared by size, so a number and a text may expire together."""
    table = TimerTable()
    table.arm((1, "s"), 10)
    table.arm(("rank0", "s"), 10)
    table.arm((None, "s"), 10)

    assert table.due(10) == [(1, "s"), ("rank0", "s"), (None, "s")]


def test_the_scopes_of_a_worker_are_its_own_oldest_first() -> None:
    """`scopes` lists what one worker holds, in the order in which it began to."""
    table = TimerTable()
    for key in [(1, "b"), (2, "x"), (1, "a"), (1, "b")]:
        table.arm(key, 10)

    assert (table.scopes(1), table.scopes(2), table.scopes(3)) == (["b", "a"], ["x"], [])


def test_a_key_is_in_the_table_while_it_is_armed() -> None:
    """A key is in the table from its arming to its disarming, and its neighbours are not touched."""
    table = TimerTable()
    table.arm((1, "a"), 10)
    table.arm((1, "b"), 10)
    assert [key in table for key in [(1, "a"), (1, "b"), (1, "c"), (2, "a")]] == [True, True, False, False]

    assert (table.disarm((1, "a")), table.disarm((1, "a")), table.disarm((2, "a"))) == (True, False, False)
    assert ((1, "a") in table, (1, "b") in table) == (False, True)
    assert (table.expiration((1, "a")), table.expiration((1, "b"))) == (None, 10)


def test_a_worker_is_disarmed_as_a_whole() -> None:
    """`disarm_worker` forgets all of one worker's timers, says how many, and leaves the others'."""
    table = TimerTable()
    for key in [(1, "a"), (1, "b"), (2, "a")]:
        table.arm(key, 10)

    assert (table.disarm_worker(1), table.disarm_worker(1)) == (2, 0)
    assert (list(table), len(table), table.due(10)) == ([(2, "a")], 1, [(2, "a")])


@pytest.mark.parametrize("how", ["one by one", "by worker"])
def test_a_worker_without_timers_leaves_nothing_behind(how: str) -> None:
    """Workers come and go: one that holds no timer any more takes no room."""
    table = TimerTable()
    for worker in range(100):
        table.arm((worker, "s"), 10)
        if how == "by worker":
            table.disarm_worker(worker)
        else:
            table.disarm((worker, "s"))

    assert (table._live, list(table)) == ({}, [])


def test_a_timer_that_expires_never_is_no_next_expiration() -> None:
    """A timer armed for infinity is live, is never due and wakes nobody."""
    table = TimerTable()
    table.arm((1, "s"), math.inf)

    assert (len(table), table.due(1e300), table.next_expiration()) == (1, [], None)
