"""Whole numbers as people give them: Python's own, and those that come out of an array or a frame."""

from numbers import Integral


def is_whole(value: object, least: int = 1) -> bool:
    """Returns whether a value is a whole number of at least so much, also one of numpy's; a truth is none.

    >>> import numpy as np
    >>> is_whole(3), is_whole(np.int64(3)), is_whole(0), is_whole(1.5), is_whole(True)
    (True, True, False, False, False)
    """
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least
