"""Announcements: types of which others hear once they are defined."""

import pytest

from timersim import announcements
from timersim.announcements import announced, listen


@pytest.fixture(autouse=True)
def nothing_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was announced, and nobody listens; afterwards all is as it was."""
    monkeypatch.setattr(announcements, "_announced", [])
    monkeypatch.setattr(announcements, "_listeners", [])


def test_who_listens_hears_of_each_type_whenever_it_is_defined() -> None:
    """Who listens hears of each type once and in order, of those defined before and of those defined after."""
    heard: list[type] = []

    @announced
    class Before:
        pass

    listen(heard.append)
    assert heard == [Before]

    @announced
    class After:
        pass

    assert heard == [Before, After]


def test_each_listener_hears() -> None:
    """Two listeners both hear."""
    first: list[type] = []
    second: list[type] = []
    listen(first.append)
    listen(second.append)

    @announced
    class Announced:
        pass

    assert (first, second) == ([Announced], [Announced])


def test_who_listens_again_is_told_again_and_hears_of_what_follows_once() -> None:
    """A listener that comes twice, as after a reload, hears anew of what there is, and of each new type once."""
    heard: list[type] = []

    def hear(kind: type) -> None:
        heard.append(kind)

    @announced
    class Before:
        pass

    listen(hear)
    listen(hear)
    assert heard == [Before, Before]

    @announced
    class After:
        pass

    assert heard == [Before, Before, After]


def test_an_announced_class_is_itself() -> None:
    """The decorator gives back the class, unchanged."""

    class Plain:
        pass

    before = dict(vars(Plain))

    assert announced(Plain) is Plain
    assert dict(vars(Plain)) == before
