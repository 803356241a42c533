"""A limit of a kind of its own needs no other file: docs/add-a-limit.md, run as it stands."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.testing import OFFERS, plan_for, work

PAGE = Path(__file__).parents[2] / "docs" / "add-a-limit.md"
SINGLE = "aws/us-a//h1/on_demand/"
EIGHT = "gcp/us-a//h8/spot/"
TABLE = OFFERS[OFFERS["offer_id"].isin([SINGLE, EIGHT])]
TABLE = TABLE.assign(price_usd_per_hour=np.where(TABLE["offer_id"] == SINGLE, 1.5, 16.0))
STEADY = {"interruption_per_hour/spot/typical": 0.0}
OPTIONS = allocate.SolveOptions(gap=1e-7)


@pytest.fixture(scope="module")
def page():
    """What the blocks of the page define."""
    text = PAGE.read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    return names


def limited(*limits, amount=16.0, table=TABLE):
    given = allocate.Limits(further=limits)
    return plan_for(work(amount), table=table, limits=given, options=OPTIONS, **STEADY)


@pytest.mark.slow
def test_the_limit_of_the_page_binds_with_unit_and_worth(page):
    """16 GPUs on single ones at 1.50, or eight at a time for 16 USD/h: 9 machines are 8 and 1."""
    free = plan_for(work(16.0), table=TABLE, options=OPTIONS, **STEADY)
    assert free.table.set_index("offer_id")["instances"].to_dict() == {SINGLE: 16.0}
    plan = plan_for(work(16.0), table=TABLE, limits=page["limits"], options=OPTIONS, **STEADY)
    assert plan.table.set_index("offer_id")["instances"].to_dict() == {SINGLE: 8.0, EIGHT: 1.0}
    bound = allocate.binding(plan).set_index("limit").loc["machines in all"]
    assert (bound["used"], bound["available"], bound["unit"]) == (9.0, 9.0, "machine")
    # seven machines more, of one, two, four, eight tried, save one of eight GPUs: 16 USD/h for 12
    assert (bound["step"], bound["worth_is"]) == (8.0, "solved")
    assert bound["worth_usd"] == pytest.approx(4 / 8 * 168)
    # one machine alone has no room for 16
    assert (bound["less_is"], bound["less_usd"]) == ("no plan", pytest.approx(np.nan, nan_ok=True))
    assert "binds: machines in all" in allocate.summary(plan)["fact"].tolist()


def test_the_limit_of_the_page_is_checked(page):
    free = plan_for(work(16.0), table=TABLE, options=OPTIONS, **STEADY)
    under = replace(free.problem, limits=page["limits"])
    assert allocate.check(under, free.counts).broken == ("machines in all: 16 above 9",)
    assert allocate.check(free.problem, free.counts).broken == ()


def test_the_limit_of_the_page_gives_way(page):
    short = limited(page["MaxMachines"](1.0))
    assert short.status == "infeasible"
    reliefs = dict(allocate.reliefs(short.problem))
    sentence = "machines in all 1 is short by 1 (100.0%)"
    assert sentence in reliefs
    relaxed = reliefs[sentence]
    assert relaxed.limits.further == (page["MaxMachines"](2.0),)
    assert allocate.solve(relaxed, OPTIONS).table["offer_id"].tolist() == [EIGHT]
    without = short.problem.limits.further[0].without(short.problem)
    assert allocate.solve(without, OPTIONS).objective_usd == pytest.approx(24 * 168)


@dataclass(frozen=True)
class RegionSpend(allocate.StatedLimit):
    """At most ``bound`` USD of expected spend at a site."""

    site: str = ""

    kind = "region_spend"
    unit = "USD"
    is_risk = True

    def name(self, problem):
        return f"spend in {self.site}"

    def rows(self, problem):
        slots = problem.slots
        lies_there = (slots["provider"] + "/" + slots["region"] == self.site).to_numpy()
        usd = slots["mean_price"].to_numpy(float) * lies_there
        at = np.arange(len(slots))
        name = self.name(problem)
        return [allocate.Row(name, at, usd, upper=self.bound, on_usage=True, kind=self.kind)]


@pytest.mark.slow
def test_several_limits_of_one_kind_over_hours_are_told_apart():
    aws = RegionSpend(11 * 168.0, "aws/us-a")  # seven single GPUs
    gcp = RegionSpend(16 * 168.0 + 1, "gcp/us-a")
    plan = limited(aws, gcp, amount=8.0)
    assert plan.table.set_index("offer_id")["instances"].to_dict() == {EIGHT: 1.0}
    uses = {use.limit: use.used[0] for use in plan.verdict.uses if use.limit.kind == aws.kind}
    assert uses == {aws: 0.0, gcp: pytest.approx(16 * 168)}
    binds = allocate.binding(plan).set_index("limit")
    # an eighth single GPU, which takes 10 % more (16 tried), saves eight at 2 USD for eight at 1.5
    bound = binds.loc["spend in aws/us-a"]
    assert (bound["step"], bound["worth_is"]) == (pytest.approx(0.16 * 11 * 168), "solved")
    assert bound["worth_usd"] == pytest.approx(4 / (0.16 * 11))
    assert "spend in gcp/us-a" not in binds.index
    assert allocate.without_risk_limits(plan.problem).limits.further == ()


def test_a_dearer_offer_is_not_left_out_where_a_limit_weighs_hours():
    """Of two alike in one pool the cheaper would do alone, were its hours not limited."""
    twin = TABLE[TABLE["offer_id"] == SINGLE].assign(
        offer_id="aws/us-a//h1b/on_demand/", price_usd_per_hour=1.6
    )
    cheap = TABLE[TABLE["offer_id"] == SINGLE]
    table = pd.concat([cheap, twin], ignore_index=True)

    @dataclass(frozen=True)
    class HoursOfCheapest(allocate.StatedLimit):
        kind = "hours_of_cheapest"

        def name(self, problem):
            return "hours of the cheapest"

        def rows(self, problem):
            values = (problem.slots["offer_id"] == SINGLE).to_numpy(float)
            at = np.arange(len(values))
            name = self.name(problem)
            return [allocate.Row(name, at, values, upper=self.bound, on_usage=True, kind=self.kind)]

    plan = limited(HoursOfCheapest(3 * 168.0), amount=8.0, table=table)
    instances = plan.table.set_index("offer_id")["instances"].to_dict()
    assert instances == {SINGLE: 3.0, "aws/us-a//h1b/on_demand/": 5.0}


def test_what_is_no_limit_is_refused():
    with pytest.raises(ParameterError, match="further"):
        allocate.Limits(further=(3.0,))
