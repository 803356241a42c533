"""Demands that a planner wrote, each planned or refused with its line on the offers of a day."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import allocate, store
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.units import HOURS_PER_WEEK, parse_as_of
from cloudarb_lib.market import read_market
from cloudarb_lib.tables.assumptions import load_assumptions

pytestmark = pytest.mark.solver
CASES = Path(__file__).parent / "cases"
HOURS = 13 * HOURS_PER_WEEK
TO_A_THOUSANDTH = allocate.SolveOptions(gap=1e-3)


@pytest.fixture(scope="module")
def offers() -> pd.DataFrame:
    with store.open_snapshot() as snapshot:
        as_of = parse_as_of("2026-04-29")
        return read_market(snapshot, as_of, providers=None, stale_after_days=14).offers


def problem_of(file: Path, offers: pd.DataFrame, **given) -> allocate.Problem:
    with allocate.with_lines_of(file):
        demand = allocate.load_demand(file)
        hours = allocate.hours_of_periods(demand, HOURS)
        return allocate.build_problem(
            demand, offers, assumptions=load_assumptions(), hours=hours, **given
        )


def planned(name: str, offers: pd.DataFrame, **given) -> pd.DataFrame:
    plan = allocate.solve(problem_of(CASES / name, offers, **given), TO_A_THOUSANDTH)
    assert plan.status in ("optimal", "within_gap")
    return plan.table


def regions(table: pd.DataFrame) -> set[str]:
    return set(table["provider"] + "/" + table["region"])


@pytest.mark.parametrize("name", ["01-gang-said.yaml", "12-gang-mixed.yaml"])
def test_a_training_job_that_stays_together_stands_in_one_region(name, offers):
    table = planned(name, offers)
    assert len(regions(table)) == 1
    assert table["gpus"].sum() == 64


def test_a_reservation_is_used_first(offers):
    table = planned("04-reservations.yaml", offers).set_index("offer_id")
    assert table.loc["gcp/us-central1//a3-highgpu-8g/reserved/held", "instances"] == 6
    assert table["gpus"].sum() == 64


def test_a_reservation_whose_price_is_stale_is_used_first(offers):
    problem = problem_of(CASES / "14-held-aws.yaml", offers)
    assert "p5.48xlarge is held: no price of it is on offer" in " ".join(problem.notes)
    table = allocate.solve(problem).table.set_index("offer_id")
    assert table.loc["aws/us-east-1//p5.48xlarge/reserved/held", "instances"] == 2


def test_work_with_a_deadline_is_done_in_its_weeks(offers):
    table = planned("03-deadline.yaml", offers)
    assert set(table["period"]) == {0}
    assert table["hours"].to_numpy() == pytest.approx(4 * HOURS_PER_WEEK)


def test_a_need_that_is_uncertain_is_planned_in_each_future(offers):
    gpus = planned("05-commit.yaml", offers).groupby("scenario")["gpus"].sum()
    assert gpus.to_dict() == {"high": 96, "low": 16}
    assert planned("05b-commit-certain.yaml", offers)["gpus"].sum() == 64


def test_what_is_worth_less_is_left_undone_where_it_costs_more(offers):
    gpus = planned("06-teams.yaml", offers).groupby("workload")["gpus"].sum()
    assert gpus["team-a"] == 48
    assert gpus["team-b"] < 48


def test_data_keeps_work_near_or_is_paid_for(offers):
    assert planned("07-gravity.yaml", offers)["gpus"].sum() == 16


def test_a_price_cap_leaves_dear_offers_out(offers):
    table = planned("08-pricecap.yaml", offers)
    price = offers.set_index("offer_id")["price_usd_per_gpu_hour"]
    assert (table["offer_id"].map(price) <= 2.0).all()


def test_a_quota_caps_all_that_it_names(offers):
    problem = problem_of(CASES / "10-quota.yaml", offers)
    details = problem.assignment_details
    there = details["offer_id"].astype(str).str.startswith("gcp/us-central1//a3-highgpu-8g/spot")
    verdict = allocate.check(problem, np.where(there, 4.0, 0.0))
    assert "quota of gcp/us-central1 H100: 32 above 16" in verdict.broken


def test_a_small_need_takes_small_machines(offers):
    assert planned("11-one-hour.yaml", offers)["instances"].sum() == 3
    assert set(planned("16-spot-only.yaml", offers)["purchase_option"]) == {"spot"}


def test_periods_follow_from_the_demand(offers, tmp_path):
    text = (CASES / "13-deadline-capacity.yaml").read_text()
    file = tmp_path / "demand.yaml"
    file.write_text(text.replace("us-west2", "us-west4").replace("later", "second"))
    plan = allocate.solve(problem_of(file, offers))
    gpus = plan.table.groupby(["workload", "period"])["gpus"].sum()
    assert gpus["second"].to_dict() == dict.fromkeys(range(4, 13), 32)
    assert set(gpus["sprint"].index) == {0, 1, 2, 3}


def test_what_lies_in_one_country_stays_there(offers):
    table = planned("20-us-only.yaml", offers)
    assert all("us-" in region for region in table["region"])
    assert table.groupby("workload")["region"].nunique()["train-llm"] == 1


REFUSED = {
    "01-gang.yaml": r"01-gang.yaml, line 9: key 'same_region' is not known\. .*together",
    "02-inference.yaml": (
        r"02-inference.yaml, line 11: .*40 ms to gcp/asia-northeast1: 0 left "
        r"\(gcp/asia-southeast1 is at 82 ms\)"
    ),
    "09-exclude.yaml": r"line 9: .*provider azure, aws: 0 left \(there are gcp\)",
    "13-deadline-capacity.yaml": r"line 7: .*region us-west2: 0 left \(did you mean 'us-west4'\?\)",
    "bad/b1.yaml": r"b1.yaml, line 3: .*GPU model H1000: 0 left \(did you mean 'H100'\?\)",
    "bad/b2.yaml": r"line 4: .*region us-central-1: 0 left \(did you mean 'us-central1'\?\)",
    "bad/b3.yaml": r"line 3: needs: 64 does not read like '64 H100' or '4000 GPU-hours a week'",
    "bad/b4.yaml": r"line 2: accepts is missing",
    "bad/b5.yaml": r"line 5: options is 'spot'.*Write a list",
    "bad/b6.yaml": r"line 4: accepts leaves out H100, of which needs tells the number.*H100: 1\.0",
    "bad/b7.yaml": r"line 4: .*provider amazon: 0 left \(there are gcp\)",
    "bad/b8.yaml": r"line 4: data: '500 TB in gcp/us-east4' does not read like '500 GB a week",
    "bad/b9.yaml": r"line 4: .*no region 'gcp/us-eest4' \(did you mean 'gcp/us-",
    "bad/b10.yaml": r"line 4: probabilities of the scenarios add up to 0.6, not 1",
    "bad/b12.yaml": r"line 4: .*purchase spot: 76 left; not interruptible: no spot: 0 left",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_told_with_its_line(name, offers):
    with pytest.raises(ParameterError, match=REFUSED[name]):
        problem_of(CASES / name, offers)


def test_a_need_beyond_capacity_is_told_with_the_least_that_mends_it(offers):
    said = allocate.conflicts(problem_of(CASES / "bad/b11.yaml", offers))
    short = "capacity of gcp/us-central1/on_demand/H100 128 is short by 1,840"
    assert f"{short} (15.4 times as much is needed)" in said


def test_every_case_is_tried():
    here = Path(__file__)
    tried = here.read_text() + here.with_name("test_explanations.py").read_text()
    for file in CASES.rglob("*.yaml"):
        assert file.relative_to(CASES).with_suffix("").as_posix() in tried
