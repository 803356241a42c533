"""Spellings of purchase options and terms."""

from __future__ import annotations

import pytest

from cloudarb_lib.sources.names.options import canonical_option


@pytest.mark.parametrize(
    ("option", "term", "stored"),
    [
        ("On-Demand", "", ("on_demand", "")),
        ("OnDemand", "", ("on_demand", "")),
        ("Linux on demand", "", ("on_demand", "")),
        ("Consumption", "", ("on_demand", "")),
        ("SPOT", "", ("spot", "")),
        ("Preemptible", "", ("spot", "")),
        ("reserved_1y", "", ("reserved", "1y")),
        ("Commit1Yr", "", ("reserved", "1y")),
        ("Commit3Yr", "", ("reserved", "3y")),
        ("1 Year Reserved", "", ("reserved", "1y")),
        ("Reservation", "3 Years", ("reserved", "3y")),
        ("reserved_1y", "1yr", ("reserved", "1y")),
    ],
)
def test_spellings_come_to_one_option_and_term(
    option: str, term: str, stored: tuple[str, str]
) -> None:
    assert canonical_option(option, term) == stored
    assert canonical_option(*stored) == stored


@pytest.mark.parametrize(
    ("option", "term"),
    [
        ("sp0t", ""),
        ("", ""),
        ("reserved", ""),
        ("reserved", "2y"),
        ("reserved_1y", "3y"),
        ("spot", "1y"),
        ("on_demand", "soon"),
        ("1y", ""),
    ],
)
def test_what_does_not_fit_is_not_guessed(option: str, term: str) -> None:
    assert canonical_option(option, term) is None
