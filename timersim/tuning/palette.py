"""The colours of the pictures, which everybody can tell apart, and fresh axes."""

from typing import TYPE_CHECKING

from timersim.tuning.libraries import missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, LIGHT_BLUE, ORANGE, VERMILION, GREY = "#0072b2", "#9ecbe8", "#e69f00", "#d55e00", "#bbbbbb"
"""After Okabe and Ito: alive; a timer held; due and not yet reaped; reaped; the server away."""

GREEN, PURPLE, DARK = "#009e73", "#cc79a7", "#333333"

SERIES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (PURPLE, ":"), (DARK, (0, (5, 1, 1, 1, 1, 1))), (VERMILION, "-"))
"""The lines of one picture, told apart by their colours and by their strokes."""


def fresh(axes: "Axes | None", width: float = 8.0, height: float = 4.5) -> "Axes":
    """Returns the axes that were given, or new ones of so many inches; without a frame at the top and the right."""
    if axes is None:
        try:
            from matplotlib import pyplot
        except ModuleNotFoundError as error:
            raise missing(error) from None
        axes = pyplot.subplots(figsize=(width, height), layout="constrained")[1]
    axes.spines[["top", "right"]].set_visible(False)
    return axes
