"""What changed in the last days, told by kind: from jitter to a new level, errors named."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market.explore.moves import MOVE_COLUMNS, events_known
from cloudarb_lib.market.explore.words import STEP_PCT, site_name

REGIME_PCT = 20.0
"""From here up it is a new level: repricing events of GCP spot stop at 15 %."""
SUSPECT_PCT = 50.0
"""So large, and so fresh, a change of a list price may yet prove a glitch."""
SUSPECT_DAYS = 3.0


def price_changes(events: pd.DataFrame, *, as_of: object, window: object = "7D") -> pd.DataFrame:
    """Return what changed in the ``window`` before ``as_of``, largest first.

    Compares the price in force when the window opens with the one at ``as_of``.

    Parameters
    ----------
    events
        Price events, read with ``include_flagged=True`` so that glitches are named.

    Returns
    -------
    pd.DataFrame
        A row per offer: offer_id, provider, region, gpu_model, gpu_count, option, before and
        after (USD per hour of the instance, NaN where not on sale), changed_at,
        change_usd_per_gpu_hour (per instance-hour without a GPU), change_pct (both NaN for new
        and withdrawn), and kind: step; jitter (under 0.5 %); regime (20 % and more); glitch
        (flagged as an error of the list); in_doubt (its newest row was held back); suspect (an
        administered jump of over 50 % in the last 3 days, which may yet revert); new; withdrawn.
    """
    end = parse_as_of(as_of)
    known = events_known(events, end)
    opened = known["changed_at"] <= end - pd.Timedelta(window)  # type: ignore[arg-type]
    trusted = known[opened & (known["quality"] == "ok")]
    in_force = trusted.drop_duplicates("offer_id", keep="last").set_index("offer_id")["after"]
    within = known[~opened]
    changed = within.drop_duplicates("offer_id", keep="last")
    changed = changed.assign(before=changed["offer_id"].astype(object).map(in_force))
    gpus = changed["gpu_count"].astype(float)
    difference = changed["after"] - changed["before"]
    changed["change_usd_per_gpu_hour"] = difference / gpus.where(gpus > 0, 1.0)
    changed["change_pct"] = 100 * (changed["after"] / changed["before"] - 1)
    flagged = changed["offer_id"].isin(within.loc[within["quality"] != "ok", "offer_id"])
    changed["kind"] = _kinds(changed, flagged, end)
    never_sold = changed["before"].isna() & changed["after"].isna()
    as_before = (changed["before"] == changed["after"]) | never_sold
    columns = [*MOVE_COLUMNS, "change_usd_per_gpu_hour", "change_pct", "kind"]
    shown = changed.loc[~as_before | flagged, columns]
    size = shown["change_usd_per_gpu_hour"].abs().fillna(-1.0)
    return shown.iloc[np.lexsort((shown["offer_id"].astype(str), -size))].reset_index(drop=True)


def _kinds(changed: pd.DataFrame, flagged: pd.Series, end: pd.Timestamp) -> np.ndarray:
    """Return the kind of each change; the first that holds counts."""
    size = changed["change_pct"].abs()
    recent = changed["changed_at"] > end - SUSPECT_DAYS * pd.Timedelta(days=1)
    administered = changed["price_kind"] == "administered"
    kinds = {
        "in_doubt": changed["after"].isna() & (changed["quality"] != "ok"),
        "glitch": flagged,
        "new": changed["before"].isna(),
        "withdrawn": changed["after"].isna(),
        "suspect": recent & administered & (size > SUSPECT_PCT),
        "regime": size >= REGIME_PCT,
        "step": size >= STEP_PCT,
    }
    return np.select(list(kinds.values()), list(kinds), "jitter")


def price_changes_by_site(changed: pd.DataFrame) -> pd.DataFrame:
    """Return ``price_changes`` of GPUs with the sizes of one machine put together.

    Returns
    -------
    pd.DataFrame
        A row per gpu_model, option, site and kind, largest effect in dollars first: offers (how
        many moved), and medians of before, after and change (USD per GPU-hour) and change_pct.
    """
    gpus = changed[changed["gpu_count"].astype(float) > 0]
    per_gpu = gpus[["before", "after"]].div(gpus["gpu_count"].astype(float), axis=0)
    gpus = gpus.assign(**per_gpu, site=site_name(gpus), change=gpus["change_usd_per_gpu_hour"])
    groups = gpus.groupby(["gpu_model", "option", "site", "kind"], sort=True)
    medians = groups[["before", "after", "change", "change_pct"]].median()
    medians.insert(0, "offers", groups.size())
    order = np.argsort(-medians["change"].abs().fillna(-1.0).to_numpy(), kind="stable")
    return medians.iloc[order].reset_index()
