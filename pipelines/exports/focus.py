"""Plans and forecasts in the columns of FOCUS; columns of our own begin with x_.

A plan is a Recommendation data set, as drafted for FOCUS 1.5. Forecast prices stand in the columns
of Cost and Usage that name a price, for FOCUS has no data set of forecasts yet: nothing is charged,
so columns of cost are left out.

References
----------
https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec/pull/2444
https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec/issues/1029
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from cloudarb_lib.allocate import is_idle
from cloudarb_lib.base.digests import digest_values
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.base.units import HOURS_PER_YEAR

HOURS_PER_MONTH = HOURS_PER_YEAR / 12
PRICING_CATEGORIES = {"on_demand": "Standard", "spot": "Dynamic", "reserved": "Committed"}
"""FOCUS' PricingCategory of each purchase option."""
_MEDIAN = 0.5


def recommendations(
    plan: pd.DataFrame, offers: pd.DataFrame, *, run_id: str, made_at: str
) -> pd.DataFrame:
    """Return a plan as FOCUS' Recommendation data set.

    The impact of a row is what it costs above renting the same machines in the same region on
    demand for the same hours: where no such price is on offer it is unknown, and the row's category
    is Other.

    Parameters
    ----------
    plan, offers : DataFrame
        Tables ``plan`` and ``offers`` of a run.
    run_id, made_at : str
        The run, and when it ended (ISO 8601).

    Returns
    -------
    DataFrame
        A row for each row of the plan that work uses; ``EstimatedMonthlyCostImpact`` in USD a
        month, negative where the plan saves.
    """
    on_demand = offers[offers["purchase_option"] == "on_demand"]
    machine = ["provider", "region", "instance_type"]
    usd_per_hour = on_demand.groupby(machine)["price_usd_per_hour"].min()
    rows = [
        _recommendation(row, usd_per_hour, run_id=run_id, made_at=made_at)
        for row in plan[~is_idle(plan)].to_dict("records")
    ]
    return pd.DataFrame(rows)


def _recommendation(
    row: dict[Any, Any], usd_per_hour: pd.Series, *, run_id: str, made_at: str
) -> dict[str, object]:
    parts = dict(zip(OFFER_PARTS, str(row["offer_id"]).split("/"), strict=True))
    machine = (parts["provider"], parts["region"], parts["instance_type"])
    machine_hours = row["instances"] * row["hours"]
    impact = None
    if machine in usd_per_hour.index:
        saved_usd = usd_per_hour[machine] * machine_hours - row["expected_cost_usd"]
        impact = round(-saved_usd / row["hours"] * HOURS_PER_MONTH, 2)
    category = "Cost" if impact is not None else "Other"
    is_commitment = parts["purchase_option"] == "reserved" and impact is not None
    subcategory = "Commitment Purchase" if is_commitment else f"Other ({category})"
    named = f"{row['instances']:g} {parts['instance_type']} ({parts['purchase_option']})"
    key = (run_id, row["workload"], str(row["period"]), row["offer_id"])
    return {
        "BillingAccountId": None,
        "BillingAccountName": None,
        "Currency": "USD",
        "EstimatedMonthlyCostImpact": impact,
        "RecommendationCategory": category,
        "RecommendationCreated": made_at,
        "RecommendationDescription": f"Rent {named} in {parts['region']} for {row['workload']}",
        "RecommendationDetails": _details(row, parts),
        "RecommendationId": digest_values(*key),
        "RecommendationLastUpdated": made_at,
        "RecommendationProviderName": "CloudArb",
        "RecommendationStatus": "Open",
        "RecommendationSubcategory": subcategory,
        "RegionId": parts["region"],
        "RegionName": None,
        "ResourceId": None,
        "ResourceName": None,
        "ResourceType": "Virtual Machine",
        "ServiceCategory": "Compute",
        "ServiceName": None,
        "ServiceProviderName": parts["provider"],
        "ServiceSubcategory": "Virtual Machines",
        "x_Run": run_id,
        "x_Workload": row["workload"],
        "x_Period": row["period"],
        "x_OfferId": row["offer_id"],
    }


def _details(row: dict[Any, Any], parts: dict[str, str]) -> str:
    """Return what else is known of a recommendation, as JSON."""
    details = {
        "InstanceType": parts["instance_type"],
        "x_PricingCategory": PRICING_CATEGORIES[parts["purchase_option"]],
        "x_Term": parts["term"],
        "x_AvailabilityZone": parts["zone"],
        "x_Instances": row["instances"],
        "x_HoursEach": row["hours"],
        "x_ExpectedCost": round(row["expected_cost_usd"], 2),
    }
    return json.dumps(details)


def forecasts(forecast: pd.DataFrame) -> pd.DataFrame:
    """Return forecast prices in the columns of FOCUS.

    Parameters
    ----------
    forecast : DataFrame
        Table ``forecast`` of a run.

    Returns
    -------
    DataFrame
        A row for each offer and time forecast. ``ContractedUnitPrice`` is the median, in USD per
        hour of the whole machine; ``x_PriceP05`` and so on are the other quantiles.
    """
    rows = forecast.pivot_table(
        index=["offer_id", "origin_utc", "target_utc"],
        columns="quantile",
        values="price_usd_per_hour",
        observed=True,
    )
    quantiles = rows.rename(columns=lambda q: f"x_PriceP{100 * q:04.1f}".replace(".0", ""))
    ids = rows.index.get_level_values("offer_id").astype(str)
    parts = pd.DataFrame([offer.split("/") for offer in ids], columns=list(OFFER_PARTS))
    starts = rows.reset_index().groupby("offer_id", observed=True)["target_utc"].shift()
    origins = rows.index.get_level_values("origin_utc").to_series(index=starts.index)
    time = "%Y-%m-%dT%H:%M:%SZ"
    targets = rows.index.get_level_values("target_utc").to_series().dt.strftime(time)
    focus = {
        "ServiceProviderName": parts["provider"],
        "RegionId": parts["region"],
        "AvailabilityZone": parts["zone"].replace("", None),
        "ServiceCategory": "Compute",
        "ServiceSubcategory": "Virtual Machines",
        "SkuPriceDetails": parts["instance_type"].map(lambda m: json.dumps({"InstanceType": m})),
        "ChargeCategory": "Usage",
        "PricingCategory": parts["purchase_option"].map(PRICING_CATEGORIES),
        "PricingUnit": "Hours",
        "BillingCurrency": "USD",
        "ChargePeriodStart": starts.fillna(origins).dt.strftime(time),
        "ChargePeriodEnd": targets.to_numpy(),
        "ContractedUnitPrice": rows[_MEDIAN].to_numpy(),
        "x_ForecastOrigin": origins.dt.strftime(time),
        "x_Term": parts["term"].replace("", None),
        "x_OfferId": ids,
    }
    return pd.concat([pd.DataFrame(focus), quantiles.reset_index(drop=True)], axis=1)
