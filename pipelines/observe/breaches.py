"""Did the rent of plans whose time is over rise by more than their value-at-risk?

Rent alone is judged, on the offers that were planned: that a machine was taken away and bought
again elsewhere stands in no record. ``cloudarb risk backtest`` judges the model on years of prices;
this counts the plans that were really made.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market.panel import to_panel
from cloudarb_lib.store.snapshot import Snapshot, current
from pipelines.alerts.rule import PastRun, ended_runs

FRESH = pd.Timedelta(days=14)
"""A price last seen longer before the end of a plan does not tell what its rent came to."""


@dataclass(frozen=True)
class Outcome:
    """What the rent of a plan came to.

    Parameters
    ----------
    run_id : str
        The run that made it.
    level, var_usd : float
        Value-at-risk as the run stated it: the quantile at ``level`` of the cost increase over
        the expected cost.
    loss_usd : float
        By how much its rent came to more than expected; negative where it was cheaper.
    """

    run_id: str
    level: float
    var_usd: float
    loss_usd: float


def outcomes(store: Path, reports: Path, configuration: str) -> list[Outcome]:
    """Return the outcomes of the plans of a configuration whose time is over, oldest first.

    Of several runs as of the same day the newest counts. A plan is left out where the price of
    one of its offers was not seen in the last 14 days of its time, or not forecast, and where a
    table of its run cannot be read.

    Parameters
    ----------
    store, reports : Path
        Folder of the store, and of the runs.
    configuration : str
        Its name.
    """
    path = current(store)
    if path is None:
        return []
    succeeded = [run for run in ended_runs(reports, configuration) if run.succeeded]
    by_day = {run.manifest["as_of"]: run for run in succeeded}
    found: list[Outcome] = []
    for run in by_day.values():
        ended_at = run.manifest["finished_at"]
        with suppress(DataError):  # the others count all the same
            found += _outcomes(path, run.folder, run.manifest["as_of"], ended_at)
    return found


@lru_cache(maxsize=512)
def _outcomes(snapshot: Path, folder: Path, as_of: str, _finished_at: str) -> tuple[Outcome, ...]:
    """Return the outcomes of a run's plan, one for each level of its VaR."""
    run = PastRun(folder, {})
    risk = run.table("risk")
    plan = run.table("plan")
    if risk.empty or plan.empty:
        return ()
    stated = risk[(risk["measure"] == "var") & (risk["scope"] == "total")]
    figures = (stated[name].tolist() for name in ("level", "horizon_h", "value_usd"))
    begin = parse_as_of(as_of)
    with Snapshot(snapshot) as opened:
        found = []
        for level, horizon_h, var_usd in zip(*figures, strict=True):
            end = begin + pd.Timedelta(hours=horizon_h)
            loss_usd = _loss_usd(opened, plan, run.table("paths"), begin, end)
            if loss_usd is not None:
                found.append(Outcome(folder.name, level, var_usd, loss_usd))
    return tuple(found)


def _loss_usd(
    snapshot: Snapshot,
    plan: pd.DataFrame,
    paths: pd.DataFrame,
    begin: pd.Timestamp,
    end: pd.Timestamp,
) -> float | None:
    """Return by how much the rent of a plan came to more than expected; None if not known.

    The rent of each row goes with the mean price of its offer: what came over what was expected.
    """
    newest = snapshot.newest_observation(None)
    if newest is None or newest < end:
        return None
    is_agreed = plan["offer_id"].map(lambda offer: _part(offer, "term") != "")
    open_to_prices = plan[~is_agreed]  # the price of a commitment does not move
    if open_to_prices.empty:
        return 0.0
    came = _mean_prices(snapshot, open_to_prices["offer_id"], begin, end)
    expected = paths.groupby("offer_id", observed=True)["price_usd_per_hour"].mean()
    ratio = came / expected.reindex(came.index)
    rent_usd = open_to_prices["expected_cost_usd"] - open_to_prices["fees_usd"]
    rise_usd = rent_usd * (open_to_prices["offer_id"].map(ratio) - 1.0)
    return None if rise_usd.isna().any() else float(rise_usd.sum())


def _mean_prices(
    snapshot: Snapshot, offers: pd.Series, begin: pd.Timestamp, end: pd.Timestamp
) -> pd.Series:
    """Return the time-weighted mean price of offers (USD/h), NaN where it was not seen lately."""
    ids = sorted(offers.unique())
    providers = sorted({_part(offer, "provider") for offer in ids})
    events = snapshot.events(as_of=end, providers=providers)
    events = events[events["offer_id"].isin(ids)]
    if events.empty:
        return pd.Series(index=ids, dtype=float)
    looks = snapshot.looks(as_of=end)
    panel = to_panel(events, looks, freq=end - begin, as_of=end, start=begin, how="mean")
    means = pd.Series(panel.price[-1], index=panel.offers.index)
    return means.where(panel.offers["observed_at"] >= end - FRESH).reindex(ids)


def _part(offer_id: str, part: str) -> str:
    return offer_id.split("/")[OFFER_PARTS.index(part)]
