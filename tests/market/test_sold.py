"""What is told of whether a plan's offers are sold."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.market import explore


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (
            ["zone_list", None],
            "Of 2 offers rented 1 are known to be sold there (a list of zones; the oldest word is "
            "of 19 Mar 2026). Priced, but not known to be sold: b.",
        ),
        ([None, None], "Of 2 offers rented 0 are known to be sold there. Priced, but not known"),
        (["zone_list", "listing"], "(its own listing, a list of zones; the oldest word is"),
    ],
)
def test_the_offers_of_a_plan_are_told_apart(evidence: list[str | None], words: str) -> None:
    offers = pd.DataFrame({"offer_id": ["a", "b", "c"], "evidence": [*evidence, "catalogue"]})
    seen_at = pd.Timestamp("2026-03-19", tz="UTC")
    offers["evidence_at"] = pd.Series(seen_at, offers.index).where(offers["evidence"].notna())
    told = explore.sold_in_words(offers.iloc[:2][["offer_id"]], offers)
    assert words in told
    assert ("Ask the provider" in told) == (None in evidence)
