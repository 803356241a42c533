"""How old a price may be: fresh, stale or expired, for each source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.tables.assumptions import load_assumptions

EVERY_SOURCE = "*"
"""Stands for the sources that are not named."""

DaysBySource = float | Mapping[str, float]
"""Days for all sources alike, or by source, with ``EVERY_SOURCE`` for the others."""


@dataclass(frozen=True)
class Freshness:
    """From which age on a price is stale, and from which it is expired.

    A stale price is not offered, but may stand in for what is lost in a stress test; an expired one
    is used nowhere.

    Parameters
    ----------
    stale_after_days, expired_after_days : mapping of str to float
        By source, ``EVERY_SOURCE`` among them.
    """

    stale_after_days: Mapping[str, float]
    expired_after_days: Mapping[str, float]

    @classmethod
    def of(
        cls, stale_after_days: DaysBySource, expired_after_days: DaysBySource | None = None
    ) -> Freshness:
        """Return the ages as given.

        Parameters
        ----------
        stale_after_days
            A mapping without ``EVERY_SOURCE`` is refused.
        expired_after_days
            Where it says nothing of a source, ``fallback_price_age_days`` of the assumptions holds,
            but never less than the source's ``stale_after_days``.

        Raises
        ------
        ParameterError
            Where an age is negative or no number, or no age holds for sources that are not named.
        """
        stale = _by_source(stale_after_days, "stale_after_days")
        if EVERY_SOURCE not in stale:
            named = ", ".join(stale) or "no source"
            raise ParameterError(
                f"stale_after_days names {named}, but not {EVERY_SOURCE!r}.",
                f"Add {EVERY_SOURCE!r}: 14 for the other sources.",
            )
        expired = {} if expired_after_days is None else expired_after_days
        expired = _by_source(expired, "expired_after_days")
        if EVERY_SOURCE not in expired:
            expired[EVERY_SOURCE] = load_assumptions().get("fallback_price_age_days")
        return cls(stale, expired)

    def with_stale(self) -> Freshness:
        """Return these ages where a price is not stale before it is expired."""
        sources = {*self.stale_after_days, *self.expired_after_days}
        return Freshness({s: self._expired(s) for s in sources}, self.expired_after_days)

    def stale_days(self, sources: pd.Series) -> pd.Series:
        """Return the age in days from which each of ``sources`` is stale."""
        return _each(sources, self._stale)

    def expired_days(self, sources: pd.Series) -> pd.Series:
        """Return the age in days from which each of ``sources`` is expired."""
        return _each(sources, self._expired)

    def _stale(self, source: str) -> float:
        return self.stale_after_days.get(source, self.stale_after_days[EVERY_SOURCE])

    def _expired(self, source: str) -> float:
        days = self.expired_after_days.get(source, self.expired_after_days[EVERY_SOURCE])
        return max(days, self._stale(source))


def days_by_source(words: Sequence[str]) -> dict[str, float]:
    """Return ages as people write them on a command line: ``14`` for all, ``gcp=30`` for one.

    Raises
    ------
    ParameterError
        Where a word is neither.
    """
    days: dict[str, float] = {}
    for word in words:
        source, _, number = word.rpartition("=")
        try:
            days[source or EVERY_SOURCE] = float(number)
        except ValueError as cause:
            what = f"{word!r} is neither days nor SOURCE=DAYS."
            raise ParameterError(what, "Write 14, or 14 gcp=30.") from cause
    return days


def _by_source(days: DaysBySource, name: str) -> dict[str, float]:
    """Return ages by source; ParameterError where one is negative or no number."""
    by_source = dict(days) if isinstance(days, Mapping) else {EVERY_SOURCE: days}
    for source, age in by_source.items():
        is_number = isinstance(age, int | float) and not isinstance(age, bool)
        if not is_number or not age >= 0:
            what = name if source == EVERY_SOURCE else f"{name} of {source}"
            raise ParameterError(f"{what}: {age!r} is not a number from 0 up.", "Use 14.")
    return {str(source): float(age) for source, age in by_source.items()}


def _each(sources: pd.Series, age_of: object) -> pd.Series:
    ages = {source: age_of(source) for source in sources.unique()}  # type: ignore[operator]
    return sources.astype(object).map(ages).astype(float)
