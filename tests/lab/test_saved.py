"""Failing test cases as files."""

import json
from pathlib import Path
from typing import Any

import pytest

from timersim.lab.operations import (
    OPERATIONS,
    Acquire,
    Exit,
    Release,
    ScheduleError,
)
from timersim.lab.saved import SavedSchedule, load, named, saved_schedules
from timersim.lab.schedule import Schedule

SCHEDULE = Schedule([Acquire(0, "s0", after=5), Release(0, "s0", gap=1)])
SAVED = SavedSchedule("release-wins-3f9c", ("release-wins", "reaped-once"), {"name": "memory"}, SCHEDULE)
WHOLE: dict[str, Any] = {"timersim": 1, "invariants": ["release-wins"], "backend": {"name": "memory"}, "schedule": []}
KINDS = ", ".join(OPERATIONS)


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    """What was saved is loaded from its file, whose name is its own."""
    path = SAVED.save(tmp_path)

    assert path == tmp_path / "release-wins-3f9c.timersim.json"
    assert load(path) == SAVED


def test_the_file_is_json_that_a_person_can_read(tmp_path: Path) -> None:
    """The file holds the version, the invariants, the backend and the operations, and ends with a line."""
    text = SAVED.save(tmp_path).read_text(encoding="utf-8")

    assert json.loads(text) == {
        "timersim": 1,
        "invariants": ["release-wins", "reaped-once"],
        "backend": {"name": "memory"},
        "schedule": [
            {"operation": "Acquire", "worker": 0, "scope": "s0", "after": 5, "gap": 0},
            {"operation": "Release", "worker": 0, "scope": "s0", "gap": 1},
        ],
    }
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 10


def test_the_folder_is_made_and_a_file_of_the_name_is_replaced(tmp_path: Path) -> None:
    """Saving makes the folders that are missing, and writes over an earlier file of the same name."""
    folder = tmp_path / "a" / "b"
    SAVED.save(folder)
    SavedSchedule(SAVED.name, SAVED.invariants, SAVED.backend, Schedule([Exit(0)])).save(folder)

    assert [saved.schedule for saved in saved_schedules(folder)] == [Schedule([Exit(0)])]


def test_a_failing_test_case_is_named_for_its_first_invariant_and_its_content() -> None:
    """The name is the first invariant and four digits, the same whenever the content is."""
    backend = {"name": "memory", "server": None}
    one = named(["release-wins", "reaped-once"], backend, SCHEDULE)

    assert one.name == "release-wins-" + one.name[-4:]
    assert set(one.name[-4:]) <= set("0123456789abcdef")
    assert one == named(["release-wins", "reaped-once"], dict(reversed(backend.items())), SCHEDULE)
    assert one.name != named(["release-wins"], backend, SCHEDULE[:1]).name
    assert one.name != named(["release-wins"], {"name": "local"}, SCHEDULE).name


def test_a_name_does_not_depend_on_the_process() -> None:
    """A name is the same in every process, so that a file is not written twice."""
    assert named(["right-set"], {"name": "memory"}, SCHEDULE).name == "right-set-5b6a"


def test_the_saved_schedules_of_a_folder_are_sorted_by_name(tmp_path: Path) -> None:
    """Those of the folder and those below it come sorted by name; other files are none."""
    for folder, name in ((tmp_path / "b", "a-1"), (tmp_path, "c-1"), (tmp_path / "a", "b-1")):
        SavedSchedule(name, ("right-set",), {}, SCHEDULE).save(folder)
    (tmp_path / "notes.json").write_text("[]", encoding="utf-8")

    assert [saved.name for saved in saved_schedules(tmp_path)] == ["a-1", "b-1", "c-1"]
    assert [saved.name for saved in saved_schedules(str(tmp_path / "a"))] == ["b-1"]


def test_a_folder_without_any_has_none(tmp_path: Path) -> None:
    """An empty folder has no saved schedules."""
    assert saved_schedules(tmp_path) == []


def test_a_broken_file_in_a_folder_is_named(tmp_path: Path) -> None:
    """One broken file is not passed over."""
    SAVED.save(tmp_path)
    (tmp_path / "broken.timersim.json").write_text("{", encoding="utf-8")

    with pytest.raises(ScheduleError, match=r"broken\.timersim\.json is no saved schedule"):
        saved_schedules(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"\xff", "not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[]", 'it has no "timersim": 1'),
        ({"schedule": []}, 'it has no "timersim": 1'),
        ({**WHOLE, "timersim": 2}, 'it has no "timersim": 1'),
        ({**WHOLE, "invariants": "release-wins"}, '"invariants" is no list of names'),
        ({**WHOLE, "invariants": ["release-wins", 3]}, '"invariants" is no list of names'),
        ({**WHOLE, "backend": "memory"}, '"backend" is no object'),
        ({**WHOLE, "schedule": None}, "a schedule is a list of operations, not: None"),
        (
            {**WHOLE, "schedule": [{"operation": "Fly"}]},
            f"an operation is an object with one of {KINDS}, not: {{'operation': 'Fly'}}",
        ),
        (
            {**WHOLE, "schedule": [{"operation": "Exit", "worker": -1}]},
            "worker is a whole number of at least 0: Exit(-1)",
        ),
    ],
)
def test_a_file_that_is_no_saved_schedule_is_refused_by_name(
    tmp_path: Path, content: bytes | dict[str, Any], sentence: str
) -> None:
    """What is no saved schedule is a ScheduleError with the file and what is wrong with it."""
    path = tmp_path / "x.timersim.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    with pytest.raises(ScheduleError) as refused:
        load(path)

    assert str(refused.value) == f"{path} is no saved schedule: {sentence}"


def test_a_whole_file_is_taken(tmp_path: Path) -> None:
    """The file of which the broken ones above are variants is none of them."""
    path = tmp_path / "x.timersim.json"
    path.write_text(json.dumps(WHOLE), encoding="utf-8")

    assert load(path) == SavedSchedule("x", ("release-wins",), {"name": "memory"}, Schedule())


@pytest.mark.parametrize(("make", "reason"), [(False, "No such file or directory"), (True, "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, make: bool, reason: str) -> None:  # noqa: FBT001 - a parameter
    """A file that is not there, or is a folder, is a ScheduleError with the system's reason."""
    path = tmp_path / "x.timersim.json"
    if make:
        path.mkdir()

    with pytest.raises(ScheduleError) as refused:
        load(path)

    assert str(refused.value) == f"{path} can't be read: {reason}"
