"""The market at a time: the one way from the store to offers and panels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import pandas as pd

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.base.tracing import traced
from cloudarb_lib.base.types import Panel
from cloudarb_lib.market.freshness import DaysBySource, Freshness
from cloudarb_lib.market.offers import NOT_KNOWN_SOLD, current_offers, fresh
from cloudarb_lib.market.panel import to_panel
from cloudarb_lib.market.places import with_places


class PriceRecord(Protocol):
    """What can be asked of a snapshot of the store."""

    def events(
        self, *, as_of: object, providers: Sequence[str] | None, gpu_only: bool
    ) -> pd.DataFrame:
        """Return the price events known at ``as_of``."""

    def looks(self, *, as_of: object) -> pd.DataFrame:
        """Return the observations of all sources up to ``as_of``."""

    def evidence(self, *, as_of: object) -> pd.DataFrame:
        """Return the evidence of sale up to ``as_of``."""

    def table(self, name: str) -> pd.DataFrame:
        """Return a whole stored table."""


@dataclass(frozen=True)
class Market:
    """What some providers offered at a time, and the record it rests on.

    Attributes
    ----------
    as_of
        Nothing recorded later is in it.
    freshness
        How old a price may be.
    listed_too
        Whether offers that are listed, and not known to be sold, are offered and in panels.
    offers
        Table ``offers`` at prices that are fresh, with ``source`` and ``PLACE_COLUMNS``.
    states
        Table ``offer_states``: every offer of these providers on record, and why it is not offered.
    sources
        Table ``sources``: every source of these providers with its age, the stale ones too.
    events
        Price events of these providers, without errors flagged by then; stale sources included.
    looks
        Observations of the sources of all providers.
    evidence, grid_carbon
        The stored tables of these names.
    """

    as_of: pd.Timestamp
    freshness: Freshness
    listed_too: bool
    offers: pd.DataFrame
    states: pd.DataFrame
    sources: pd.DataFrame
    events: pd.DataFrame
    looks: pd.DataFrame
    evidence: pd.DataFrame
    grid_carbon: pd.DataFrame

    def offers_of(self, gpu_models: Collection[str], terms: Sequence[str] = ()) -> pd.DataFrame:
        """Return the offers of these GPU models, by the hour or for one of ``terms``."""
        wanted = self.offers["gpu_model"].isin(list(gpu_models))
        return self.offers[wanted & self.offers["term"].isin(["", *terms])]

    def states_of(self, gpu_models: Collection[str]) -> pd.DataFrame:
        """Return table ``offer_states`` of these GPU models."""
        return self.states[self.states["gpu_model"].isin(list(gpu_models))]

    def sold(self, events: pd.DataFrame) -> pd.DataFrame:
        """Return those of ``events`` whose offer is known to be sold at ``as_of``.

        All of them where the market is one of what is listed too.
        """
        if self.listed_too:
            return events
        known = self.states.loc[self.states["evidence"].notna(), "offer_id"]
        return events[events["offer_id"].isin(known)]

    def fresh(self, events: pd.DataFrame) -> pd.DataFrame:
        """Return those of ``events`` that are ``sold``, and whose source is not stale."""
        return fresh(self.sold(events), self.sources)

    def panel(
        self, freq: str | pd.Timedelta, *, how: str = "last", with_stale: bool = False
    ) -> Panel:
        """Return the prices of machines with a GPU up to ``as_of``, laid out as by ``to_panel``.

        Of offers that are ``sold`` alone, those that were withdrawn among them.

        Parameters
        ----------
        freq, how
            As ``to_panel`` takes them.
        with_stale
            Whether records that are too old to be offered are in it.
        """
        events = self.sold(self.events) if with_stale else self.fresh(self.events)
        gpus = (events["gpu_count"] > 0).to_numpy()
        return to_panel(events[gpus], self.looks, freq=freq, as_of=self.as_of, how=how)

    def with_stale(self) -> Market:
        """Return the market with the stale offers beside these, those that are expired left out.

        Returns
        -------
        Market
            Its ``offers`` have column ``stale``: true for those that this market lacks.
        """
        wider = _market(
            self.as_of,
            self.events,
            self.looks,
            self.evidence,
            self.grid_carbon,
            providers=list(self.sources["provider"].unique()),
            freshness=self.freshness.with_stale(),
            listed_too=self.listed_too,
        )
        stale = ~wider.offers["offer_id"].isin(self.offers["offer_id"])
        return replace(wider, offers=wider.offers.assign(stale=stale))


@traced("read market")
def read_market(
    record: PriceRecord,
    as_of: pd.Timestamp,
    *,
    providers: Sequence[str] | None,
    stale_after_days: DaysBySource,
    expired_after_days: DaysBySource | None = None,
    gpu_only: bool = True,
    listed_too: bool = False,
) -> Market:
    """Return the market at ``as_of``; parameters and errors as of ``read_markets``."""
    (market,) = read_markets(
        record,
        [as_of],
        providers=providers,
        stale_after_days=stale_after_days,
        expired_after_days=expired_after_days,
        gpu_only=gpu_only,
        listed_too=listed_too,
    )
    return market


def read_markets(
    record: PriceRecord,
    times: Sequence[pd.Timestamp],
    *,
    providers: Sequence[str] | None,
    stale_after_days: DaysBySource,
    expired_after_days: DaysBySource | None = None,
    gpu_only: bool = True,
    listed_too: bool = False,
) -> list[Market]:
    """Return the market at each of ``times``, from what was known then.

    Parameters
    ----------
    record
        A snapshot of the store.
    providers
        Whose offers count; all, if None.
    stale_after_days
        A price that was observed longer ago is not offered; days, or days by source.
    expired_after_days
        One that is older than this is not even a fall-back in a stress test; days, days by source,
        or None for ``fallback_price_age_days`` of the assumptions.
    gpu_only
        Whether machines without a GPU are left out.
    listed_too
        Whether what is listed, and not known to be sold, is offered too.

    Raises
    ------
    ParameterError
        Where nothing is recorded of a provider by the last time, no price is fresh then, nothing
        that is priced is known to be sold, or an age is no number from 0 up.
    """
    freshness = Freshness.of(stale_after_days, expired_after_days)
    grid_carbon = record.table("grid_carbon")
    markets = [
        _market(
            as_of,
            record.events(as_of=as_of, providers=providers, gpu_only=gpu_only),
            record.looks(as_of=as_of),
            record.evidence(as_of=as_of),
            grid_carbon,
            providers=providers,
            freshness=freshness,
            listed_too=listed_too,
        )
        for as_of in times
    ]
    _check_providers(markets[-1], providers, record, gpu_only=gpu_only)
    _check_offers(markets[-1])
    return markets


def _market(
    as_of: pd.Timestamp,
    events: pd.DataFrame,
    looks: pd.DataFrame,
    evidence: pd.DataFrame,
    grid_carbon: pd.DataFrame,
    *,
    providers: Sequence[str] | None,
    freshness: Freshness,
    listed_too: bool,
) -> Market:
    own_looks = looks if providers is None else looks[looks["provider"].isin(list(providers))]
    found = current_offers(
        events, own_looks, evidence, as_of=as_of, freshness=freshness, listed_too=listed_too
    )
    return Market(
        as_of=as_of,
        freshness=freshness,
        listed_too=listed_too,
        offers=with_places(found.offers, grid_carbon),
        states=found.states,
        sources=found.sources,
        events=events,
        looks=looks,
        evidence=evidence,
        grid_carbon=grid_carbon,
    )


def _check_providers(
    market: Market, providers: Sequence[str] | None, record: PriceRecord, *, gpu_only: bool
) -> None:
    """Raise ParameterError where a provider has no record."""
    looked = {*market.looks["provider"], *market.sources["provider"]}
    for name in providers or ():
        if name not in looked:
            everything = record.events(as_of=market.as_of, providers=None, gpu_only=gpu_only)
            recorded = sorted({*looked, *everything["provider"].astype(str)})
            raise ParameterError(
                f"nothing is recorded of provider {name!r} by {_day(market)}"
                f"{did_you_mean(name, recorded)}.",
                f"Use {', '.join(recorded) or 'a later day'}.",
            )


def _day(market: Market) -> str:
    return f"{market.as_of - pd.Timedelta(1, 'ns'):%Y-%m-%d}"


def _check_offers(market: Market) -> None:
    """Raise ParameterError where the market has no offer."""
    day = _day(market)
    if len(market.offers):
        return
    listed = int((market.states["state"] == NOT_KNOWN_SOLD).sum())
    if listed:
        names = ", ".join(sorted(market.states["provider"].astype(str).unique()))
        raise ParameterError(
            f"{listed:,} offers of {names} are listed on {day}, none is known to be sold there.",
            "Ingest evidence of sale (a list of zones, offerings, a catalogue or your quotas: "
            "docs/sources.md), or take what is listed too (listed_too: true, --listed-too).",
        )
    last = "first look is later"
    if len(market.sources):
        last = f"last look is of {market.sources['looked_at'].max():%Y-%m-%d}"
    counts = market.states["state"].value_counts(sort=False)
    found = ", ".join(f"{n:,} {state}" for state, n in counts.items())
    raise ParameterError(
        f"no price is known and fresh on {day}: the {last}{found and f' ({found})'}.",
        "Choose another as_of, or let prices be older (stale_after_days).",
    )
