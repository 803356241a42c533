"""Plans and forecasts in FOCUS columns: what is mandatory, what is allowed, and the signs."""

import json

import pandas as pd

from pipelines.exports import focus

MANDATORY = {
    "BillingAccountId",
    "BillingAccountName",
    "Currency",
    "EstimatedMonthlyCostImpact",
    "RecommendationCategory",
    "RecommendationCreated",
    "RecommendationDescription",
    "RecommendationDetails",
    "RecommendationId",
    "RecommendationLastUpdated",
    "RecommendationProviderName",
    "RecommendationStatus",
    "RecommendationSubcategory",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
}
"""Of the draft's Recommendation data set, with the conditional ones that hold here."""
OFFERS = pd.DataFrame(
    {
        "provider": ["gcp"],
        "region": ["us-a"],
        "instance_type": ["h8"],
        "purchase_option": ["on_demand"],
        "price_usd_per_hour": [80.0],
    }
)


def planned(offer_id, cost_usd, workload="train"):
    return {
        "offer_id": offer_id,
        "workload": workload,
        "period": 0,
        "instances": 2.0,
        "hours": 100.0,
        "expected_cost_usd": cost_usd,
    }


def recommended(*rows):
    plan = pd.DataFrame(rows)
    return focus.recommendations(plan, OFFERS, run_id="r", made_at="2026-05-01T00:00:00Z")


def test_the_mandatory_columns_are_there_and_others_are_ours():
    table = recommended(planned("gcp/us-a//h8/spot/", 4000.0))
    assert set(table.columns) >= MANDATORY
    others = set(table.columns) - MANDATORY - {"ServiceSubcategory"}
    assert all(name.startswith("x_") for name in others)
    details = json.loads(table["RecommendationDetails"][0])
    assert all(key.startswith("x_") or key == "InstanceType" for key in details)


def test_a_saving_is_negative_and_by_the_month():
    (row,) = recommended(planned("gcp/us-a//h8/spot/", 4000.0)).to_dict("records")
    assert row["RecommendationCategory"] == "Cost"
    # 2 machines at 80 USD/h for 100 h are 16,000 USD; a month has 730 hours.
    assert row["EstimatedMonthlyCostImpact"] == -(16_000 - 4000) / 100 * 730


def test_without_a_price_on_demand_the_impact_is_unknown_and_the_category_other():
    (row,) = recommended(planned("gcp/us-b//h8/spot/", 4000.0)).to_dict("records")
    assert row["EstimatedMonthlyCostImpact"] is None
    assert row["RecommendationCategory"] == "Other"
    assert row["RecommendationSubcategory"] == "Other (Other)"


def test_a_commitment_is_a_purchase_and_what_stands_idle_no_advice():
    table = recommended(
        planned("gcp/us-a//h8/reserved/1y", 9000.0),
        planned("gcp/us-a//h8/reserved/3y", 9000.0, workload="idle commitment"),
    )
    assert table["RecommendationSubcategory"].tolist()[0] == "Commitment Purchase"
    assert table["RecommendationId"].is_unique


def test_a_forecast_has_a_row_for_each_step_with_its_quantiles():
    times = pd.to_datetime(["2026-05-08", "2026-05-15"], utc=True)
    forecast = pd.DataFrame(
        [
            {
                "offer_id": offer,
                "origin_utc": pd.Timestamp("2026-05-01", tz="UTC"),
                "target_utc": time,
                "quantile": quantile,
                "price_usd_per_hour": usd,
            }
            for offer in ("gcp/us-a//h8/spot/", "aws/us-b/us-b1/m/on_demand/")
            for time in times
            for quantile, usd in ((0.025, 1.0), (0.5, 2.0), (0.9, 3.0))
        ]
    )
    table = focus.forecasts(forecast)
    assert len(table) == 4
    aws = table[table["ServiceProviderName"] == "aws"]
    assert aws["ChargePeriodStart"].tolist() == ["2026-05-01T00:00:00Z", "2026-05-08T00:00:00Z"]
    assert aws["ChargePeriodEnd"].tolist() == ["2026-05-08T00:00:00Z", "2026-05-15T00:00:00Z"]
    assert aws["AvailabilityZone"].unique().tolist() == ["us-b1"]
    assert set(table["PricingCategory"]) == {"Standard", "Dynamic"}
    assert table["ContractedUnitPrice"].eq(2.0).all()
    assert table["x_PriceP02.5"].eq(1.0).all()
    assert table["x_PriceP90"].eq(3.0).all()
    ours = [name for name in table.columns if "Cost" in name]
    assert ours == [], "nothing is charged"
