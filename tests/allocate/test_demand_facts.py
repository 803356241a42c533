"""What a demand file says beside needs is read, and mistakes in it are told with their line."""

import pytest

from cloudarb_lib import allocate
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.testing import GOOD, OFFERS, figures

WHOLE = """demand:
  - workload: a
    needs: 8 H100
    team: research
    max_usd_per_gpu_hour: 2.5
    min_on_demand_share: 0.25
    survives_loss_of: region
    max_interruptions_a_week: 1
  - workload: b
    needs: 900 GPU-hours in 3 weeks
    accepts: [H100]
    early: 0.05 USD per GPU-hour and week
commitments:
  - {machine: own/hall/dgx, instances: 2, usd_per_hour: 0, gpus_each: 8 H100}
quotas:
  - {provider: gcp, option: [spot, on_demand], gpus: 64}
prices:
  - {provider: gcp, discount: 0.2}
  - {machine: h8, usd_per_gpu_hour: 2}
teams:
  - {team: research, budget: "50,000 USD a week", priority: 2}
  - {team: other, budget: 9000 USD}
limits: {carbon_kg: 900, terms: [1y]}
"""


def read(tmp_path, text) -> allocate.Demand:
    file = tmp_path / "demand.yaml"
    file.write_text(text)
    return allocate.load_demand(file)


def test_a_whole_file_reads(tmp_path):
    demand = read(tmp_path, WHOLE)
    a, b = demand.workloads
    assert (a.team, a.max_usd_per_gpu_hour, a.survives_loss_of) == ("research", 2.5, "region")
    assert (b.early_usd_per_gpu_hour_week, b.deadline_weeks) == (0.05, 3.0)
    held = allocate.Commitment("own/hall/dgx", 2.0, 0.0, gpus_each=8.0, gpu_model="H100")
    assert demand.commitments == (held,)
    quota = allocate.Quota(provider=("gcp",), option=("spot", "on_demand"), gpus=64.0)
    assert demand.quotas == (quota,)
    assert [price.words for price in demand.prices] == ["gcp", "h8"]
    research, other = demand.teams
    assert research == allocate.Team("research", 50_000.0, budget_weekly=True, priority=2.0)
    assert (other.budget_usd, other.budget_weekly) == (9000.0, False)
    assert (demand.limits.carbon_kg, demand.limits.terms) == (900.0, ("1y",))
    said = allocate.demand_table(demand)["also"].tolist()
    assert said[0] == (
        "at most 2.5 USD per GPU-hour; 25% off spot; survives the loss of a region; "
        "at most 1.0 interruptions a week; of team research"
    )


WORTH = "worth: 2 USD per GPU-hour"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("team: research\n", "team: reserch\n", "line 4: no team 'reserch'.*'research'.*There are"),
        ("team: other", "team: research", "line 22: team 'research' repeats"),
        ("in 3 weeks", "a week", "line 12: early: without a deadline"),
        (
            "max_interruptions_a_week: 1",
            "worth: 2 USD per GPU-hour",
            "line 7: survives_loss_of asks",
        ),
        ("max_interruptions_a_week: 1", "max_interruptions_a_week: -1", "line 8: .* is -1"),
        ("survives_loss_of: region", "survives_loss_of: zones", "line 7: .*did you mean 'zone'"),
        ("0.05 USD per GPU-hour and week", "soon", "line 12: early: 'soon' does not read like"),
        ("gpus_each: 8 H100", "gpus_each: many", "line 14: gpus_each: 'many' does not read like"),
        (", gpus: 64", "", "line 16: gpus is missing"),
        ("gpus: 64", "gpu: H100, gpus: some", "line 16: gpus is 'some'.*a number"),
        ("discount: 0.2", "discount: 1", "line 18: discount is 1"),
        ("discount: 0.2", "discount: 0.2, usd_per_gpu_hour: 2", "line 18: .*one of the two"),
        ("budget: 9000 USD", "budget: 9000 EUR", "line 22: budget: '9000 EUR' does not read"),
        ("priority: 2", "priority: 1.5", "line 21: priority is 1.5"),
        ("carbon_kg: 900", "carbon: 900", "line 23: .*did you mean 'carbon_kg'"),
        ("terms: [1y]", "further: []", "line 23: key 'limits.further' is not known"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, old, new, said):
    assert old in WHOLE
    with pytest.raises(ParameterError, match=said):
        read(tmp_path, WHOLE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("quotas:\n  - {region: us-c, gpus: 8}\n", "demand.yaml, line 5: region us-c names no"),
        ("prices:\n  - {gpu: H1000, discount: 0.1}\n", "line 5: gpu H1000 names no.*'H100'"),
        (
            "commitments:\n  - {machine: gcp/us-a/h8, instances: 1, usd_per_hour: 1}\n"
            "  - {machine: gcp/us-a/h9, instances: 1, usd_per_hour: 1}\n",
            "line 6: no machine 'gcp/us-a/h9' on record.*'gcp/us-a/h8'",
        ),
    ],
)
def test_what_names_no_offer_is_told_with_its_line(tmp_path, more, said):
    demand = read(tmp_path, GOOD + more)
    with (
        pytest.raises(ParameterError, match=said),
        allocate.with_lines_of(tmp_path / "demand.yaml"),
    ):
        allocate.build_problem(demand, OFFERS, assumptions=figures())
