"""The libraries that the tuning needs, and timersim itself does not."""

from collections.abc import Callable

LIBRARIES = ("matplotlib", "numpy", "pandas", "scipy")


def said(getattribute: Callable[[str], object]) -> Callable[[str], object]:
    """Returns a package's `__getattr__` that says in a sentence which library is missing."""

    def saying(name: str) -> object:
        try:
            return getattribute(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in LIBRARIES:
                raise
            raise missing(error) from None

    return saying


def missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """Returns the sentence for a library that is not there.

    >>> str(missing(ModuleNotFoundError("No module named 'scipy.stats'", name="scipy.stats")))
    "timersim.tuning needs scipy, which is not there: pip install 'timersim[tuning]'"
    """
    name = (error.name or "").partition(".")[0]
    return ModuleNotFoundError(
        f"timersim.tuning needs {name}, which is not there: pip install 'timersim[tuning]'", name=error.name
    )
