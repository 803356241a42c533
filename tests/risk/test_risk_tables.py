"""Tables of risk add up, whatever the level, model, hazard or horizon."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import risk
from cloudarb_lib.allocate.problem.assign import IDLE
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.risk import simulate
from cloudarb_lib.tables.assumptions import load_assumptions
from cloudarb_lib.testing import (
    AWS_SPOT,
    GCP_COMMITMENT,
    GCP_SPOT,
    ODD_SPOT,
    RECORD_TIMES,
    RISK_OFFERS,
    cost_of,
    planned,
    price_record,
    risk_inputs,
    risk_paths,
)


@pytest.mark.slow
def test_the_risk_table_adds_up():
    cost = cost_of(outages=(0.01, 2.0), shares={GCP_COMMITMENT: 0.98})
    table = risk.risk_table(cost, budget_usd=1e5)
    at95 = table[table["level"] == 0.95].set_index(["measure", "scope"])["value_usd"]
    whole = risk.cvar(cost.total - cost.total.mean()).value
    assert at95["cvar", "total"] == pytest.approx(whole)
    scopes = table["scope"].str.split(":").str[0]
    for prefix in ("provider", "region", "gpu", "offer"):
        rows = table[(table["measure"] == "component_cvar") & (scopes == prefix)]
        assert rows["value_usd"].sum() == pytest.approx(whole)
        by_var = table[(table["measure"] == "component_var") & (scopes == prefix)]["value_usd"]
        assert by_var.sum() == pytest.approx(risk.var(cost.total - cost.total.mean()).value)
        gone = table[(table["measure"] == "incremental_cvar") & (scopes == prefix)]
        assert (gone["value_usd"].to_numpy() <= rows["value_usd"].to_numpy() + 1e-6).all()
    assert at95["cvar", "risk:price"] + at95["cvar", "risk:capacity"] >= whole
    assert (table["horizon_h"] == 672).all()
    facts = table.set_index("measure")["value_usd"]
    assert facts["commitment_paid"] == pytest.approx(50.0 * 672)
    assert 0 < facts["commitment_unused"] < 0.05 * facts["commitment_paid"]  # 2 % cannot be had
    assert facts["unmet_share_mean"] == facts["unmet_share_probability"] == 0


def test_levels_are_free_and_models_stand_side_by_side():
    cost = cost_of()
    table = risk.risk_table(cost, budget_usd=1e5, level=0.9).set_index(
        ["measure", "level", "scope"]
    )
    wanted = risk.var(cost.total - cost.total.mean(), 0.9).value
    assert table.loc[("var", 0.9, "total"), "value_usd"].item() == pytest.approx(wanted)
    split = risk.contributions(cost, "offer_id", level=0.9)["component_cvar_usd"].sum()
    assert split == pytest.approx(table.loc[("cvar", 0.9, "total"), "value_usd"].item())
    models = risk.by_model(cost, price_record(), price_record(), horizon_steps=4, seed=0)
    assert list(models.index) == ["these paths", *simulate.SIMULATORS]
    assert (models["cvar_usd"] >= models["var_usd"]).all()
    short = price_record().until(RECORD_TIMES[14])  # of 15 cells, none of 12 windows of 4
    assert list(risk.by_model(cost, short, price_record(), horizon_steps=4, seed=0).index) == [
        "these paths"
    ]
    assert models.loc["these paths", "expected_cost_usd"] == pytest.approx(
        cost.price.sum(axis=1).mean()
    )


@pytest.mark.slow
def test_costs_under_each_hazard_stand_side_by_side():
    held = planned({GCP_SPOT: 4.0, AWS_SPOT: 2.0})
    steady = risk.by_hazard(risk_inputs(), held, budget_usd=1e5)
    assert set(steady["hazard"]) == {"advisor-implied", "typical", "trace-calibrated", "stressed"}
    assert steady["expected_cost_usd"].nunique() == 1  # these assumptions take nothing away
    assert (steady["probability_unmet"] == 0).all()
    own = risk_inputs(assumptions=load_assumptions())
    table = risk.by_hazard(own, held, budget_usd=1e5).set_index("hazard")
    assert table.index[0] == "advisor-implied"
    assert (table["cost_at_level_usd"] >= table["expected_cost_usd"]).all()
    stressed = risk.plan_cost(replace(own, hazard="stressed"), held)
    facts = table.loc["stressed"]
    assert facts["expected_cost_usd"] == pytest.approx(stressed.total.mean())
    assert facts["probability_unmet"] == pytest.approx((stressed.unmet_gpu_hours > 0).mean())
    assert facts["probability_unmet"] > table.loc["advisor-implied", "probability_unmet"]


def test_horizons_stand_in_one_table_and_the_longest_is_the_whole():
    here, held = risk_inputs(), planned({GCP_SPOT: 4.0, AWS_SPOT: 2.0, GCP_COMMITMENT: 1.0})
    table = risk.by_horizon(here, held, horizons_h=(24.0, 168.0, 5000.0))
    # a day is shorter than a step, the last is beyond the paths
    assert table["horizon_h"].unique().tolist() == [168.0, 672.0]
    assert (table["scope"] == "horizon").all()
    facts = table.set_index(["measure", "horizon_h"])
    cost = cost_of().total
    whole = facts.xs(672.0, level="horizon_h")
    assert whole.loc["expected_cost", "value_usd"] == pytest.approx(cost.mean())
    for measure in (risk.var, risk.cvar):
        wanted = measure(cost - cost.mean())
        told = whole.loc[measure.__name__, ["value_usd", "standard_error_usd"]]
        assert told.tolist() == pytest.approx(list(wanted))
    hours = 4 * 20.0 + 2 * 30.0 + 50.0
    assert facts.loc[("expected_cost", 168.0), "value_usd"] == pytest.approx(168 * hours, rel=0.01)
    floating = risk_paths().select([GCP_SPOT, AWS_SPOT]).values[:, :, 0].T @ np.array([4.0, 2.0])
    assert facts.loc[("var", 168.0), "value_usd"] == pytest.approx(
        168 * risk.var(floating - floating.mean()).value
    )
    at99 = (
        risk.by_horizon(here, held, horizons_h=(168.0,), level=0.99).iloc[:3].set_index("measure")
    )
    assert at99.loc["var", "level"] == 0.99
    assert at99.loc["var", "value_usd"] > facts.loc[("var", 168.0), "value_usd"]
    assert set(risk.by_horizon(here, held, horizons_h=(5000.0,))["horizon_h"]) == {672.0}
    with pytest.raises(ParameterError, match=r"a horizon is 0\.0"):
        risk.by_horizon(here, held, horizons_h=(0.0,))


@pytest.mark.slow
def test_fees_are_in_the_cost_once_and_its_parts_add_up():
    held = planned({GCP_SPOT: 4.0, AWS_SPOT: 2.0}).assign(fees_usd=[300.0, 40.0])
    here = risk_inputs(outages=(0.01, 2.0))
    cost = risk.plan_cost(here, held)
    without = risk.plan_cost(here, held.drop(columns="fees_usd"))
    np.testing.assert_allclose(cost.total, without.total + 340.0)
    facts = risk.risk_table(cost, budget_usd=1e5).set_index("measure")["value_usd"]
    parts = facts[["rent", "fees", "fallback"]].sum()
    assert facts["expected_cost"] == pytest.approx(parts)
    half = risk.by_horizon(here, held, horizons_h=(336.0,))["value_usd"].iloc[0]
    assert half == pytest.approx(facts["expected_cost"] / 2, rel=0.02)


def test_marginal_is_what_a_dollar_more_brings():
    table = risk.contributions(cost_of(), "offer_id")
    assert table["marginal_cvar_usd"] @ table["expected_cost_usd"] == pytest.approx(
        table["component_cvar_usd"].sum()
    )
    more = {GCP_SPOT: 4.0 * 1.001, AWS_SPOT: 2.0, GCP_COMMITMENT: 1.0}
    before, after = (cost_of(held).total for held in (None, more))
    slope = (risk.cvar(after - after.mean()).value - risk.cvar(before - before.mean()).value) / (
        after - before
    ).mean()
    assert table.loc[GCP_SPOT, "marginal_cvar_usd"] == pytest.approx(slope, rel=0.01)
    assert table.loc[GCP_COMMITMENT, "marginal_cvar_usd"] == pytest.approx(0.0)


def test_commitments_that_nobody_uses_or_nobody_can_use_are_shown_apart():
    held = pd.concat(
        [planned({GCP_COMMITMENT: 1.0}), planned({GCP_COMMITMENT: 2.0}).assign(workload=IDLE)]
    )
    cost = risk.plan_cost(
        risk_inputs(n=50, offers=RISK_OFFERS.assign(available_share=0.5).reset_index()), held
    )
    facts = risk.risk_table(cost, budget_usd=1e5).set_index("measure")["value_usd"]
    assert facts["commitment_paid"] == pytest.approx(3 * 50.0 * 672)
    # two idle, and half of what the third has
    assert facts["commitment_unused"] == pytest.approx((2 + 0.5) * 50.0 * 672)


def test_the_share_unmet_is_of_the_gpu_hours_planned():
    terms = {"instances": {ODD_SPOT: 2.0, GCP_SPOT: 1.0}, "n": 50}
    facts = risk.risk_table(cost_of(**terms, shares={ODD_SPOT: 0.25}), budget_usd=1e5)
    shares = facts.set_index("measure")["value_usd"]
    assert shares["unmet_share_mean"] == pytest.approx(0.75 * 2 / (2 + 8))
    assert shares["unmet_share_probability"] == 1.0
    assert shares["unmet_share_cvar"] == pytest.approx(shares["unmet_share_mean"])
    cpu = cost_of(**terms, offers=RISK_OFFERS.assign(gpu_model=None).reset_index())
    assert not risk.risk_table(cpu, budget_usd=1e5)["measure"].str.startswith("unmet_share").any()
