"""Runs beside each other: the last one of a configuration, what changed since, and by what."""

import json
import re

import pandas as pd
import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.tables.run_tables import save_table
from pipelines import cli
from pipelines.report import differences, pages, runs
from pipelines.testing import a_manifest

HERE = "gcp/us-a//h8/on_demand/"
THERE = "aws/us-b//p5/on_demand/"


def save_run(reports, run_id, *, day, usd, machines, prices, **changes):
    """A run that rents ``machines`` by offer at ``prices``, and expects to pay ``usd``."""
    run = a_manifest(run_id=run_id, as_of=day, started_at=f"{day}T10:00:00+00:00", **changes)
    (reports / run_id).mkdir()
    (reports / run_id / "manifest.json").write_text(json.dumps(run))
    figures = pd.DataFrame(
        [
            ("expected_cost", "expected total cost", usd, "USD"),
            ("over_budget", "over budget", 0.04, "share"),
        ],
        columns=["name", "meaning", "value", "unit"],
    )
    save_table(figures, "headline", reports / run_id)
    plan = pd.DataFrame({"offer_id": list(machines), "instances": list(machines.values())})
    plan = plan.assign(workload="w", period=0, hours=100.0)
    offers = pd.DataFrame({"offer_id": list(prices), "price_usd_per_hour": list(prices.values())})
    for name, table in (("plan", plan), ("offers", offers)):
        table.to_parquet(reports / run_id / "tables" / f"{name}.parquet")
    return run


@pytest.fixture
def reports(tmp_path, monkeypatch):
    # The tables here are smaller than a run's.
    monkeypatch.setattr("cloudarb_lib.tables.run_tables.RUN_TABLES", {})
    prices = {HERE: 10.0, THERE: 12.0}
    machines = {HERE: 2.0}
    save_run(tmp_path, "w-1", day="2026-04-02", usd=2500.0, machines=machines, prices=prices)
    later = {HERE: 11.0, THERE: 9.0}
    save_run(tmp_path, "w-2", day="2026-04-09", usd=2350.0, machines={THERE: 2.0}, prices=later)
    return tmp_path


def test_the_last_run_is_of_the_same_configuration_and_succeeded(reports):
    now = runs.find_run(reports, "w-2")
    assert runs.run_before(now, reports)["run_id"] == "w-1"
    assert runs.run_before(runs.find_run(reports, "w-1"), reports) is None
    other = {"day": "2026-04-08", "usd": 1.0, "machines": {HERE: 1.0}, "prices": {HERE: 1.0}}
    save_run(reports, "x-1", title="Another", **other)
    save_run(reports, "w-f", status="failed", **other)
    assert runs.run_before(now, reports)["run_id"] == "w-1"
    with pytest.raises(ParameterError, match=r"no run 'w-3' .*did you mean"):
        runs.find_run(reports, "w-3")


def test_a_run_of_a_set_follows_the_last_one_of_its_own_values(reports):
    usual = {"usd": 1.0, "machines": {HERE: 1.0}, "prices": {HERE: 1.0}}
    save_run(reports, "s-1", day="2026-04-01", title="Weekly (seed 1)", **usual)
    save_run(reports, "s-2", day="2026-04-02", title="Weekly (seed 2)", **usual)
    save_run(reports, "s-3", day="2026-04-09", title="Weekly (seed 1)", **usual)
    now = runs.find_run(reports, "s-3")
    assert runs.run_before(now, reports)["run_id"] == "s-1"
    (reports / "s-1" / "manifest.json").unlink()
    assert runs.run_before(now, reports) is None


def test_a_run_on_old_prices_says_what_it_would_need_to_be_of_today():
    assert runs.age_in_words(a_manifest(as_of="2026-04-29")) == ""
    said = runs.age_in_words(a_manifest(as_of="2026-04-01"))
    assert "30 days before the run" in said
    assert said.endswith("then cloudarb run CONFIG.yaml --set as_of=latest.")
    of_the_latest = a_manifest(as_of="2026-04-01") | {"as_of_asked": "latest"}
    assert runs.age_in_words(of_the_latest).endswith("(or ingest), then run again.")


def test_figures_tell_their_change(reports):
    tables = [runs.headline(runs.find_run(reports, name), reports) for name in ("w-2", "w-1")]
    cost, over = runs.figures(*tables)
    assert (cost.text, cost.change) == ("$2,350", "-$150")
    assert (over.text, over.change) == ("4 %", "unchanged")
    assert runs.figures(tables[0], tables[1].iloc[:0])[0].change == ""


def test_a_change_is_split_into_prices_machines_and_the_rest(reports):
    before, after = (runs.find_run(reports, name) for name in ("w-1", "w-2"))
    found = differences.compare(before, after, reports)
    by_prices, by_machines, rest = found.parts.values()
    assert by_prices == pytest.approx(2 * 100 * 1.0)
    assert by_machines == pytest.approx(2 * 100 * (9.0 - 11.0))
    assert by_prices + by_machines + rest == pytest.approx(2350.0 - 2500.0)
    said = "\n".join(differences.in_words(found))
    assert "prices: known at 2026-04-02, then at 2026-04-09" in said
    assert "so what changed is by prices alone" in said
    assert "w: 2 -> 0 x h8 in us-a on demand (GCP)" in said
    assert found.figures["change"].tolist() == ["-$150"]


def test_a_run_without_a_plan_is_not_like_another(reports):
    other = {"day": "2026-04-08", "usd": 1.0, "machines": {HERE: 1.0}, "prices": {HERE: 1.0}}
    save_run(reports, "w-f", status="failed", **other)
    (reports / "w-f" / "tables" / "plan.parquet").unlink()
    before, after = (runs.find_run(reports, name) for name in ("w-f", "w-1"))
    before["notebooks"] = {"03_allocate": {"error": "no plan keeps every limit."}}
    said = differences.in_words(differences.compare(before, after, reports))
    assert "w-f has no plan: no plan keeps every limit." in said
    assert "the plan is the same" not in said
    save_run(reports, "w-k", status="running", **other)
    (reports / "w-k" / "tables" / "plan.parquet").unlink()
    killed = differences.compare(after, runs.find_run(reports, "w-k"), reports)
    assert "w-k has no plan: stopped" in differences.in_words(killed)
    twice = differences.in_words(differences.compare(after, after, reports))
    assert "the plan is the same" in twice


@pytest.mark.parametrize(
    ("change", "cause", "says"),
    [
        ({"snapshot": "fedcba9876"}, "data", "snapshot abcdef01, then fedcba98"),
        ({"config": {"seed": 8}}, "parameters", "seed 7, then 8"),
        ({"library": "other"}, "code", "library"),
        ({"figures": "other"}, "code", "assumptions"),
        ({"notebooks": {"05_summary": {"demand": "other"}}}, "demand", "demand file"),
        ({}, None, "nothing that a run rests on differs"),
    ],
)
def test_each_cause_is_named(reports, change, cause, says):
    before = runs.find_run(reports, "w-1")
    before["config"] = {"seed": 7}
    before["notebooks"] = {"05_summary": {"demand": "one"}}
    found = differences.compare(before, {**before, **change}, reports)
    assert set(found.causes) == ({cause} if cause else set())
    assert says in "\n".join(differences.in_words(found))


def test_the_command_tells_the_same(reports, capsys):
    assert cli.main(["report", "diff", "w-1", "w-2", "--reports", str(reports)]) == 0
    said = capsys.readouterr().out
    assert "-$150" in said
    assert "other machines" in said
    assert cli.main(["report", "diff", "w-1", "w-9", "--reports", str(reports)]) == 2
    assert "no run 'w-9'" in capsys.readouterr().err


def test_the_list_has_headline_figures_and_a_line_of_past_costs(reports):
    pages.write_index(reports)
    text = (reports / "index.html").read_text()
    rows = text.split("<tr ")[1:]
    assert "$2,350" in rows[0]
    assert "<svg" in rows[0]
    assert "$2,500" in rows[1]
    assert "<svg" not in rows[1], "one run makes no line"
    assert runs.sparkline([1.0]) == ""
    of_a_cent, of_half = (
        [float(point.split(",")[1]) for point in re.search(r'points="([^"]+)"', line)[1].split()]
        for line in (runs.sparkline([100.0, 100.1]), runs.sparkline([100.0, 50.0]))
    )
    assert abs(of_a_cent[0] - of_a_cent[1]) < 1.0  # a thousandth looks flat
    assert abs(of_half[0] - of_half[1]) > 10.0
