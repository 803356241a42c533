"""Risk measures and the cost of a plan: closed forms, a library's values, properties, guards."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from cloudarb_lib import allocate, risk
from cloudarb_lib.allocate.problem.assign import IDLE
from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.risk import simulate
from cloudarb_lib.risk.scenarios import OffersHit
from cloudarb_lib.risk.shocks import (
    AvailabilityShock,
    CostShock,
    DemandShock,
    PriceShock,
    VolatilityShock,
)
from cloudarb_lib.tables import assumptions
from cloudarb_lib.testing import shuffled

finite = st.floats(-1e4, 1e4).map(lambda v: round(v, 3))
samples = arrays(float, st.integers(25, 60), elements=finite)
levels = st.sampled_from([0.5, 0.9, 0.95, 0.975])
parts = arrays(float, st.tuples(st.integers(25, 60), st.integers(1, 4)), elements=finite)


# --- measures


@pytest.mark.parametrize(
    ("law", "tail"),
    [
        (stats.norm(), lambda q, a: stats.norm.pdf(q) / (1 - a)),
        (stats.t(5), lambda q, a: stats.t.pdf(q, 5) / (1 - a) * (5 + q**2) / 4),
    ],
)
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_closed_forms_of_normal_and_t(law, tail, level):
    # McNeil, Frey and Embrechts, Quantitative Risk Management (2015), examples 2.11 and 2.14
    x = law.ppf((np.arange(200_000) + 0.5) / 200_000)
    q = law.ppf(level)
    assert risk.var(x, level).value == pytest.approx(q, rel=1e-3)
    assert risk.cvar(x, level).value == pytest.approx(tail(q, level), rel=2e-3)


# fmt: off
T4 = [-0.263, 0.298, -1.489, 1.04, -1.15, -0.743, -0.551, 2.373, 11.741, -0.758, -0.261, -2.076,
      0.652, -2.436, 0.742, 2.778, 0.464, 0.957, 1.748, 0.27, 1.017, 0.702, -1.051, 0.121, -4.204,
      -0.323, -0.447, -1.876, -1.677, -0.361, 2.342, 0.458, 0.239, -0.612, -2.259, -0.813, 0.571,
      -0.139, -1.021, -1.089]
"""numpy default_rng(20).standard_t(4, 40), rounded to 3 places."""
# fmt: on


@pytest.mark.parametrize(
    ("level", "var", "cvar"),
    # skfolio 1.12.2: skfolio.measures.value_at_risk(-x, beta), cvar(-x, beta) with x = T4
    [(0.9, 1.748, 4.8085), (0.95, 2.373, 7.2595), (0.93, 2.373, 5.863357142857145)],
)
def test_values_of_an_independent_library(level, var, cvar):
    assert risk.var(T4, level).value == pytest.approx(var, rel=1e-12)
    assert risk.cvar(T4, level).value == pytest.approx(cvar, rel=1e-12)


@given(samples, levels)
def test_var_is_at_most_cvar_is_at_most_the_worst(x, level):
    var, cvar = risk.var(x, level), risk.cvar(x, level)
    assert var.value <= cvar.value + 1e-9
    assert cvar.value <= x.max() + 1e-6
    assert not var.standard_error < 0
    assert not cvar.standard_error < 0


@given(samples, levels, st.floats(0.01, 50), st.floats(-1e3, 1e3))
def test_homogeneous_and_translated(x, level, scale, shift):
    for measure in (risk.var, risk.cvar):
        value, error = measure(x, level)
        moved = measure(scale * x + shift, level)
        assert moved.value == pytest.approx(scale * value + shift, rel=1e-9, abs=1e-6)
        assert moved.standard_error == pytest.approx(scale * error, rel=1e-9, abs=1e-6, nan_ok=True)


@given(parts, levels)
def test_cvar_is_subadditive_and_its_components_sum(x, level):
    whole = risk.cvar(x.sum(axis=1), level).value
    assert whole <= risk.cvar(x, level).value.sum() + 1e-6
    assert risk.component_cvar(x, level).value.sum() == pytest.approx(whole, rel=1e-9, abs=1e-6)
    assert (risk.component_cvar(x, level).value <= risk.cvar(x, level).value + 1e-6).all()


@given(parts, levels, st.randoms(use_true_random=False))
def test_the_order_of_paths_and_offers_does_not_matter(x, level, shuffle):
    mixed, columns = shuffled(x, shuffle)
    for measure in (risk.var, risk.cvar):
        np.testing.assert_allclose(
            measure(mixed, level), np.array(measure(x, level))[:, columns], rtol=1e-9, atol=1e-6
        )
    # float sums in another order can break ties, so the components of whole numbers are compared
    x, mixed = np.round(x), np.round(mixed)
    np.testing.assert_allclose(
        risk.component_cvar(mixed, level).value,
        risk.component_cvar(x, level).value[columns],
        rtol=1e-9,
        atol=1e-6,
    )


@pytest.mark.parametrize("measure", [risk.var, risk.cvar])
def test_the_standard_error_is_the_spread_of_the_estimate_and_falls_as_root_n(measure):
    rng = np.random.default_rng(2)
    spread = {}
    for n in (500, 2000, 8000):
        estimate = measure(rng.standard_normal((n, 400)), 0.95)
        spread[n] = estimate.value.std()
        assert estimate.standard_error.mean() == pytest.approx(spread[n], rel=0.15)
    assert spread[500] / spread[8000] == pytest.approx(4.0, rel=0.2)


def test_the_component_error_is_the_spread_of_the_component():
    rng = np.random.default_rng(3)
    runs = [risk.component_cvar(rng.standard_normal((2000, 2)) * [1, 3]) for _ in range(200)]
    value, error = np.array([r.value for r in runs]), np.array([r.standard_error for r in runs])
    np.testing.assert_allclose(error.mean(axis=0), value.std(axis=0), rtol=0.25)


def test_probability_over_budget():
    share, error = risk.probability_over(np.arange(100.0), 89.5)
    assert share == 0.1
    assert 0.02 < error < 0.04
    assert risk.probability_over(np.zeros(100), 1.0).standard_error > 0


def test_a_tail_without_samples_has_no_error_and_an_atom_an_error_of_zero():
    assert np.isnan(risk.var(np.arange(9.0), 0.95).standard_error)
    assert np.isnan(risk.cvar(np.arange(9.0), 0.95).standard_error)
    assert risk.var(np.zeros(1000), 0.95) == (0.0, 0.0)
    assert risk.cvar(np.array([7.0]), 0.5).value == 7.0


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 95, float("nan")])
def test_a_level_outside_its_range_is_refused(level):
    with pytest.raises(ParameterError, match="level"):
        risk.var(np.arange(9.0), level)


@pytest.mark.parametrize("x", [[], [1.0, np.nan], [1.0, np.inf], np.zeros((2, 2, 2))])
@pytest.mark.parametrize("measure", [risk.var, risk.cvar, lambda x: risk.probability_over(x, 1.0)])
def test_samples_that_are_none_missing_or_infinite_are_refused(measure, x):
    with pytest.raises(DataError, match="samples"):
        measure(x)


# --- a small world: two spot offers, their on-demand peers, one commitment, one that nothing backs

TIMES = pd.date_range("2026-05-07", periods=4, freq="7D", tz="UTC")


def offer(provider: str, region: str, option: str, price: float, **changes) -> dict:
    row = {
        "provider": provider,
        "region": region,
        "zone": "",
        "instance_type": "h100-8",
        "purchase_option": option,
        "term": "1y" if option == "reserved" else "",
        "price_kind": "administered",
        "gpu_model": "H100",
        "gpu_count": 8.0,
        "vcpus": 96.0,
        "offer_count": np.nan,
        "price_usd_per_hour": price,
    } | changes
    row["offer_id"] = "/".join(
        str(row[p])
        for p in ("provider", "region", "zone", "instance_type", "purchase_option", "term")
    )
    return row


OFFERS = pd.DataFrame(
    [
        offer("gcp", "us", "spot", 20.0),
        offer("gcp", "us", "on_demand", 80.0),
        offer("aws", "eu", "spot", 30.0),
        offer("aws", "eu", "on_demand", 60.0),
        offer("gcp", "us", "reserved", 50.0),
        offer(
            "nebula", "unstated", "spot", 5.0, instance_type="odd", gpu_model="TPU", gpu_count=1.0
        ),
    ]
).set_index("offer_id")
GCP, GCP_OD, AWS, AWS_OD, COMMIT, ODD = OFFERS.index


def plan(instances: dict[str, float], *, periods: int = 1, hours: float = 672.0) -> pd.DataFrame:
    rows = [
        {
            "offer_id": o,
            "workload": "train",
            "period": p,
            "instances": n,
            "hours": hours / periods,
            "expected_cost_usd": 0.0,
        }
        for o, n in instances.items()
        for p in range(periods)
    ]
    return pd.DataFrame(rows)


def paths(*, n: int = 2000, seed: int = 0, spread: float = 0.1) -> Paths:
    rng = np.random.default_rng(seed)
    start = OFFERS["price_usd_per_hour"].to_numpy()[:, None, None]
    steps = spread * rng.standard_normal((len(OFFERS), n, 4))
    return Paths(OFFERS.index, TIMES, start * np.exp(steps.cumsum(axis=2) - spread**2))


def world(
    *, spread: float = 0.1, n: int = 2000, outages: tuple[float, float] = (0.0, 0.0), **changes
) -> risk.RiskInputs:
    """Return a world whose spot machines are taken away so often an hour, for so many hours."""
    table = pd.read_csv(locations.data() / "assumptions.csv", dtype={"date": str})
    for name, value in zip(("interruption_per_hour", "outage_hours"), outages, strict=True):
        table.loc[table["name"].str.startswith(name), "value"] = value
    given = {"offers": OFFERS.reset_index(), "paths": paths(spread=spread, n=n), "record": record()}
    given["assumptions"] = assumptions.Assumptions(table)
    return risk.RiskInputs(**(given | {"horizon_h": 672.0, "seed": 0} | changes))


def plan_cost(
    instances=None, *, shares: dict[str, float] | None = None, **changes
) -> risk.PlanCost:
    held = plan(instances or {GCP: 4.0, AWS: 2.0, COMMIT: 1.0})
    share = OFFERS.index.map(shares or {}).to_numpy(float)
    offers = OFFERS.assign(available_share=np.where(np.isnan(share), 1.0, share)).reset_index()
    return risk.plan_cost(world(**{"offers": offers} | changes), held)


def test_price_cost_against_a_slow_loop():
    here = world(n=5)
    rows = pd.concat([plan({GCP: 4.0}, periods=2), plan({AWS: 1.0, COMMIT: 2.0}, periods=2)])
    rows.loc[rows["period"] == 1, "instances"] *= 3
    cost = risk.plan_cost(here, rows)
    slow = np.zeros(5)
    for row in rows.itertuples():
        for step in (0, 1) if row.period == 0 else (2, 3):
            for path in range(5):
                price = here.paths.values[here.paths.offer_ids.get_loc(row.offer_id), path, step]
                price = 50.0 if row.offer_id == COMMIT else price
                slow[path] += price * row.instances * row.hours / 2
    np.testing.assert_allclose(cost.total, slow)
    np.testing.assert_allclose(cost.unit_usd @ cost.table["instance_hours"], slow)


def test_a_commitment_keeps_its_price():
    cost = plan_cost()
    column = cost.table.index.get_loc(COMMIT)
    assert set(cost.price[:, column]) == {50.0 * 672}


def test_the_fallback_is_the_same_machine_on_demand_then_the_cheapest_of_its_model():
    columns = ["fallback", "fallback_usd_per_hour"]
    found = risk.find_fallbacks(OFFERS.reset_index(), OFFERS.index)[columns]
    assert found.loc[GCP].tolist() == [GCP_OD, 80.0]
    assert found.loc[AWS].tolist() == [AWS_OD, 60.0]
    assert found.loc[GCP_OD].tolist() == [AWS_OD, 60.0]
    assert found.loc[ODD].isna().all()
    short = OFFERS.reset_index().assign(available_share=np.where(OFFERS.index == GCP_OD, 0.9, 1.0))
    outside = risk.find_fallbacks(short, OFFERS.index)[columns]
    assert outside.loc[GCP].tolist() == [AWS_OD, 60.0]
    none = risk.find_fallbacks(short.assign(available_share=0.0), OFFERS.index)[columns]
    assert none.isna().all(axis=None)


def test_a_stale_price_replaces_only_what_no_fresh_one_does():
    old = OFFERS.assign(stale=OFFERS.index == AWS_OD)
    other = (
        pd.DataFrame([offer("gcp", "eu", "on_demand", 90.0)])
        .set_index("offer_id")
        .assign(stale=False)
    )
    found = risk.find_fallbacks(pd.concat([old, other]).reset_index(), pd.Index([GCP_OD]))
    assert found.loc[GCP_OD].tolist() == [8.0, other.index[0], 90.0]
    found = risk.find_fallbacks(old.reset_index(), pd.Index([GCP_OD]))
    assert found.loc[GCP_OD].tolist() == [8.0, AWS_OD, 60.0]


def test_outages_are_bought_at_the_fallback_and_their_mean_is_the_hazards():
    terms = {"instances": {GCP: 4.0}, "n": 20_000, "outages": (0.01, 3.0), "seed": 1}
    cost = plan_cost(**terms)
    away = 0.01 * 3.0  # share of the hours, as outages are short against the horizon
    expected = away * 4 * 672 * (80.0 - cost.unit_usd.mean())
    assert cost.capacity.mean() == pytest.approx(expected, rel=0.03)
    np.testing.assert_array_equal(cost.total, (cost.price + cost.capacity).sum(axis=1))
    np.testing.assert_array_equal(cost.capacity, plan_cost(**terms).capacity)


def test_hours_that_nothing_replaces_are_unmet_and_not_paid():
    cost = plan_cost({ODD: 2.0}, shares={ODD: 0.25})
    np.testing.assert_allclose(cost.unmet_gpu_hours, 0.75 * 2 * 672)
    np.testing.assert_allclose(cost.total, 0.25 * cost.price[:, 0])


def test_hazards_come_from_the_assumptions_by_preset():
    figures = assumptions.load_assumptions()
    table = OFFERS.loc[[GCP, GCP_OD, COMMIT]]
    calm, trace = (risk.hazards(table, figures, p) for p in ("advisor-implied", "trace-calibrated"))
    assert calm.loc[GCP, "interruption_per_hour"] < trace.loc[GCP, "interruption_per_hour"]
    assert (trace.loc[[GCP_OD, COMMIT], "interruption_per_hour"] == 0).all()
    assert "outage_hours/spot/calm" in set(figures.used["name"])
    with pytest.raises(ParameterError, match="preset 'nice' is unknown"):
        risk.hazards(table, figures, "nice")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:0], "holds no offer"),
        (lambda p: p.assign(offer_id="gcp/mars//h100-8/spot/"), "not among the offers"),
        (lambda p: p.assign(instances=-1.0), "negative"),
        (lambda p: p.assign(hours=np.nan), "missing"),
        (lambda p: p.assign(period=7), "8 periods"),
    ],
)
def test_a_plan_that_cannot_be_met_with_paths_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        risk.plan_cost(world(n=3), change(plan({GCP: 1.0})))


def test_no_path_no_horizon_and_a_wrong_size_are_refused():
    with pytest.raises(DataError, match="no path"):
        Paths(OFFERS.index, TIMES, np.zeros((6, 0, 4)))
    with pytest.raises(DataError, match="missing, infinite"):
        Paths(OFFERS.index, TIMES, np.full((6, 2, 4), np.nan))
    with pytest.raises(ParameterError, match="horizon"):
        world(horizon_h=0.0)
    with pytest.raises(ParameterError, match="demand_factor is"):
        risk.plan_cost(world(), plan({GCP: 1.0}), demand_factor=0.5)
    with pytest.raises(DataError, match="no paths for offer"):
        risk.plan_cost(world(paths=paths().select([AWS])), plan({GCP: 1.0}))


# --- stress


def test_the_four_named_scenarios_hold_their_parameters():
    four = {s.name: s for s in risk.load_scenarios()[:4]}
    assert list(four) == ["market_crash", "provider_outage", "demand_spike", "regulatory_change"]
    crash = (PriceShock(0.7), VolatilityShock(2.0))
    assert four["market_crash"].shocks == crash
    assert four["provider_outage"].shocks == (AvailabilityShock(0.5),)
    assert four["provider_outage"].offers_hit == OffersHit(provider="largest")
    assert four["demand_spike"].shocks == (DemandShock(2.0),)
    assert four["regulatory_change"].shocks == (CostShock(1.2),)


RECORD_TIMES = pd.date_range("2025-06-05", periods=30, freq="7D", tz="UTC")


def record() -> Panel:
    """GCP spot doubles step by step over cells 10 to 14, AWS spot falls by half in cell 12; the rest stands."""
    price = np.tile(OFFERS["price_usd_per_hour"].to_numpy(), (30, 1))
    price[10:, 0] *= np.minimum(1.0 + 0.25 * np.arange(20), 2.0)
    price[12:, 2] *= 0.5
    return Panel(
        RECORD_TIMES,
        pd.Timedelta("7D"),
        OFFERS,
        price,
        np.ones_like(price),
        np.ones(price.shape, int),
    )


def run_stress(
    *scenarios: risk.StressScenario, instances=None, replanned=None, **changes
) -> pd.DataFrame:
    held = plan(instances or {GCP: 4.0, AWS: 2.0, COMMIT: 1.0})
    table = risk.stress(
        world(**changes), scenarios, held, replanned=replanned or {}, budget_usd=1e5
    )
    return table.set_index("scenario")


def test_what_each_factor_does_to_a_held_plan():
    table = run_stress(*risk.load_scenarios()[:4], risk.StressScenario.of("wild", volatility=2.0))
    base = table.loc["base"]
    committed = 50.0 * 672
    floating = base["expected_cost_usd"] - committed
    loss = table["loss_usd"]
    assert loss["base"] == 0
    assert loss["market_crash"] == pytest.approx(-0.3 * floating)
    assert loss["regulatory_change"] == pytest.approx(0.2 * base["expected_cost_usd"])
    spike = 672 * (4 * 80.0 + 2 * 60.0 + 1 * 60.0)
    spike += 672 * (80.0 - 60.0)  # the commitment's fallback is the same machine, on demand at 80
    assert loss["demand_spike"] == pytest.approx(spike)
    assert loss["wild"] == pytest.approx(0, abs=1e-6)
    assert table.loc["wild", "var_usd"] == pytest.approx(2 * base["var_usd"], rel=0.15)
    assert table.loc["regulatory_change", "var_usd"] == pytest.approx(1.2 * base["var_usd"])
    assert (table["recourse_loss_usd"] == loss).all()
    wide = risk.stress(
        world(), [], plan({GCP: 4.0}), replanned={}, budget_usd=1e5, level=0.99
    ).iloc[0]
    near = run_stress(instances={GCP: 4.0}).iloc[0]
    assert (near["level"], wide["level"]) == (0.95, 0.99)
    assert wide["var_usd"] > near["var_usd"]


def test_an_outage_hits_the_largest_provider_and_is_bought_elsewhere():
    table = run_stress(risk.StressScenario.of("out", availability=0.5, provider="largest"))
    hours = 0.5 * 672
    away = hours * (4 * (60.0 - 20.0) + 1 * 60.0)  # the commitment stays paid
    assert table.loc["out", "loss_usd"] == pytest.approx(away, rel=0.01)
    gone = run_stress(
        risk.StressScenario.of("out", availability=0.0, provider="nebula"), instances={ODD: 1}
    )
    assert gone.loc["out", "unmet_gpu_hours"] == pytest.approx(672)


def test_the_largest_region_is_that_of_the_offers_hit():
    spot = {"purchase_option": "spot", "region": "largest"}
    table = run_stress(
        risk.StressScenario.of("dear", price=2.0, **spot),
        instances={GCP_OD: 9.0, AWS: 2.0, GCP: 1.0},
    )
    only = run_stress(
        risk.StressScenario.of("dear", price=2.0, region="eu"),
        instances={GCP_OD: 9.0, AWS: 2.0, GCP: 1.0},
    )
    assert table.loc["dear", "loss_usd"] == pytest.approx(only.loc["dear", "loss_usd"])


SINCE = {"since": "2025-08-06", "until": "2025-09-10"}  # cells 9 and 14 of the record


def test_an_episode_moves_each_offer_as_its_own_record_did():
    table = run_stress(
        risk.StressScenario.of("again", **SINCE),
        spread=0.0,
        instances={GCP: 1.0, AWS: 1.0, COMMIT: 1.0},
    )
    # five weeks within four steps: sampled every 8.75 days, in the cells 11, 12, 13 and 14
    gcp, aws = np.array([1.25, 1.5, 1.75, 2.0]), np.array([1.0, 0.5, 0.5, 0.5])
    expected = 672 * (20.0 * (gcp.mean() - 1.0) + 30.0 * (aws.mean() - 1.0))
    assert table.loc["again", "loss_usd"] == pytest.approx(expected)


def test_an_episode_of_another_record_and_of_offers_without_one():
    other = risk.StressScenario.of("as gcp", record="gcp/*/spot/", provider="aws", **SINCE)
    table = run_stress(other, spread=0.0, instances={AWS: 1.0})
    assert table.loc["as gcp", "loss_usd"] == pytest.approx(672 * 30.0 * 0.625)
    younger = record().select([GCP])
    table = run_stress(
        risk.StressScenario.of("again", **SINCE), spread=0.0, instances={AWS: 1.0}, record=younger
    )
    assert table.loc["again", "loss_usd"] == pytest.approx(672 * 30.0 * 0.625)


@pytest.mark.parametrize(
    "lacking",
    [
        {"since": "2020-01-01", "until": "2020-02-01"},
        {"since": "2025-12-01", "until": "2026-02-01"},
        {"record": "gcp/mars/*", **SINCE},
        {"provider": "nobody", "region": "largest"},
        {"provider": "nebula", "region": "largest"},  # whose region is not stated
    ],
)
def test_an_episode_that_the_record_lacks_is_left_out(lacking):
    alone = risk.StressScenario.of("gone", **lacking)
    table = run_stress(
        alone, risk.StressScenario.of("both", all_of=(alone, risk.StressScenario.of("x", cost=2.0)))
    )
    assert list(table.index) == ["base"]
    assert risk.replan(world(), [alone], plan({GCP: 1.0}), WORK) == {}


def test_scenarios_combine_by_multiplying():
    dear, short = (
        risk.StressScenario.of("dear", cost=1.5),
        risk.StressScenario.of("short", availability=0.5, provider="gcp"),
    )
    more = risk.StressScenario.of("more", demand=2.0, cost=1.1)
    table = run_stress(
        risk.StressScenario.of("all", cost=2.0, all_of=(dear, short, more)), instances={GCP: 1.0}
    )
    hours = 672 * (
        0.5 * 20.0 + 0.5 * 60.0 + 60.0
    )  # half at its price, half and as much again at the fallback
    assert table.loc["all", "expected_cost_usd"] == pytest.approx(3.3 * hours, rel=0.01)


WORK = [allocate.Workload("train", 16.0, {"H100": 1.0}, interruptible=True)]


def test_recourse_moves_away_from_what_is_short_and_pays_for_the_move():
    here = world(spread=0.0)
    shocks = [
        risk.StressScenario.of("gone", availability=0.0, provider="gcp"),
        risk.StressScenario.of("dear", cost=2.0),
    ]
    held = plan({GCP: 2.0})
    anew = risk.replan(here, shocks, held, WORK)
    assert anew["gone"]["offer_id"].tolist() == [AWS]
    assert anew["dear"]["offer_id"].tolist() == [GCP]
    table = risk.stress(here, shocks, held, replanned=anew, budget_usd=1e5).set_index("scenario")
    hours = anew["gone"]["hours"].iloc[0]  # with rework
    moved = 2 * 30.0 * (hours + here.assumptions.get("move_overlap_h"))
    assert table.loc["gone", "recourse_loss_usd"] == pytest.approx(moved - 2 * 20.0 * 672)
    assert table.loc["gone", "loss_usd"] == pytest.approx(2 * 40.0 * 672)
    assert table.loc["dear", "recourse_loss_usd"] == table.loc["dear", "loss_usd"]


def test_recourse_is_taken_where_it_serves_more_though_it_costs_more():
    here = world(spread=0.0)
    gone = risk.StressScenario.of("gone", availability=0.0, provider="nebula")
    table = risk.stress(
        here, [gone], plan({ODD: 1.0}), replanned={"gone": plan({AWS: 1.0})}, budget_usd=1e5
    )
    assert table["loss_usd"].iloc[1] < table["recourse_loss_usd"].iloc[1]
    assert table["unmet_gpu_hours"].iloc[1] > table["recourse_unmet_gpu_hours"].iloc[1] == 0


def test_recourse_acts_on_what_a_shock_has_shown_not_on_how_it_goes_on():
    here, held = world(spread=0.0), plan({GCP: 2.0})
    again = risk.StressScenario.of("again", **SINCE)
    # GCP goes to 25, 30, 35, 40 and AWS from 30 to 15 in the second step: at first GCP still is the cheapest
    anew = risk.replan(here, [again], held, WORK)
    assert anew["again"]["offer_id"].tolist() == [GCP]
    later = record()
    later.price[12:, :] *= 3.0
    assert risk.replan(world(spread=0.0, record=later), [again], held, WORK)["again"].equals(
        anew["again"]
    )
    # alone, the fall of AWS shows in the second of four steps: the plan is held in the first
    fall = risk.StressScenario.of("fall", provider="aws", **SINCE)
    moved = risk.replan(here, [fall], held, WORK)
    assert moved["fall"]["offer_id"].tolist() == [AWS]
    table = risk.stress(here, [fall], held, replanned=moved, budget_usd=1e5).set_index("scenario")
    hours, overlap = moved["fall"]["hours"].iloc[0], here.assumptions.get("move_overlap_h")
    paid = 2 * (20.0 * 672 / 4 + 15.0 * (hours * 3 / 4 + overlap))
    assert table.loc["fall", "recourse_loss_usd"] == pytest.approx(paid - 2 * 20.0 * 672)
    assert table.loc["fall", "loss_usd"] == 0
    # a fall that is taken back: the move was right by what was seen, and a mistake
    back = record()
    back.price[13:, 2] *= 10.0
    table = run_stress(fall, spread=0.0, instances={GCP: 2.0}, replanned=moved, record=back)
    assert table.loc["fall", "recourse_loss_usd"] > table.loc["fall", "loss_usd"] == 0


def test_demand_is_scaled_stale_offers_wait_and_what_fits_nothing_has_no_plan():
    spike = risk.StressScenario.of("spike", demand=2.0)
    offers = OFFERS.reset_index().assign(stale=OFFERS.index == GCP)
    anew = risk.replan(world(offers=offers), [spike], plan({GCP: 2.0}), WORK)["spike"]
    assert anew.groupby("offer_id")["gpus"].sum().to_dict() == {AWS: 32.0}
    only = world(offers=OFFERS.reset_index().assign(stale=True))
    assert risk.replan(only, [spike], plan({GCP: 2.0}), WORK)["spike"]["gpus"].sum() == 32.0
    away = risk.StressScenario.of("away", availability=0.0)
    assert risk.replan(world(), [away], plan({GCP: 2.0}), WORK) == {}


def test_an_offer_half_there_costs_half_its_fallback_and_commitments_stay_paid():
    here = world(spread=0.0)
    half = risk.StressScenario.of("half", availability=0.5, provider="gcp")
    anew = risk.replan(here, [half], plan({GCP: 2.0, COMMIT: 1.0}), WORK)["half"]
    assert set(anew["offer_id"]) == {AWS, COMMIT}  # 30 against (20 + 60) / 2


def test_reverse_stress_finds_the_change_that_breaks_the_limit():
    held, here = plan({GCP: 4.0, AWS: 2.0}), world()
    base = risk.stress(here, [], held, replanned={}, budget_usd=1e5)
    expected, tail = base["expected_cost_usd"].iloc[0], base["cvar_usd"].iloc[0]
    found = risk.reverse_stress(
        here, held, budget_usd=1.2 * expected, cvar_limit_usd=1.5 * expected
    ).set_index(["limit", "factor"])["change"]
    assert found["budget", "price"] == pytest.approx(0.2, abs=0.01)
    assert found["budget", "cost"] == pytest.approx(0.2, abs=0.01)
    assert found["cvar", "cost"] == pytest.approx(1.5 * expected / (expected + tail) - 1, abs=0.01)
    assert np.isnan(found["budget", "volatility"])  # it keeps the mean
    assert 0 < found["cvar", "volatility"] < 9
    more = 672 * (4 * 80.0 + 2 * 60.0)
    assert found["budget", "demand"] == pytest.approx(0.2 * expected / more, abs=0.01)
    gone = 672 * (4 * (60.0 - 20.0))
    assert found["budget", "availability"] == pytest.approx(-0.2 * expected / gone, abs=0.01)
    assert 0.2 < found["budget", "together"] < 0.5
    just = found["budget", "price"]
    for share, breaks in ((1.0, True), (0.9, False)):
        after = run_stress(
            risk.StressScenario.of("x", price=1 + share * just), instances={GCP: 4.0, AWS: 2.0}
        )
        assert (after.loc["x", "expected_cost_usd"] > 1.2 * expected) == breaks
    already = risk.reverse_stress(here, held, budget_usd=1e9, cvar_limit_usd=expected)
    assert (already.loc[already["limit"] == "cvar", "change"] == 0).all()
    assert already.loc[already["limit"] == "budget", "change"].isna().all()


@pytest.mark.parametrize(
    "bad",
    [
        {"price": -1.0},
        {"price": 0.0},
        {"availability": 1.5},
        {"demand": float("nan")},
        {"demand": 0.5},
        {"cost": 0.0},
        {"volatility": -1.0},
        {"since": "2025-08-06"},
        {"until": "2025-08-06"},
        {"record": "gcp/*"},
        {"since": "2025-08-06", "until": "2025-08-06"},
    ],
)
def test_a_scenario_that_cannot_be_is_refused(bad):
    with pytest.raises(ParameterError, match=f"scenario: .*{next(iter(bad))}"):
        risk.StressScenario.of("x", **bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "scenarios:\n- name: a\n  prise: 2",
            r"mine.yaml, line 3: key 'prise' .*did you mean 'price'",
        ),
        (
            "scenarios:\n- name: a\n  3: 2",
            "line 3: scenarios is 3. Way out: Keys should be strings",
        ),
        ("scenarios:\n- name: a\n  price: dear", "line 3: price is 'dear'.*Write a number"),
        ("scenarios:\n- name: a\n  price: yes", "line 3: price is True.*Write a number"),
        ("scenarios:\n- name: a\n- name: a", "line 3: scenario 'a': name repeats"),
        ("scenarios:\n- price: 2", "line 2: name is missing"),
        ("scenarios:\n- name: 3", "line 2: name is 3.*Write a text"),
        ("scenarios:\n- name: a\n  provider: 3", "line 3: provider is 3"),
        ("scenarios:\n- name: a\n  availability: 2", "line 3: availability is 2"),
        ("scenarios:\n- name: a\n  since: 2025-08-06", "line 2: scenario 'a': since '2025-08-06'"),
        (
            "scenarios:\n- name: a\n  since: soon\n  until: 2025-01-01",
            "line 2: as_of 'soon' is not a time",
        ),
        (
            "scenarios:\n- name: a\n- name: b\n  all_of: [a, c]",
            "line 4: scenario 'b': all_of: 'c' is not an entry above",
        ),
        ("scenarios:\n- name: a\n- name: b\n  all_of: a", "line 4: all_of is 'a'"),
        ("scenarios:\n- 3", "line 2: scenarios is 3"),
        ("name: x", "line 1: key 'name' is not known"),
        ("scenarios: [", "mine.yaml, line 1: expected the node content"),
    ],
)
def test_mistakes_in_a_scenario_file_are_named(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ParameterError, match=message):
        risk.load_scenarios(file)


def test_a_scenario_file_that_is_not_there(tmp_path):
    with pytest.raises(ParameterError, match=r"There are data/scenarios\.yaml"):
        risk.load_scenarios(tmp_path / "none.yaml")


# --- the table


def test_the_risk_table_adds_up():
    cost = plan_cost(outages=(0.01, 2.0), shares={COMMIT: 0.98})
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


def test_levels_are_free_and_models_and_hazards_stand_side_by_side():
    cost = plan_cost()
    table = risk.risk_table(cost, budget_usd=1e5, level=0.9).set_index(
        ["measure", "level", "scope"]
    )
    wanted = risk.var(cost.total - cost.total.mean(), 0.9).value
    assert table.loc[("var", 0.9, "total"), "value_usd"].item() == pytest.approx(wanted)
    split = risk.contributions(cost, "offer_id", level=0.9)["component_cvar_usd"].sum()
    assert split == pytest.approx(table.loc[("cvar", 0.9, "total"), "value_usd"].item())
    hazard = risk.by_hazard(world(), plan({GCP: 4.0, AWS: 2.0}))
    assert list(hazard.index) == [
        "price alone",
        "advisor-implied",
        "typical",
        "trace-calibrated",
        "stressed",
    ]
    assert hazard["expected_cost_usd"].nunique() == 1  # these assumptions take nothing away
    models = risk.by_model(cost, record(), record(), horizon_steps=4, seed=0)
    assert list(models.index) == ["these paths", *simulate.SIMULATORS, "combined"]
    worst = models["expected_cost_usd"] + models["var_usd"]
    assert worst["combined"] == pytest.approx(worst[["these paths", "filtered"]].mean())
    assert (models["cvar_usd"] >= models["var_usd"]).all()
    short = record().until(RECORD_TIMES[14])  # of 15 cells, none of 12 windows of 4
    assert list(risk.by_model(cost, short, record(), horizon_steps=4, seed=0).index) == [
        "these paths"
    ]
    assert models.loc["these paths", "expected_cost_usd"] == pytest.approx(
        cost.price.sum(axis=1).mean()
    )


def test_horizons_stand_in_one_table_and_the_longest_is_the_whole():
    here, held = world(), plan({GCP: 4.0, AWS: 2.0, COMMIT: 1.0})
    table = risk.by_horizon(here, held, horizons_h=(24.0, 168.0, 5000.0))
    assert table["horizon_h"].unique().tolist() == [
        24.0,
        168.0,
        672.0,
    ]  # the last is beyond the paths
    assert (table["scope"] == "horizon").all()
    facts = table.set_index(["measure", "horizon_h"])
    cost = plan_cost().total
    whole = facts.xs(672.0, level="horizon_h")
    assert whole.loc["expected_cost", "value_usd"] == pytest.approx(cost.mean())
    for measure in (risk.var, risk.cvar):
        wanted = measure(cost - cost.mean())
        told = whole.loc[measure.__name__, ["value_usd", "standard_error_usd"]]
        assert told.tolist() == pytest.approx(list(wanted))
    # a week is the first step; within a day its change has come in one world of seven
    hours = 4 * 20.0 + 2 * 30.0 + 50.0
    assert facts.loc[("expected_cost", 168.0), "value_usd"] == pytest.approx(168 * hours, rel=0.01)
    assert facts.loc[("expected_cost", 24.0), "value_usd"] == pytest.approx(24 * hours, rel=0.01)
    floating = paths().select([GCP, AWS]).values[:, :, 0].T @ np.array([4.0, 2.0])
    assert facts.loc[("var", 168.0), "value_usd"] == pytest.approx(
        168 * risk.var(floating - floating.mean()).value
    )
    still = np.quantile(floating, 1 - 0.05 * 7) - (
        4 * 20.0 + 2 * 30.0
    )  # 5 % of worlds are 35 % of those that moved
    assert facts.loc[("var", 24.0), "value_usd"] == pytest.approx(24 * still, rel=0.15)
    at99 = (
        risk.by_horizon(here, held, horizons_h=(168.0,), level=0.99).iloc[:3].set_index("measure")
    )
    assert at99.loc["var", "level"] == 0.99
    assert at99.loc["var", "value_usd"] > facts.loc[("var", 168.0), "value_usd"]
    assert set(risk.by_horizon(here, held, horizons_h=(5000.0,))["horizon_h"]) == {672.0}
    with pytest.raises(ParameterError, match=r"a horizon is 0\.0"):
        risk.by_horizon(here, held, horizons_h=(0.0,))


def test_marginal_is_what_a_dollar_more_brings():
    table = risk.contributions(plan_cost(), "offer_id")
    assert table["marginal_cvar_usd"] @ table["expected_cost_usd"] == pytest.approx(
        table["component_cvar_usd"].sum()
    )
    more = {GCP: 4.0 * 1.001, AWS: 2.0, COMMIT: 1.0}
    before, after = (plan_cost(held).total for held in (None, more))
    slope = (risk.cvar(after - after.mean()).value - risk.cvar(before - before.mean()).value) / (
        after - before
    ).mean()
    assert table.loc[GCP, "marginal_cvar_usd"] == pytest.approx(slope, rel=0.01)
    assert table.loc[COMMIT, "marginal_cvar_usd"] == pytest.approx(0.0)


def test_commitments_that_nobody_uses_or_nobody_can_use_are_shown_apart():
    held = pd.concat([plan({COMMIT: 1.0}), plan({COMMIT: 2.0}).assign(workload=IDLE)])
    cost = risk.plan_cost(
        world(n=50, offers=OFFERS.assign(available_share=0.5).reset_index()), held
    )
    facts = risk.risk_table(cost, budget_usd=1e5).set_index("measure")["value_usd"]
    assert facts["commitment_paid"] == pytest.approx(3 * 50.0 * 672)
    # two idle, and half of what the third has
    assert facts["commitment_unused"] == pytest.approx((2 + 0.5) * 50.0 * 672)


def test_the_share_unmet_is_of_the_gpu_hours_planned():
    terms = {"instances": {ODD: 2.0, GCP: 1.0}, "n": 50}
    facts = risk.risk_table(plan_cost(**terms, shares={ODD: 0.25}), budget_usd=1e5)
    shares = facts.set_index("measure")["value_usd"]
    assert shares["unmet_share_mean"] == pytest.approx(0.75 * 2 / (2 + 8))
    assert shares["unmet_share_probability"] == 1.0
    assert shares["unmet_share_cvar"] == pytest.approx(shares["unmet_share_mean"])
    cpu = plan_cost(**terms, offers=OFFERS.assign(gpu_model=None).reset_index())
    assert not risk.risk_table(cpu, budget_usd=1e5)["measure"].str.startswith("unmet_share").any()


# --- figures


def test_figures_say_what_they_show():
    from cloudarb_lib.plots import risk as figures

    cost = plan_cost()
    fig = figures.cost_distribution(cost, budget_usd=1e5)
    assert "budget" in fig.layout.title.text
    lines = {line.name: line.x0 for line in fig.layout.shapes}
    at = [cost.total.mean(), risk.var(cost.total).value, risk.cvar(cost.total).value, 1e5]
    assert list(lines.values()) == pytest.approx(at)
    assert list(lines)[3] == "budget $100.0 k"
    by_region = risk.contributions(cost, "region")
    fig = figures.contribution_bars(by_region)
    assert fig.layout.title.text.startswith(by_region.index[0])
    assert sum(fig.data[1].x) == pytest.approx(1.0)
    table = run_stress(*risk.load_scenarios()[:4], risk.StressScenario.of("none", availability=0.0))
    fig = figures.stress_bars(table.reset_index())
    assert fig.layout.title.text.startswith("Demand spike")
    assert list(fig.data[1].x) == sorted(fig.data[1].x)
    fig = figures.contribution_bars(risk.contributions(plan_cost(spread=0.0), "region"))
    assert "no risk" in fig.layout.title.text
    fig = figures.correlation_map(
        np.eye(3), np.eye(3)[[0, 2, 1]], pd.Index(["gcp us", "gcp eu", "aws us"]), "DCC"
    )
    assert fig.layout.title.text.startswith("gcp eu and aws us changed most: from +0.00 to +1.00")
    windows = pd.DataFrame(
        {
            "origin_utc": TIMES,
            "plan": "all",
            "model": "combined",
            "start": 0,
            "expected_usd": 10.0,
            "var_usd": 1.0,
            "cvar_usd": 2.0,
            "loss_usd": [0.0, 1.5, -1.0, 0.5],
            "exceeded": [False, True, False, False],
        }
    )
    more = pd.concat([windows, windows.assign(start=1), windows.assign(model="normal")])
    fig = figures.exceedances(more, "all")
    assert fig.layout.title.text.startswith("All: 1 of 4 windows")
    shown = {trace.name: list(trace.y) for trace in fig.data}
    assert shown == {"inside": [0.0, -10.0, 5.0], "beyond": [15.0], "VaR 95 %": [10.0] * 4}


@pytest.mark.parametrize(
    ("value", "text"), [(1.24e6, "$1.24 M"), (-38100, "-$38.1 k"), (512.4, "$512")]
)
def test_dollars_as_a_person_says_them(value, text):
    from cloudarb_lib.plots.risk import usd

    assert usd(value) == text
