"""Each kind of rule fires, and does not where it should not."""

from pathlib import Path

import pandas as pd
import pytest

from pipelines.alerts.kinds.forecasts import Drift
from pipelines.alerts.kinds.plans import BetterPlan, PlanChange
from pipelines.alerts.kinds.prices import Freshness, PriceChange, StoreUnreadable
from pipelines.alerts.kinds.risks import OverBudget, ValueAtRisk
from pipelines.alerts.kinds.runs import NoSuccess
from pipelines.alerts.rule import watched_runs
from pipelines.report.runs import run_before
from pipelines.serve import testing
from pipelines.testing import past_run

HERE = {"gcp/us-a//h8/spot/": 1.0}
NOW = pd.Timestamp("2026-01-20T00:00Z")


def plan(**machines: float) -> pd.DataFrame:
    return pd.DataFrame(
        {"offer_id": list(machines), "workload": "w", "instances": machines.values(), "hours": 10.0}
    )


def offers(**prices: float) -> pd.DataFrame:
    return pd.DataFrame({"offer_id": list(prices), "price_usd_per_hour": prices.values()})


def risk(measure: str, value: float) -> pd.DataFrame:
    return pd.DataFrame({"measure": [measure], "level": 0.95, "value_usd": value, "scope": "total"})


def seen_in(reports: Path, configuration: str = "weekly", now: pd.Timestamp = NOW):
    return watched_runs(reports, configuration, now=now, store=reports / "store")


def watched(reports: Path, newest: dict, previous: dict | None = None):
    if previous is not None:
        past_run(reports, "weekly-1", "2026-01-07T00:00:00+00:00", previous)
    past_run(reports, "weekly-2", "2026-01-14T00:00:00+00:00", newest)
    past_run(reports, "daily-1", "2026-01-19T00:00:00+00:00", {})  # of another configuration
    found = seen_in(reports)
    assert found is not None
    assert found.newest.run_id == "weekly-2"
    return found


@pytest.mark.parametrize(
    ("rule", "newest", "previous", "texts"),
    [
        (
            ValueAtRisk(over_usd=10.0),
            {"risk": risk("var", 11.0)},
            None,
            ["VaR at 95% is $11.00, the limit $10.00."],
        ),
        (ValueAtRisk(over_usd=11.0), {"risk": risk("var", 11.0)}, None, []),
        (ValueAtRisk(over_usd=1.0, level=0.99), {"risk": risk("var", 11.0)}, None, []),
        (ValueAtRisk(over_usd=1.0), {}, None, []),
        (OverBudget(chance=0.1), {"risk": risk("probability_over_budget", 0.2)}, None, ["20.0%"]),
        (OverBudget(chance=0.2), {"risk": risk("probability_over_budget", 0.2)}, None, []),
        (PlanChange(machines=0.0), {"plan": plan(a=2.0)}, {"plan": plan(a=2.0)}, []),
        (
            PlanChange(machines=1.0),
            {"plan": plan(a=1.0, b=2.0)},
            {"plan": plan(a=3.0)},
            ["takes up 2 machines anew: 2 x b"],
        ),
        (
            PlanChange(machines=0.0),
            {"plan": plan(**HERE)},
            {"plan": plan(a=3.0)},
            ["takes up 1 machine anew: 1 x h8 in us-a spot (GCP)."],
        ),
        (PlanChange(machines=2.0), {"plan": plan(a=1.0, b=2.0)}, {"plan": plan(a=3.0)}, []),
        (PlanChange(machines=0.0), {"plan": plan(a=1.0)}, None, []),
        (
            BetterPlan(saves_share=0.4),
            {"plan": plan(b=1.0), "offers": offers(a=2.0, b=1.0)},
            {"plan": plan(a=1.0)},
            ["50.0% cheaper than the one before: $10.00 against $20.00 of rent"],
        ),
        (
            BetterPlan(saves_share=0.6),
            {"plan": plan(b=1.0), "offers": offers(a=2.0, b=1.0)},
            {"plan": plan(a=1.0)},
            [],
        ),
        (
            BetterPlan(saves_share=0.4),
            {"plan": plan(b=1.0), "offers": offers(b=1.0)},
            {"plan": plan(a=1.0)},
            [],
        ),
        (
            PriceChange(share=0.1),
            {"offers": offers(a=1.2, c=9.0)},
            {"offers": offers(a=1.0, b=1.0, c=1.0), "plan": plan(a=1.0, b=1.0)},
            [r"a went from 1 to 1.2 USD/h (+20.0%)", "b, which the last plan rents, is gone"],
        ),
        (
            PriceChange(share=0.1),
            {"offers": offers(**{"gcp/us-a//h8/spot/": 1.2})},
            {"offers": offers(**HERE), "plan": plan(**HERE)},
            ["h8 in us-a spot (GCP) went from 1 to 1.2 USD/h (+20.0%)"],
        ),
        (
            PriceChange(share=0.3),
            {"offers": offers(a=1.2)},
            {"offers": offers(a=1.0), "plan": plan(a=1.0, held=1.0)},
            [],
        ),
    ],
)
def test_a_rule_on_plans_and_risk(tmp_path, rule, newest, previous, texts):
    found = rule.findings(watched(tmp_path, newest, previous))
    assert len(found) == len(texts)
    for finding, text in zip(found, texts, strict=True):
        assert text in finding.text


def test_a_run_of_a_set_is_compared_with_the_last_one_of_its_own_values(tmp_path):
    past_run(tmp_path, "w-1", "2026-01-01T00:00Z", {"plan": plan(a=1.0)}, title="seed 1")
    past_run(tmp_path, "w-2", "2026-01-01T01:00Z", {"plan": plan(b=1.0)}, title="seed 2")
    past_run(tmp_path, "w-3", "2026-01-08T00:00Z", {"plan": plan(a=1.0)}, title="seed 1")
    seen = seen_in(tmp_path, "w")
    assert seen.previous.run_id == "w-1"
    assert PlanChange(machines=0.0).findings(seen) == []


def test_alerts_and_pages_compare_a_run_with_the_same_one(tmp_path):
    figures = pd.DataFrame({"name": ["expected_cost"], "value": [1.0]})
    for run_id, began, ended in (("w-1", 1, 2), ("w-2", 4, 5), ("w-3", 3, 6)):
        began_at = f"2026-01-01T0{began}:00:00+00:00"
        ended_at = f"2026-01-01T0{ended}:00:00+00:00"
        past_run(tmp_path, run_id, ended_at, {"headline": figures}, started_at=began_at)
    seen = seen_in(tmp_path, "w")
    assert seen.newest.run_id == "w-3"
    assert seen.previous.run_id == "w-1"
    assert run_before(seen.newest.manifest, tmp_path) == seen.previous.manifest


def test_a_source_that_nobody_looks_at_is_told_by_the_clock(tmp_path):
    looked = pd.to_datetime(["2026-01-05", "2026-01-19", "2025-01-01"], utc=True)
    sources = pd.DataFrame(
        {"provider": ["gcp", "aws", "old"], "source": "s", "looked_at": looked, "offers": [1, 1, 0]}
    )
    (finding,) = Freshness(days=14.0).findings(watched(tmp_path, {"sources": sources}))
    assert finding.subject == "gcp/s"
    assert "last looked at on 2026-01-05; 14 days are allowed" in finding.text


def test_drift_is_told_while_it_is_young(tmp_path):
    times = pd.to_datetime(["2026-01-02", "2026-01-12", "2026-01-13"], utc=True)
    alarms = pd.DataFrame({"time_utc": times, "series_group": "gcp/spot/H100", "detector": "ks"})
    found = Drift(within_days=7.0).findings(watched(tmp_path, {"alarms": alarms}))
    assert [finding.subject for finding in found] == ["gcp/spot/H100/ks"]
    assert "drifted on 2026-01-13" in found[0].text


def test_runs_that_do_not_succeed_are_told(tmp_path):
    rule = NoSuccess(days=7.0)
    assert rule.findings(watched(tmp_path, {})) == []
    failed = {"03_allocate": {"error": "no plan keeps every limit."}}
    ended = "2026-01-19T00:00:00+00:00"
    past_run(tmp_path, "weekly-3", ended, {}, status="failed", notebooks=failed)
    past_run(tmp_path, "weekly-4", ended, {}, status="running")
    later = seen_in(tmp_path, now=NOW + pd.Timedelta(days=3))
    assert later.last.run_id == "weekly-3"
    (finding,) = rule.findings(later)
    since = "no run has succeeded since 2026-01-14 00:00 UTC; the last one failed"
    assert finding.text == f"{since}: no plan keeps every limit."
    assert seen_in(tmp_path, "monthly") is None


@pytest.mark.slow
def test_a_store_that_cannot_be_read_is_told(tmp_path):
    rule = StoreUnreadable()
    seen = watched(tmp_path, {})
    assert rule.findings(seen) == [], "there is none"
    testing.write_store(tmp_path)
    assert rule.findings(seen) == []
    (tmp_path / "store" / "current").write_text("rubbish")
    (finding,) = rule.findings(seen)
    assert finding.text == "the store/current names 'rubbish', which is no snapshot."
