"""A plan whose time is over is judged by the prices that came, and only by those."""

import pandas as pd
import pytest

from pipelines.observe.breaches import outcomes
from pipelines.observe.metrics import Observed, text
from pipelines.serve import testing
from pipelines.testing import past_run

pytestmark = pytest.mark.slow

WEEK_H = 168.0
AS_OF = "2026-04-21"
"""The week from then on has six days at 20 USD/h, and one at 24."""
PLAN = pd.DataFrame(
    {
        "offer_id": [testing.SPOT, "gcp/us-east4//a3-highgpu-8g/reserved/1y"],
        "workload": "train",
        "expected_cost_usd": [10_010.0, 500.0],
        "fees_usd": [10.0, 0.0],
    }
)
RISK = pd.DataFrame(
    {
        "measure": ["var", "var"],
        "level": [0.8, 0.95],
        "horizon_h": WEEK_H,
        "value_usd": [200.0, 300.0],
        "scope": "total",
    }
)
PATHS = pd.DataFrame({"offer_id": testing.SPOT, "path": [0, 1], "price_usd_per_hour": [19.0, 21.0]})
TABLES = {"plan": PLAN, "risk": RISK, "paths": PATHS}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ended")
    testing.write_store(folder)
    testing.add_price(folder, "us-east4", 30.0)  # seen when the week is over
    return folder


def ended(place, reports, **changes):
    given = {"as_of": AS_OF, **changes}
    past_run(reports, f"weekly-{given['as_of']}-1", "2026-04-22T00:00:00+00:00", TABLES, **given)
    return outcomes(place / "store", reports, "weekly")


def test_rent_that_rose_by_more_than_var_is_a_breach(place, tmp_path):
    lower, higher = ended(place, tmp_path)
    assert lower.loss_usd == higher.loss_usd == pytest.approx(10_000 * (4 / 7) / 20)
    assert (lower.level, lower.var_usd) == (0.8, 200.0)
    told = text(Observed(place / "store", tmp_path))
    assert 'cloudarb_var_breaches{configuration="weekly",level="0.8"} 1.0' in told
    assert 'cloudarb_var_breaches{configuration="weekly",level="0.95"} 0.0' in told
    assert 'cloudarb_var_plans_ended{configuration="weekly",level="0.95"} 1.0' in told


def test_a_plan_whose_time_is_not_over_is_not_judged(place, tmp_path):
    assert ended(place, tmp_path, as_of="2026-04-23") == []
    assert "var_breaches" not in text(Observed(place / "store", tmp_path))


def test_a_price_that_nobody_saw_judges_nothing(place, tmp_path):
    stranger = PLAN.head(1).assign(offer_id="aws/nowhere//p5.48xlarge/spot/")
    tables = TABLES | {"plan": stranger}
    past_run(tmp_path, "weekly-9", "2026-04-22T00:00:00+00:00", tables, as_of=AS_OF)
    assert outcomes(place / "store", tmp_path, "weekly") == []


def test_of_runs_as_of_one_day_the_newest_counts_and_failed_ones_do_not(place, tmp_path):
    ended(place, tmp_path)
    past_run(tmp_path, "weekly-b", "2026-04-22T01:00:00+00:00", TABLES, as_of=AS_OF)
    later = "2026-04-23T00:00:00+00:00"
    past_run(tmp_path, "weekly-c", later, TABLES, as_of=AS_OF, status="failed")
    found = outcomes(place / "store", tmp_path, "weekly")
    assert {outcome.run_id for outcome in found} == {"weekly-b"}


def test_without_a_store_nothing_is_known(tmp_path):
    assert outcomes(tmp_path / "store", tmp_path, "weekly") == []
