"""The tail of a distribution: what lies beyond a threshold, by a generalized Pareto distribution, and how sure that is.

After Coles, "An Introduction to Statistical Modeling of Extreme Values", Springer 2001, sections 4.2 and 4.3: beyond a
high threshold u the excesses of almost any distribution are generalized Pareto (Pickands 1975), P(X > u + y) =
zeta (1 + xi y / sigma)^(-1/xi). Intervals are those of the profile likelihood, which are not symmetric, as the tail is
not; they count in how well zeta, the share beyond u, is known, too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.stats import binom, binomtest, chi2

Array = np.ndarray[tuple[int], np.dtype[np.float64]]

SHARE, LEAST, MOST = 0.1, 20, 1000
"""The part of the observations that is the tail, and how many of them it is at least and at most."""

SHAPES = (-0.5, 1.0)
"""The least and the greatest shape xi: below, the likelihood has no interval; above, there is no mean."""

NO_SHAPE = 1e-9
"""The shape of an exponential tail: 0, but for what floats can bear."""

ROUNDS, OFFSETS = 3, np.linspace(-1, 1, 7)
"""How often the grid of shapes and shares is made finer, and where the shares lie on it."""

TINY = 1e-300
"""The smallest probability that is told from none."""

Interval = tuple[float, float, float]
"""An estimate, and the ends of its interval."""


@dataclass(frozen=True)
class Tail:
    """Observations from the smallest to the greatest, of which the last `count` are the tail.

    >>> tail = Tail(np.sort(np.random.default_rng(1).exponential(size=1000)), 100)
    >>> estimate, low, high = tail.quantile(1e-4, confidence=0.95)
    >>> low < -math.log(1e-4) < high
    True
    """

    ordered: Array
    count: int

    @classmethod
    def of(cls, observations: Array) -> "Tail":
        """Returns the tail of observations: the greatest tenth, where that is enough."""
        return cls(np.sort(observations), min(MOST, max(LEAST, math.ceil(SHARE * len(observations)))))

    @property
    def threshold(self) -> float:
        """The greatest observation below the tail."""
        return float(self.ordered[-self.count - 1])

    @cached_property
    def excesses(self) -> Array:
        """By how much each observation of the tail is above the threshold; those that are equal are not of it."""
        excesses = self.ordered[-self.count :] - self.threshold
        return excesses[excesses > 0]

    @property
    def share(self) -> float:
        """The share of the observations beyond the threshold: zeta."""
        return len(self.excesses) / len(self.ordered)

    def quantile(self, beyond: float, *, confidence: float) -> Interval:
        """Returns what is exceeded with probability `beyond`, and its interval."""
        if beyond >= self.share:
            return self._observed_quantile(beyond, confidence)
        scale, shape = self._fit
        excess = scale * _growth(self.share / beyond, shape)
        cut = float(chi2.ppf(confidence, 1))

        def deviance(logarithm: float) -> float:
            return self._deviance(math.exp(logarithm), beyond) - cut

        at = math.log(excess)
        low, high = (math.exp(_root(deviance, at, step)) for step in (-0.25, 0.25))
        return self.threshold + excess, self.threshold + low, self.threshold + high

    def beyond(self, value: float, *, confidence: float) -> Interval:
        """Returns the probability to exceed a value, and its interval."""
        excess = value - self.threshold
        if excess <= 0:
            number = int((self.ordered > value).sum())
            interval = binomtest(number, len(self.ordered)).proportion_ci(confidence)
            return number / len(self.ordered), float(interval.low), float(interval.high)
        scale, shape = self._fit
        room = 1 + shape * excess / scale
        estimate = self.share * math.exp(-_log_ratio(excess / scale, shape)) if room > 0 else 0.0
        cut = float(chi2.ppf(confidence, 1))

        def deviance(logarithm: float) -> float:
            return self._deviance(excess, math.exp(logarithm)) - cut

        at = math.log(max(estimate, TINY))
        low = math.exp(_root(deviance, at, -0.5, math.log(TINY))) if estimate > TINY else 0.0
        high = math.exp(_root(deviance, at, 0.5, -1e-9))
        return estimate, low if low > 2 * TINY else 0.0, high

    def _observed_quantile(self, beyond: float, confidence: float) -> Interval:
        """Returns a quantile among the observations, and between which of them it lies."""
        size = len(self.ordered)
        ranks = [
            math.ceil(size * (1 - beyond)),
            *(binom.ppf(level, size, 1 - beyond) for level in ((1 - confidence) / 2, (1 + confidence) / 2)),
        ]
        estimate, low, high = (float(self.ordered[int(min(max(rank, 1), size)) - 1]) for rank in ranks)
        return estimate, low, high

    @cached_property
    def _fit(self) -> tuple[float, float]:
        """The scale and the shape that are most likely."""

        def unlikely(values: Array) -> float:
            scale, shape, share = (np.array([value]) for value in (math.exp(values[0]), values[1], self.share))
            return min(1e300, -float(self._log_likelihood(scale, shape, share)[0]))

        start = np.array([math.log(self.excesses.mean()), 0.1])
        found = minimize(unlikely, start, method="Nelder-Mead", tol=1e-7)
        return math.exp(found.x[0]), float(found.x[1])

    @cached_property
    def _greatest(self) -> float:
        """The logarithm of the greatest likelihood."""
        scale, shape = self._fit
        return float(self._log_likelihood(np.array([scale]), np.array([shape]), np.array([self.share]))[0])

    def _log_likelihood(self, scale: Array, shape: Array, share: Array) -> Array:
        """Returns how likely the observations are, as a logarithm, with each of some triples; -inf: not at all."""
        inside, outside = len(self.excesses), len(self.ordered) - len(self.excesses)
        shape = np.where(np.abs(shape) < NO_SHAPE, NO_SHAPE, shape)
        possible = (SHAPES[0] <= shape) & (shape <= SHAPES[1]) & (scale > 0) & (share > 0) & (share < 1)
        possible[possible] &= 1 + shape[possible] / scale[possible] * self.excesses[-1] > 0
        found = np.full(len(shape), -math.inf)
        scale, shape, share = scale[possible], shape[possible], share[possible]
        spread = np.log1p(np.outer(shape / scale, self.excesses)).sum(axis=1)
        counts = inside * np.log(share) + outside * np.log1p(-share)
        found[possible] = counts - inside * np.log(scale) - (1 + 1 / shape) * spread
        return found

    def _deviance(self, excess: float, beyond: float) -> float:
        """Returns how much less likely it is that just this excess is exceeded with just this probability.

        That leaves the shape and the share open, which are looked for on a grid, then around the best of it.
        """
        unsure = 1 / math.sqrt(len(self.excesses) * (1 - self.share))
        best, shape, offset = -math.inf, sum(SHAPES) / 2, 0.0
        width, spread = (SHAPES[1] - SHAPES[0]) / 2, 4.0
        for _ in range(ROUNDS):
            shapes, offsets = (
                grid.ravel()
                for grid in np.meshgrid(np.linspace(shape - width, shape + width, 16), offset + spread * OFFSETS)
            )
            shapes = np.clip(np.where(np.abs(shapes) < NO_SHAPE, NO_SHAPE, shapes), *SHAPES)
            shares = np.maximum(self.share * np.exp(offsets * unsure), beyond * (1 + 1e-9))
            growth = np.expm1(shapes * np.log(shares / beyond)) / shapes
            found = self._log_likelihood(excess / growth, shapes, shares)
            number = int(found.argmax())
            if found[number] > best:
                best, shape, offset = float(found[number]), float(shapes[number]), float(offsets[number])
            width, spread = width / 5, spread / 3
        return 2 * (self._greatest - best)


def _growth(ratio: float, shape: float) -> float:
    """Returns (ratio^shape - 1) / shape: how many scales beyond the threshold one in `ratio` of the tail lies."""
    logarithm = math.log(ratio)
    return logarithm if abs(shape) < 1e-9 else math.expm1(shape * logarithm) / shape


def _log_ratio(scales: float, shape: float) -> float:
    """Returns the logarithm of which part of the tail lies so many scales beyond the threshold, above 0."""
    return scales if abs(shape) < 1e-9 else math.log1p(shape * scales) / shape


def _root(function: Callable[[float], float], start: float, step: float, limit: float | None = None) -> float:
    """Returns where a function that is negative at its start becomes positive, in steps ever longer; or the limit."""
    inner = start
    for _ in range(60):
        outer = inner + step
        if limit is not None and (outer - limit) * step >= 0:
            outer = limit
        if function(outer) > 0:
            return brentq(function, inner, outer, xtol=1e-3) if function(inner) < 0 else inner
        if outer == limit:
            return outer
        inner, step = outer, 1.5 * step
    return inner
