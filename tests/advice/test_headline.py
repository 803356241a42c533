"""The front page: one cost, what to do this week, and the cases in which that turns."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import advice, allocate
from cloudarb_lib.advice.move import MoveAdvice
from cloudarb_lib.tables.assumptions import load_assumptions
from cloudarb_lib.testing import figures as figures_of_book
from cloudarb_lib.testing import offers, work

AS_OF = pd.Timestamp("2026-04-03", tz="UTC")
ON_DEMAND = "gcp/us-a//a3-highgpu-8g/on_demand/"
SPOT = "gcp/us-a//a3-highgpu-8g/spot/"
PLAN = pd.DataFrame(
    {
        "offer_id": [ON_DEMAND, SPOT, "aws/us-b//p5.48xlarge/spot/"],
        "workload": ["serve", "train", "train"],
        "period": 0,
        "instances": [4.0, 2.0, 1.0],
        "hours": 2184.0,
        "gpus": [32.0, 16.0, 8.0],
        "purchase_option": ["on_demand", "spot", "spot"],
        "expected_cost_usd": [700.0, 200.0, 90.0],
        "observed_at": [AS_OF - pd.Timedelta(days=9), AS_OF, AS_OF],
    }
)
RISK = pd.DataFrame(
    [
        ("expected_cost", np.nan, 1000.0),
        ("budget", np.nan, 1100.0),
        ("probability_over_budget", np.nan, 0.04),
        ("var", 0.95, 50.0),
        ("cvar", 0.95, 80.0),
    ],
    columns=["measure", "level", "value_usd"],
).assign(scope="total", horizon_h=2184.0)
HAZARDS = pd.DataFrame({"hazard": ["typical", "stressed"], "expected_cost_usd": [1000.0, 1300.0]})


def figures(**changes):
    risk = RISK.set_index("measure")
    for measure, value in changes.items():
        risk.loc[measure, "value_usd"] = value
    return advice.headline(
        PLAN, risk.reset_index(), HAZARDS, as_of=AS_OF, assumptions=load_assumptions()
    )


def test_the_headline_has_one_total_and_what_it_can_come_to():
    value = figures().set_index("name")["value"]
    assert value["expected_cost"] == 1000.0
    assert value["week"] == pytest.approx(1000.0 / 13)
    assert value["one_in_twenty"] == 1050.0
    assert value["worst_twentieth"] == 1080.0
    assert value["stressed"] == 1300.0
    assert value["gpus"] == 56.0
    assert value["oldest_price"] == 9.0


def test_the_verdict_names_the_dearest_and_says_on_which_side_of_the_budget_it_is():
    said = advice.in_short(figures(), PLAN, weeks=13)
    assert "4 x a3-highgpu-8g in us-a on demand (GCP)" in said
    assert "within the budget of $1,100" in said
    assert "spot is taken away every 2 days" in said
    assert "over the budget" in advice.in_short(figures(budget=900.0), PLAN, weeks=13)
    table = figures()
    of_today = table.assign(value=table["value"].where(table["name"] != "oldest_price", 0.74))
    assert advice.in_short(of_today, PLAN, weeks=13).endswith("prices up to 1 day old.")
    assert advice.rented_in_words(PLAN, most=1).endswith("and 3 more machines")


def test_of_a_plan_without_spot_nothing_is_said_of_spot():
    on_demand = PLAN[PLAN["purchase_option"] == "on_demand"]
    gone = PLAN.assign(instances=PLAN["instances"].where(PLAN["purchase_option"] != "spot", 0.0))
    for plan in (on_demand, gone):
        said = advice.in_short(figures(), plan, weeks=13)
        assert "spot" not in said
        assert "in doubt are above all whether there is room for so many machines" in said
        assert said.endswith("prices up to 9 days old.")


def moved(saving_usd=50.0, must=()):
    return MoveAdvice(saving_usd > 0, must, 1000.0, 1000.0 - saving_usd, 0.0, 1.0, PLAN, PLAN)


NONE_SOLD = pd.DataFrame({"offer_id": [ON_DEMAND], "term": [""], "pays": [False]})


@pytest.mark.parametrize(
    ("moving", "says"),
    [
        (None, "start the plan"),
        (moved(), "move, which saves $50.00 in 13 weeks"),
        (moved(saving_usd=-1.0), "stay, since no move pays back"),
        (moved(must=("gone",)), "move, as what runs now cannot go on"),
    ],
)
def test_move_stay_or_start(moving, says):
    assert says in advice.this_week(moving, NONE_SOLD, weeks=13)


def machine_offer(region, option, term, usd_per_hour):
    return {
        "offer_id": f"gcp/{region}//a3-highgpu-8g/{option}/{term}",
        "provider": "gcp",
        "region": region,
        "instance_type": "a3-highgpu-8g",
        "purchase_option": option,
        "term": term,
        "price_usd_per_hour": usd_per_hour,
    }


OFFERS = pd.DataFrame(
    [
        machine_offer("us-a", "on_demand", "", 80.0),
        machine_offer("us-a", "reserved", "1y", 8.0),
        machine_offer("us-a", "reserved", "3y", 40.0),
        machine_offer("us-b", "reserved", "1y", 1.0),
    ]
)


def test_commitments_are_those_of_the_machine_that_is_rented_on_demand():
    found = advice.commitments_for(PLAN, OFFERS, weeks=13).set_index("term")
    assert found["committed_usd_per_hour"].to_dict() == {"1y": 8.0, "3y": 40.0}
    assert found["break_even_weeks"].to_dict() == pytest.approx({"1y": 5.2, "3y": 78.0})
    assert found["saving_usd_per_week"]["1y"] == pytest.approx(4 * 72.0 * 168)
    assert found["pays"].to_dict() == {"1y": True, "3y": False}


@pytest.mark.parametrize(
    ("offers", "says"),
    [
        (OFFERS, "commit to a3-highgpu-8g in us-a (GCP) for 1 year"),
        (OFFERS[OFFERS["term"] != "1y"], "wait with commitments"),
        (OFFERS[:1], "no commitment is on record"),
        (OFFERS[1:], "nothing is rented on demand"),
    ],
)
def test_commit_or_wait(offers, says):
    commitments = advice.commitments_for(PLAN, offers, weeks=13)
    assert says in advice.this_week(None, commitments, weeks=13)


def test_first_steps_secure_what_cannot_be_interrupted_before_spot():
    runners_up = pd.DataFrame(
        {
            "workload": ["serve", "train"],
            "pool": ["gcp/us-a/on_demand/H100", "gcp/us-a/spot/H100"],
            "runner_up": ["aws/us-b/on_demand/H100", "none within the limits"],
            "extra_usd": [731.0, np.nan],
            "extra_is": ["at most", "no plan"],
        }
    )
    steps = advice.first_steps(PLAN, runners_up, again=AS_OF + pd.Timedelta(days=7)).split("\n")
    assert [step[:2] for step in steps] == ["1.", "2.", "3.", "4."]
    assert "4 x a3-highgpu-8g in us-a on demand (GCP) for serve ($700)" in steps[0]
    assert "spot" in steps[1]
    assert "take H100 on demand in us-b (AWS): at most $731 more" in steps[2]
    assert "9 Apr 2026" in steps[3]


@pytest.mark.solver
def test_a_provider_is_worth_what_leaving_it_out_costs():
    table = offers(
        ("gcp", "us-a", "h8", "on_demand", "H100", 8.0, 8.0),
        ("aws", "us-b", "h8", "on_demand", "H100", 8.0, 10.0),
    )
    terms = {"assumptions": figures_of_book(), "hours": 168.0}
    demand = allocate.Demand([work(8)])
    plan = allocate.solve(allocate.build_problem(demand, table, **terms)).table
    values = advice.provider_values(demand, table, plan, **terms).set_index("provider")
    assert values.loc["gcp", "without_usd"] == pytest.approx(values.loc["aws", "alone_usd"])
    assert values.loc["gcp", "without_extra_usd"] == pytest.approx(2 * 168.0)
    assert values.loc["aws", "without_extra_usd"] == pytest.approx(0.0)
    under_quota = allocate.Demand([work(8)], quotas=(allocate.Quota(provider=("gcp",), gpus=16.0),))
    same = advice.provider_values(under_quota, table, plan, **terms).set_index("provider")
    np.testing.assert_array_equal(same, values)
    lacking = advice.provider_values(demand, table.assign(gpu_model=["H100", "L4"]), plan, **terms)
    assert np.isnan(lacking.set_index("provider").loc["aws", "alone_usd"])
