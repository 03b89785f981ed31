"""Counts as people give them: how many schedules, workers, jobs or steps there are to be."""

from numbers import Integral


def is_whole(value: object, least: int = 1) -> bool:
    """Returns whether a value is a whole number of at least so much, also one of numpy's; a truth is none.

    >>> is_whole(3), is_whole(0), is_whole(0, least=0), is_whole(1.5), is_whole(True)
    (True, False, True, False, False)
    """
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def check_counts(error: type[Exception], **counts: object) -> None:
    """Raises `error` for the first of these that is no whole number of at least 1, with its name and value.

    >>> check_counts(ValueError, schedules=1000, jobs=0)
    Traceback (most recent call last):
    ValueError: jobs is a whole number of at least 1: jobs=0
    """
    for name, value in counts.items():
        if not is_whole(value):
            raise error(f"{name} is a whole number of at least 1: {name}={value!r}")
