"""Which offers patterns name."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import DemandError, Scope
from cloudarb_lib.base.errors import did_you_mean
from cloudarb_lib.market.places import regions


def matches(values: pd.Series, patterns: tuple[str, ...]) -> np.ndarray:
    """Return which values match one of some shell patterns."""
    matching = {v: any(fnmatch.fnmatchcase(str(v), p) for p in patterns) for v in values.unique()}
    return values.map(matching).to_numpy(bool)


def lies_in(offers: pd.DataFrame, patterns: tuple[str, ...]) -> np.ndarray:
    """Return which offers lie in regions, or at provider/region, that match."""
    site = offers["provider"] + "/" + offers["region"]
    return matches(offers["region"], patterns) | matches(site, patterns)


def unknown_places(patterns: tuple[str, ...], offers: pd.DataFrame) -> list[str]:
    """Return the patterns that name no provider and no region, on offer or in data/regions.csv.

    Parameters
    ----------
    patterns
        On region, provider/region or provider.
    offers
        ``provider`` and ``region``.
    """
    known = known_places(offers)
    return [each for each in patterns if not fnmatch.filter(known, each)]


def known_places(offers: pd.DataFrame) -> list[str]:
    """Return providers, regions and provider/region, on offer or in data/regions.csv."""
    return sorted(_names_of_places(offers) | _names_on_record())


@cache
def _names_on_record() -> frozenset[str]:
    """Return the names of data/regions.csv, worked out once: each workload is checked by them."""
    return _names_of_places(regions())


def _names_of_places(places: pd.DataFrame) -> frozenset[str]:
    """Return provider, region and provider/region of each of some places."""
    sites = set(zip(places["provider"].astype(str), places["region"].astype(str), strict=True))
    return frozenset(
        name for provider, region in sites for name in (provider, region, f"{provider}/{region}")
    )


def known_sites(offers: pd.DataFrame) -> set[str]:
    """Return each provider/region, on offer or in data/regions.csv."""
    return {place for place in known_places(offers) if "/" in place}


def named_by(scope: Scope, offers: pd.DataFrame, *, place: tuple[str, int]) -> np.ndarray:
    """Return which offers an entry of a demand file names.

    Parameters
    ----------
    scope
        The entry.
    offers
        ``provider``, ``region``, ``purchase_option``, ``gpu_model`` and ``instance_type``.
    place
        The entry's list and number, for the error.

    Raises
    ------
    DemandError
        Where it names none, naming the pattern that leaves none.
    """
    named = np.ones(len(offers), bool)
    for key, match in _matching(scope, offers):
        named &= match
        if not named.any():
            patterns = getattr(scope, key)
            known = sorted(set(offers[_COLUMNS[key]].dropna().astype(str)))
            close = did_you_mean(patterns[0].rpartition("/")[2], known)
            raise DemandError(
                (*place, key),
                f"{key} {', '.join(patterns)} names no offer{close}.",
                "Name offers as cloudarb allocate shows them, or leave the entry out.",
            )
    return named


def is_named(scope: Scope, offers: pd.DataFrame) -> np.ndarray:
    """Return which offers an entry of a demand file names, as ``named_by``; perhaps none."""
    return np.logical_and.reduce([match for _, match in _matching(scope, offers)])


def _matching(scope: Scope, offers: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each key of a scope, and which offers match its patterns."""
    for key, column in _COLUMNS.items():
        patterns = getattr(scope, key)
        is_place = key == "region"
        yield key, lies_in(offers, patterns) if is_place else matches(offers[column], patterns)


_COLUMNS = {
    "provider": "provider",
    "region": "region",
    "option": "purchase_option",
    "gpu": "gpu_model",
    "machine": "instance_type",
}
"""Column of the offers that each key of a scope is about."""
