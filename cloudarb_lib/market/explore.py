"""What can be rented, what it costs, how prices move: plain functions on events, offers, panels.

Percentages are in percent (5.0 is 5 %), prices per GPU in USD per GPU-hour. "Option" is the
purchase option in words: spot, on demand, 1 year, 3 years.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import STATE_NOT_LOOKED, Panel
from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market import history

STEP_PCT = 0.5  # a change counts as a step from here up; below it is jitter of a component
REGIME_PCT = 20.0  # from here up it is a new level: reviews of GCP spot prices stop at 15 %
SUSPECT_PCT, SUSPECT_DAYS = 50.0, 3.0  # so large and so fresh, it may yet prove a glitch
ROUND_PCT, ROUND_TOLERANCE_PCT = (5.0, 10.0, 15.0), 0.2  # sizes that reviews like, and how near
_WORDS = {"on_demand": "on demand", "1y": "1 year", "3y": "3 years"}
_DAY = pd.Timedelta(days=1)
_SHARES = {"low_pct": 0.05, "median_pct": 0.5, "high_pct": 0.95}
_MOVE = [
    "offer_id",
    "provider",
    "region",
    "gpu_model",
    "gpu_count",
    "option",
    "changed_at",
    "before",
    "after",
]


def option(frame: pd.DataFrame) -> pd.Series:
    """Return the purchase option and term of each row in words."""
    term = frame["term"].astype(object)
    chosen = frame["purchase_option"].astype(object).where(term == "", term)
    return chosen.replace(_WORDS).rename("option")


def site(frame: pd.DataFrame) -> pd.Series:
    """Return provider and region of each row; the provider alone where no region is named."""
    provider, region = frame["provider"].astype(object), frame["region"].astype(object)
    return (provider + " " + region).where(region != "unstated", provider).rename("site")


def landscape(offers: pd.DataFrame) -> pd.DataFrame:
    """Return offers, sites, cheapest_site, and cheapest, median and dearest in USD per GPU-hour.

    One row per gpu_model and option of table ``offers``; rows without a GPU do not count.
    """
    gpus = offers[offers["price_usd_per_gpu_hour"].notna()]
    gpus = gpus.assign(option=option(gpus), site=site(gpus), price=gpus["price_usd_per_gpu_hour"])
    groups = gpus.sort_values(["price", "offer_id"]).groupby(["gpu_model", "option"], sort=True)
    return groups.agg(
        offers=("price", "size"),
        sites=("site", "nunique"),
        cheapest_site=("site", "first"),
        cheapest=("price", "min"),
        median=("price", "median"),
        dearest=("price", "max"),
    ).reset_index()


def by_site(offers: pd.DataFrame, option_name: str) -> pd.DataFrame:
    """Return the cheapest USD per GPU-hour on one option, sites x GPU models, NaN: not sold."""
    gpus = offers[offers["price_usd_per_gpu_hour"].notna() & (option(offers) == option_name)]
    keys = [site(gpus), gpus["gpu_model"].astype(object)]
    return gpus["price_usd_per_gpu_hour"].groupby(keys).min().unstack()


def discounts(offers: pd.DataFrame) -> pd.DataFrame:
    """Return how far offers lie below the same machine on demand in the same place, in percent.

    One row per gpu_model and option: offers, low_pct, median_pct, high_pct (5, 50 and 95 %
    quantiles; negative where dearer). Offers not also sold on demand are left out.
    """
    same = ["provider", "region", "zone", "instance_type"]
    listed = offers["purchase_option"] == "on_demand"
    pairs = offers[~listed].merge(offers.loc[listed, [*same, "price_usd_per_hour"]], on=same)
    below = 100 * (1 - pairs["price_usd_per_hour_x"] / pairs["price_usd_per_hour_y"])
    groups = below.groupby([pairs["gpu_model"].astype(object), option(pairs)])
    spans = {name: groups.quantile(share) for name, share in _SHARES.items()}
    return pd.DataFrame({"offers": groups.size(), **spans}).reset_index()


def moves(events: pd.DataFrame, *, as_of: object) -> pd.DataFrame:
    """Return each change of price known at ``as_of``, one row, by offer and time.

    ``events`` as ``Snapshot.events`` returns them. A withdrawn offer that returns at its old
    price has not moved. Columns: offer_id, provider, region, gpu_model, gpu_count, option,
    changed_at, before and after (USD per hour of the instance), change_pct, kind (step or
    jitter), and for steps gap_days since the offer's step before and same_sign as it (1.0 or
    0.0); both NaN at its first.
    """
    known = _in_force(events, parse_as_of(as_of)).dropna(subset="after")
    known["before"] = known.groupby("offer_id", observed=True)["after"].shift()
    out = known.loc[known["before"].notna() & (known["before"] != known["after"]), _MOVE]
    out["change_pct"] = 100 * (out["after"] / out["before"] - 1)
    out["offer_id"] = out["offer_id"].cat.remove_unused_categories()
    steps = out["change_pct"].abs() >= STEP_PCT
    out["kind"] = np.where(steps, "step", "jitter")
    by_offer = out[steps].groupby("offer_id", observed=True)
    out["gap_days"] = by_offer["changed_at"].diff().dt.total_seconds() / 86400
    both = by_offer["change_pct"].shift() * out["change_pct"]
    out["same_sign"] = both.gt(0).astype(float).where(both.notna())
    return out.reset_index(drop=True)


def _in_force(events: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """Return the events in effect and seen by ``end``, sorted by offer and time, with ``option``, ``changed_at``
    and the price ``after``."""
    known = events[(events["effective_at"] <= end) & (events["observed_at"] <= end)]
    known = known.iloc[np.lexsort((known["effective_at"], known["offer_id"].cat.codes))]
    names = {"effective_at": "changed_at", "price_usd_per_hour": "after"}
    return known.assign(option=option(known)).rename(columns=names)


def step_table(moved: pd.DataFrame) -> pd.DataFrame:
    """Return how the steps of ``moves`` behave, one row per year and option.

    Columns: option, year, offers, steps, gap_days (median from an offer's step to its next),
    size_pct (median), round_pct (share of steps within 0.2 points of 5, 10 or 15 %), down_pct
    (share downwards), same_sign_pct (share that continue the step before).
    """
    steps = moved[moved["kind"] == "step"]
    size = steps["change_pct"].abs()
    near = np.abs(size.to_numpy()[:, None] - np.array(ROUND_PCT)).min(axis=1)
    steps = steps.assign(
        year=steps["changed_at"].dt.year,
        size=size,
        down=100.0 * (steps["change_pct"] < 0),
        round=100.0 * (near <= ROUND_TOLERANCE_PCT),
        same=100.0 * steps["same_sign"],
    )
    groups = steps.groupby(["option", "year"], sort=True)
    return groups.agg(
        offers=("offer_id", "nunique"),
        steps=("size", "size"),
        gap_days=("gap_days", "median"),
        size_pct=("size", "median"),
        round_pct=("round", "mean"),
        down_pct=("down", "mean"),
        same_sign_pct=("same", "mean"),
    ).reset_index()


def _per_gpu(gpus: Panel) -> pd.DataFrame:
    """Return USD per GPU-hour, times x offers, these named by gpu_model, option and site."""
    about = [gpus.offers["gpu_model"].astype(object), option(gpus.offers), site(gpus.offers)]
    prices = gpus.frame().div(gpus.offers["gpu_count"].astype(float))
    return prices.set_axis(pd.MultiIndex.from_arrays(about), axis=1)


def _gpus(panel: Panel) -> Panel:
    return panel.select((panel.offers["gpu_count"] > 0).to_numpy())


def price_history(panel: Panel, option_name: str) -> pd.DataFrame:
    """Return the median price of each GPU model on one option, USD per GPU-hour, times x models.

    The median is over the offers on sale at each time, so new regions can shift it.
    """
    prices = _per_gpu(_gpus(panel)).T
    chosen = prices[prices.index.get_level_values("option") == option_name]
    return chosen.groupby(level="gpu_model").median().T.dropna(how="all")


def volatility(panel: Panel, *, horizon_steps: int, window: str = "364D") -> pd.DataFrame:
    """Return how far prices moved over the horizon, by GPU model and option.

    Prices are compared as they stood, ``horizon_steps`` cells apart (overlapping spans that end
    in the last ``window``, in a cell somebody looked at); nothing is scaled by the square root of
    time, so between two reviews of an administered price there is no volatility. Columns: spans;
    calm_step_pct, calm_pct (share of moves under 0.5 % over a step, over the horizon); rms_pct
    (root mean square of the log change); low_pct, median_pct, high_pct (5, 50, 95 % quantiles).
    """
    if not 1 <= horizon_steps < max(len(panel.times), 2):
        what = f"horizon_steps {horizon_steps} does not fit a panel of {len(panel.times)} steps."
        raise ParameterError(what, "Take a longer panel or a shorter horizon.")
    gpus = _gpus(panel)
    logs, old = (
        _per_gpu(gpus).apply(np.log),
        gpus.times <= gpus.times[-1:].max() - pd.Timedelta(window),
    )
    unseen = (gpus.state == STATE_NOT_LOOKED) | old[:, None]
    step, span = (logs.diff(k).mask(unseen).T.stack() for k in (1, horizon_steps))
    by, calm = ["gpu_model", "option"], np.log1p(STEP_PCT / 100)
    columns = {
        "spans": span.groupby(level=by).size(),
        "calm_step_pct": 100 * (step.abs() < calm).groupby(level=by).mean(),
        "calm_pct": 100 * (span.abs() < calm).groupby(level=by).mean(),
        "rms_pct": 100 * np.sqrt((span**2).groupby(level=by).mean()),
    }
    columns |= {
        name: 100 * np.expm1(span.groupby(level=by).quantile(q)) for name, q in _SHARES.items()
    }
    return pd.DataFrame(columns).dropna(subset="spans").reset_index()


def spreads(panel: Panel, *, horizon_steps: int) -> pd.DataFrame:
    """Return the spread between equivalent offers at the end of the panel, and how it lasts.

    Equivalent are offers of one GPU model and option; a site (provider and region) stands for
    its cheapest. One row where two or more sites sell: cheapest, next and median over sites
    (USD per GPU-hour), saving_next_pct and saving_median_pct (the cheapest below each);
    held_days for which the cheapest site has been within a step (0.5 %) of the lowest price;
    kept_pct, how much of the saving against the median was left on average ``horizon_steps``
    later to who had gone to the cheapest (NaN: no record).
    """
    prices = _per_gpu(_gpus(panel))
    by_site = prices.T.groupby(level=["gpu_model", "option", "site"]).min()
    rows: list[dict[str, object]] = []
    for (model, name), found in by_site.groupby(level=["gpu_model", "option"]):
        sites = found.droplevel(["gpu_model", "option"]).T
        now = sites.iloc[-1].dropna().sort_values(kind="stable")
        if len(now) < 2:
            continue
        cheapest, second, middle = now.iloc[0], now.iloc[1], float(now.median())
        near = sites[now.index[0]] <= sites.min(axis=1) * (1 + STEP_PCT / 100)
        rows.append(
            {
                "gpu_model": model,
                "option": name,
                "sites": len(now),
                "cheapest_site": now.index[0],
                "cheapest": cheapest,
                "next_site": now.index[1],
                "next": second,
                "median": middle,
                "saving_next_pct": 100 * (1 - cheapest / second),
                "saving_median_pct": 100 * (1 - cheapest / middle),
                "held_days": float(np.cumprod(near[::-1]).sum()) * (panel.step / _DAY),
                "kept_pct": _kept(sites.to_numpy(), horizon_steps),
            }
        )
    return pd.DataFrame(rows)


def _kept(prices: np.ndarray, horizon_steps: int) -> float:
    """Return the saving left after the horizon as a share (%) of the saving at the choice."""
    at = np.flatnonzero((~np.isnan(prices[:-horizon_steps])).sum(axis=1) >= 2)
    chosen = np.nanargmin(prices[at], axis=1)
    there = ~np.isnan(prices[at + horizon_steps, chosen])
    at, chosen = at[there], chosen[there]
    then, later = (
        np.nanmedian(prices[at + k], axis=1) - prices[at + k, chosen] for k in (0, horizon_steps)
    )
    return float(100 * later.sum() / then.sum()) if then.sum() > 0 else np.nan


def availability(
    events: pd.DataFrame, looks: pd.DataFrame, *, as_of: object, freq: str = "6h"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return how often each marketplace offer was on sale, and the share of time (0 to 1) per cell.

    Marketplaces are the sources that tell how many offers were on sale. The record runs from
    the first to the last look at them; what was not listed at a look was not on sale then. The
    table: provider, offer (machine name), gpu_model, on_sale_pct, offers_on_sale (mean count
    while on sale); the share has a column per row of it. Both are empty where no marketplace is
    on record at ``as_of``.
    """
    end = parse_as_of(as_of)
    told = events.loc[
        events["offer_count"].notna() & (events["observed_at"] <= end), "source"
    ].unique()
    seen = looks[looks["source"].isin(told) & (looks["looked_at"] <= end)]
    if seen.empty:
        return pd.DataFrame(columns=["provider", "offer", "on_sale_pct"]), pd.DataFrame()
    # The count of offers takes the place of the price, so that its mean is weighted by time.
    market = events[events["source"].isin(told)]
    market = market.assign(price_usd_per_hour=market["offer_count"].astype(float))
    first, last = seen["looked_at"].min(), seen["looked_at"].max()
    cells = history.to_panel(market, seen, freq=freq, as_of=last, start=first, how="mean")
    share = cells.frame("available").fillna(0.0)
    table = cells.offers[["provider", "instance_type", "gpu_model"]].rename(
        columns={"instance_type": "offer"}
    )
    table["on_sale_pct"] = 100 * share.sum() * (cells.step / (last - first))
    table["offers_on_sale"] = (cells.frame() * share).sum() / share.sum()
    table = table.sort_values("on_sale_pct", ascending=False, kind="stable")
    share = share[cells.times - cells.step >= first]  # the first cell may begin before the record
    return table.reset_index(drop=True), share[table.index]


def changes(events: pd.DataFrame, *, as_of: object, window: object = "7D") -> pd.DataFrame:
    """Return what changed in the ``window`` before ``as_of``, one row per offer, largest first.

    Compares the price in force when the window opens with the one at ``as_of``. Pass events
    with ``include_flagged=True``, so that glitches are named. Columns: offer_id, provider,
    region, gpu_model, gpu_count, option, before and after (USD per hour of the instance, NaN
    where not on sale), changed_at, change_usd_per_gpu_hour (per instance-hour without a GPU),
    change_pct (both NaN for new and withdrawn), and kind: step; jitter (under 0.5 %); regime
    (20 % and more); glitch (flagged as an error of the list); suspect (an administered jump of
    over 50 % in the last 3 days, which may yet revert); new; withdrawn.
    """
    end = parse_as_of(as_of)
    known = _in_force(events, end)
    opened = known["changed_at"] <= end - pd.Timedelta(window)  # type: ignore[operator,arg-type]
    good = known[opened & (known["quality"] == "ok")].drop_duplicates("offer_id", keep="last")
    fresh = known[~opened]
    out = fresh.drop_duplicates("offer_id", keep="last")
    out = out.assign(before=out["offer_id"].astype(object).map(good.set_index("offer_id")["after"]))
    gpus = out["gpu_count"].astype(float)
    out["change_usd_per_gpu_hour"] = (out["after"] - out["before"]) / gpus.where(gpus > 0, 1.0)
    out["change_pct"] = 100 * (out["after"] / out["before"] - 1)
    size = out["change_pct"].abs()
    flagged = out["offer_id"].isin(fresh.loc[fresh["quality"] != "ok", "offer_id"])
    recent = (out["changed_at"] > end - SUSPECT_DAYS * _DAY) & (out["price_kind"] == "administered")
    out["kind"] = np.select(
        [
            flagged,
            out["before"].isna(),
            out["after"].isna(),
            recent & (size > SUSPECT_PCT),
            size >= REGIME_PCT,
            size >= STEP_PCT,
        ],
        ["glitch", "new", "withdrawn", "suspect", "regime", "step"],
        "jitter",
    )
    nothing = (out["before"] == out["after"]) | (out["before"].isna() & out["after"].isna())
    out = out.loc[~nothing | flagged, [*_MOVE, "change_usd_per_gpu_hour", "change_pct", "kind"]]
    rank = out["change_usd_per_gpu_hour"].abs().fillna(-1.0)
    return out.iloc[np.lexsort((out["offer_id"].astype(str), -rank))].reset_index(drop=True)


def changes_by_site(changed: pd.DataFrame) -> pd.DataFrame:
    """Return ``changes`` of GPUs with the sizes of one machine put together, largest $ effect first.

    One row per gpu_model, option, site and kind: offers (how many moved), and medians of before,
    after and change (USD per GPU-hour) and change_pct.
    """
    gpus = changed[changed["gpu_count"].astype(float) > 0]
    per_gpu = gpus[["before", "after"]].div(gpus["gpu_count"].astype(float), axis=0)
    gpus = gpus.assign(**per_gpu, site=site(gpus), change=gpus["change_usd_per_gpu_hour"])
    groups = gpus.groupby(["gpu_model", "option", "site", "kind"], sort=True)
    out = groups[["before", "after", "change", "change_pct"]].median()
    out.insert(0, "offers", groups.size())
    order = np.argsort(-out["change"].abs().fillna(-1.0).to_numpy(), kind="stable")
    return out.iloc[order].reset_index()
