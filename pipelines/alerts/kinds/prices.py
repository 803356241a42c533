"""Rules on prices: whether they can be read, how old they are, and how they move."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.base.records import Positive, record
from cloudarb_lib.market.explore import offer_in_words
from cloudarb_lib.store.snapshot import Snapshot, current
from pipelines.alerts.rule import Finding, Rule, Watched
from pipelines.run.files import scrub


@record
class StoreUnreadable(Rule):
    """The store of prices cannot be read."""

    key: ClassVar[str] = "store_unreadable"

    def findings(self, watched: Watched) -> list[Finding]:
        try:
            path = current(watched.store)
            if path is not None:
                with Snapshot(path) as snapshot:
                    snapshot.newest_by_source()
        except StoreError as fault:
            return [Finding("", scrub(fault.what, {watched.store: "the store"}))]
        return []

    def expression(self, configuration: str) -> str:
        return 'cloudarb_unreadable{part="store"} == 1'


@record
class Freshness(Rule):
    """Nobody looked at a source for some days, by the clock."""

    key: ClassVar[str] = "freshness"
    days: Positive

    def findings(self, watched: Watched) -> list[Finding]:
        sources, _ = watched.tables("sources")
        if sources.empty:
            return []
        sources = sources[sources["offers"] > 0]
        old = sources[sources["looked_at"] < watched.now - pd.Timedelta(days=self.days)]
        return [
            Finding(
                f"{row.provider}/{row.source}",
                f"prices of {row.provider} ({row.source}) were last looked at on "
                f"{row.looked_at:%Y-%m-%d}; {self.days:g} days are allowed.",
            )
            for row in old.itertuples()
        ]

    def expression(self, configuration: str) -> str:
        looked = "cloudarb_run_source_looked_timestamp_seconds"
        return f'time() - {looked}{{configuration="{configuration}"}} > {self.days * 86_400:.15g}'


@record
class PriceChange(Rule):
    """The price of an offer that the plan rents moved by some share, or the offer is gone."""

    key: ClassVar[str] = "price_change"
    share: Positive

    def findings(self, watched: Watched) -> list[Finding]:
        offers, offers_before = watched.tables("offers")
        _, plan = watched.tables("plan")
        if plan.empty or offers.empty:
            return []
        before = offers_before.set_index("offer_id")["price_usd_per_hour"]
        now = offers.set_index("offer_id")["price_usd_per_hour"]
        found = []
        for offer_id in plan["offer_id"].drop_duplicates():
            was, moved_to = before.get(offer_id), now.get(offer_id)
            offer = offer_in_words(offer_id)
            if was is None:  # held, not rented at a price
                continue
            if moved_to is None:
                found.append(Finding(offer_id, f"{offer}, which the last plan rents, is gone."))
            elif abs(moved_to / was - 1) > self.share:
                change = f"from {was:,.4g} to {moved_to:,.4g} USD/h ({moved_to / was - 1:+.1%})"
                found.append(Finding(offer_id, f"{offer} went {change}."))
        return found
