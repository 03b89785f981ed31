"""Operations: each is Python and JSON at once, and takes what its fields may be, and nothing else."""

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timersim.lab.operations import (
    CORRUPTIONS,
    CRASHES,
    MOST,
    OPERATIONS,
    PLAIN,
    POINTS,
    SENDING,
    Operation,
    ScheduleError,
    from_object,
    to_object,
)

BOUNDS: dict[str, tuple[int, int]] = {
    "gap": (0, 1_000_000_000),
    "worker": (0, 1_000_000_000),
    "of": (0, 1_000_000_000),
    "after": (0, 1_000_000_000),
    "ticks": (1, 1_000_000_000),
    "later": (0, 1_000_000_000),
    "by": (-1_000_000_000, 1_000_000_000),
    "per_mille": (-999, 999),
    "times": (1, 1_000_000_000),
    "pick": (0, 1_000_000_000),
}
"""The least and the most of each field that is a number."""

WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("Crash", "how"): ("sigkill", "exit", "abort", "segv"),
    ("CrashSending", "at"): ("buffered", "lock held", "half written", "flushed"),
    ("Corrupt", "how"): ("garbage", "nan", "truncated"),
    ("PauseInPass", "at"): ("drained", "reaping", "reaped"),
}
"""The words that a field may be, by operation and field."""


def names(kind: type[Operation]) -> list[str]:
    """Returns the fields of an operation, in the order in which they are written: the gap comes last."""
    return [*(field.name for field in fields(kind) if field.name != "gap"), "gap"]


def least(kind: type[Operation]) -> dict[str, Any]:
    """Returns the least values of an operation, by field."""
    plain: dict[str, Any] = {name: bounds[0] for name, bounds in BOUNDS.items()} | {"scope": "s0"}
    return {name: WORDS.get((kind.__name__, name), (plain.get(name),))[0] for name in names(kind)}


NUMBERS = [(kind, name) for kind in OPERATIONS for name in names(OPERATIONS[kind]) if name in BOUNDS]
"""Each operation with each of its fields that are numbers."""


def values(kind: str, name: str) -> st.SearchStrategy[Any]:
    """Generates what a field may be."""
    if name in BOUNDS:
        return st.integers(*BOUNDS[name])
    return st.text() if name == "scope" else st.sampled_from(WORDS[kind, name])


operations: st.SearchStrategy[Operation] = st.one_of(
    *(st.builds(made, **{name: values(kind, name) for name in names(made)}) for kind, made in OPERATIONS.items())
)
"""Any operation, with any values that it takes."""


# Python and JSON


@settings(deadline=None, database=None, max_examples=300)
@given(operations)
def test_the_repr_is_python_that_rebuilds_the_operation(operation: Operation) -> None:
    """The repr of every operation is Python that rebuilds it, on one line."""
    rebuilt = eval(repr(operation), dict(OPERATIONS))

    assert (rebuilt, type(rebuilt)) == (operation, type(operation))
    assert "\n" not in repr(operation)


@settings(deadline=None, database=None, max_examples=300)
@given(operations)
def test_json_rebuilds_the_operation(operation: Operation) -> None:
    """What to_object makes of every operation survives JSON, names its fields in order, and from_object rebuilds it."""
    value = json.loads(json.dumps(to_object(operation)))

    assert from_object(value) == operation
    assert list(value) == ["operation", *names(type(operation))]
    assert value["operation"] == type(operation).__name__


@settings(deadline=None, database=None, max_examples=100)
@given(operations, operations)
def test_operations_are_equal_where_their_reprs_are(one: Operation, other: Operation) -> None:
    """Operations are values: equal, and alike in hash, exactly where they read the same."""
    assert (one == other) is (repr(one) == repr(other))
    assert hash(one) == hash(eval(repr(one), dict(OPERATIONS)))


REPRS = {
    "Start": "Start(0)",
    "Acquire": 'Acquire(0, "s0", after=0)',
    "Release": 'Release(0, "s0")',
    "Exit": "Exit(0)",
    "Crash": 'Crash(0, "sigkill")',
    "Pause": "Pause(0)",
    "Resume": "Resume(0)",
    "PauseServer": "PauseServer(1)",
    "StopServer": "StopServer()",
    "StartServer": "StartServer()",
    "Reuse": "Reuse(0, 0)",
    "CrashSending": 'CrashSending(0, "buffered")',
    "Delay": "Delay(0, 1)",
    "Drop": "Drop(0)",
    "Duplicate": "Duplicate(0, 0)",
    "Reorder": "Reorder(0, 1)",
    "Corrupt": 'Corrupt(0, "garbage")',
    "Stall": "Stall(0, 1)",
    "Flood": 'Flood(0, "s0", 1)',
    "PauseInPass": 'PauseInPass("drained", 1)',
    "CrashServer": "CrashServer()",
    "RestartServer": "RestartServer()",
    "FailReap": "FailReap(0, 1)",
    "RaiseInReap": "RaiseInReap(0, 1)",
    "SlowReap": "SlowReap(0, 1)",
    "StepWall": "StepWall(-1000000000)",
    "Suspend": "Suspend(1)",
    "Drift": "Drift(-999)",
    "Tie": "Tie(0)",
}
"""How each operation reads with its least values."""


def test_how_each_operation_reads() -> None:
    """Every operation can be made of its least values, and reads as short as that."""
    assert {name: repr(kind(**least(kind))) for name, kind in OPERATIONS.items()} == REPRS


def test_a_gap_is_told_by_its_name() -> None:
    """The gap of every operation is the last of its repr, and has its name there."""
    for name, kind in OPERATIONS.items():
        plain = REPRS[name]
        separator = "" if plain.endswith("()") else ", "
        assert repr(kind(**(least(kind) | {"gap": 7}))) == f"{plain[:-1]}{separator}gap=7)"


def test_a_field_that_there_is_not_is_told_in_a_sentence() -> None:
    """An object of JSON with a field that the operation does not have is refused, for every operation."""
    for name, kind in OPERATIONS.items():
        with pytest.raises(ScheduleError) as refused:
            from_object(to_object(kind(**least(kind))) | {"colour": 1})
        assert str(refused.value) == f"{name}: {name}.__init__() got an unexpected keyword argument 'colour'"


def test_a_field_that_is_missing_is_told_in_a_sentence() -> None:
    """An object of JSON without a field that has no default is refused."""
    with pytest.raises(ScheduleError) as refused:
        from_object({"operation": "Reuse", "worker": 1, "gap": 2})

    assert str(refused.value) == "Reuse: Reuse.__init__() missing 1 required positional argument: 'of'"


# Numbers


@pytest.mark.parametrize(("name", "field"), NUMBERS)
def test_a_number_may_be_as_small_and_as_large_as_its_rule_says(name: str, field: str) -> None:
    """Each number takes its least and its most, and what is a tick inside of them."""
    kind, (low, high) = OPERATIONS[name], BOUNDS[field]

    taken = [getattr(kind(**(least(kind) | {field: value})), field) for value in (low, low + 1, high - 1, high)]
    assert taken == [low, low + 1, high - 1, high]


@pytest.mark.parametrize(("name", "field"), NUMBERS)
def test_a_number_below_its_least_is_refused(name: str, field: str) -> None:
    """A tick below its least a number is refused, with its name, its rule and the operation."""
    kind, (low, _) = OPERATIONS[name], BOUNDS[field]
    with pytest.raises(ScheduleError) as refused:
        kind(**(least(kind) | {field: low - 1}))

    rule, _, shown = str(refused.value).partition(": ")
    assert rule == f"{field} is a whole number of at least {low}"
    assert (shown.startswith(f"{name}("), str(low - 1) in shown) == (True, True)


@pytest.mark.parametrize(("name", "field"), NUMBERS)
def test_a_number_above_its_most_is_refused(name: str, field: str) -> None:
    """A tick above its most a number is refused, with its name and its rule."""
    kind, (_, high) = OPERATIONS[name], BOUNDS[field]
    with pytest.raises(ScheduleError) as refused:
        kind(**(least(kind) | {field: high + 1}))

    assert str(refused.value) == f"{field} is a whole number of at most {high:,}"


@pytest.mark.parametrize(("name", "field"), NUMBERS)
@pytest.mark.parametrize("value", [True, 1.0, "1", None, float("nan")], ids=repr)
def test_what_is_no_whole_number_is_refused(name: str, field: str, value: object) -> None:
    """A truth value, a float and a text are no whole numbers."""
    kind, (low, _) = OPERATIONS[name], BOUNDS[field]
    with pytest.raises(ScheduleError) as refused:
        kind(**(least(kind) | {field: value}))

    assert str(refused.value).startswith(f"{field} is a whole number of at least {low}: {name}(")


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ("Reuse(0, -1)", "of is a whole number of at least 0: Reuse(0, -1)"),
        ("Delay(0, 0)", "ticks is a whole number of at least 1: Delay(0, 0)"),
        ("Duplicate(0, -1)", "later is a whole number of at least 0: Duplicate(0, -1)"),
        ('Flood(0, "s0", 0)', 'times is a whole number of at least 1: Flood(0, "s0", 0)'),
        ("Drift(-1000)", "per_mille is a whole number of at least -999: Drift(-1000)"),
        ("Drift(1000)", "per_mille is a whole number of at most 999"),
        ("StepWall(-1000000001)", "by is a whole number of at least -1000000000: StepWall(-1000000001)"),
        ("StepWall(1000000001)", "by is a whole number of at most 1,000,000,000"),
        ("Tie(-1, gap=2)", "pick is a whole number of at least 0: Tie(-1, gap=2)"),
        ("CrashServer(gap=-1)", "gap is a whole number of at least 0: CrashServer(gap=-1)"),
        ('Flood(0, b"s", 1)', "scope is a text: Flood(0, b's', 1)"),
    ],
)
def test_a_wrong_value_is_refused_in_a_whole_sentence(made: str, sentence: str) -> None:
    """What is refused says the field, the rule and the operation."""
    with pytest.raises(ScheduleError) as refused:
        eval(made, dict(OPERATIONS))

    assert str(refused.value) == sentence


# Words


@pytest.mark.parametrize(("name", "field"), WORDS)
def test_each_word_is_taken(name: str, field: str) -> None:
    """Each word of a field is taken, and what the operation declares is just these."""
    kind = OPERATIONS[name]

    assert kind.words == {field: WORDS[name, field]}
    assert [getattr(kind(**(least(kind) | {field: word})), field) for word in WORDS[name, field]] == [
        *WORDS[name, field]
    ]


@pytest.mark.parametrize(("name", "field"), WORDS)
@pytest.mark.parametrize("value", ["", "sigterm", "SIGKILL", " exit", 0, None, ["garbage"]], ids=repr)
def test_another_word_is_refused(name: str, field: str, value: object) -> None:
    """What is none of a field's words is refused, with all of them and the operation."""
    kind = OPERATIONS[name]
    with pytest.raises(ScheduleError) as refused:
        kind(**(least(kind) | {field: value}))

    assert str(refused.value).startswith(f"{field} is one of {', '.join(WORDS[name, field])}: {name}(")


def test_a_wrong_word_is_refused_in_a_whole_sentence() -> None:
    """A word of another operation is refused in a sentence."""
    with pytest.raises(ScheduleError) as refused:
        eval('PauseInPass("flushed", 3, gap=1)', dict(OPERATIONS))

    assert str(refused.value) == 'at is one of drained, reaping, reaped: PauseInPass("flushed", 3, gap=1)'


def test_the_words_are_those_that_are_public() -> None:
    """The lists of words that others may draw from are those of the operations, and no other operation has words."""
    assert [*WORDS.values()] == [CRASHES, SENDING, CORRUPTIONS, POINTS]
    assert {(name, field) for name, kind in OPERATIONS.items() for field in kind.words} == set(WORDS)
    assert MOST == 1_000_000_000


# The kinds


def test_every_field_has_a_rule() -> None:
    """There is no field without bounds, words, or text for a rule."""
    ruled = {*BOUNDS, "scope", *(field for _, field in WORDS)}

    assert {name for kind in OPERATIONS.values() for name in names(kind)} == ruled


def test_what_is_plain_and_what_makes_the_world_worse() -> None:
    """Every backend carries out the plain operations; all others but an order of what is ready are faults."""
    assert {kind.__name__ for kind in PLAIN} == set(list(OPERATIONS)[:10])
    assert [name for name, kind in OPERATIONS.items() if not kind.fault] == [
        "Start",
        "Acquire",
        "Release",
        "Exit",
        "Resume",
        "StopServer",
        "StartServer",
        "Tie",
    ]
