"""Counts: how many schedules, workers or jobs there are to be."""


def check_counts(error: type[Exception], **counts: object) -> None:
    """Raises `error` for the first of these that is no whole number of at least 1, with its name and value.

    >>> check_counts(ValueError, schedules=1000, jobs=0)
    Traceback (most recent call last):
    ValueError: jobs is a whole number of at least 1: jobs=0
    """
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise error(f"{name} is a whole number of at least 1: {name}={value!r}")
