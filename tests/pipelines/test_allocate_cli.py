"""``cloudarb allocate``: the plan printed, its files, and honest exit codes."""

import os
import re
import signal
import sys
from dataclasses import replace
from unittest.mock import patch

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

from cloudarb_lib import allocate as library
from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import SolveError
from cloudarb_lib.tables.assumptions import HAZARD_PRESETS
from cloudarb_lib.tables.validation import validate
from pipelines import cli
from pipelines.cli import allocate
from pipelines.exit_codes import INFEASIBLE
from pipelines.testing import SKYPILOT_TASK

pytestmark = pytest.mark.solver

DEMAND = (
    "demand:\n  - workload: train\n    needs: 64 H100\n    interruptible: yes\n    in: [europe-*]\n"
)


def run(tmp_path, *more, demand=DEMAND):
    file = tmp_path / "demand.yaml"
    file.write_text(demand)
    given = ["allocate", str(file), "--as-of", "2026-04-29", "--out", str(tmp_path / "out")]
    return cli.main([*given, "--paths", "history", "--n-paths", "40", *more])


def test_every_hazard_preset_that_risk_knows_can_be_asked_for(tmp_path):
    assert run(tmp_path, "--hazard", "trace-calibrated") == 0
    used = pd.read_parquet(tmp_path / "out/tables/assumptions.parquet").set_index("name")["value"]
    assert used["interruption_per_hour/spot/trace"] == 0.45


def test_a_demand_that_nothing_serves_is_refused_before_prices_are_forecast(tmp_path, capsys):
    with patch("cloudarb_lib.advice.sample_paths") as forecast:
        assert run(tmp_path, demand=DEMAND.replace("europe-*", "moon-*")) == 2
    forecast.assert_not_called()
    assert "no offer fits workload 'train'" in capsys.readouterr().err


DEFAULTS = {
    "--paths": "forecast",
    "--providers": "all fresh",
    "--terms": "none",
    "--frontier": None,
    "--freq": "7D",
    "--horizon-steps": "13",
    "--periods": "as the demand asks",
    "--last-plan": None,
    "--scenario": "the likeliest",
    "--n-paths": "500",
    "--stale-after-days": "14",
    "--listed-too": None,
    "--seed": "7",
    "--store": "data/store",
    "--work-limit": "60.0",
    "--time-limit": "600.0",
    "--gap": "0.0001",
    "--var": None,
    "--budget": None,
    "--cvar": None,
    "--cvar-level": "0.95",
    "--effective-providers": None,
    "--diversify": "provider",
    "--max-provider-share": None,
    "--max-region-share": None,
    "--min-on-demand-share": None,
    "--min-commitment-use": None,
    "--carbon-kg": None,
    "--carbon-usd-per-tonne": None,
    "--hazard": "typical",
}
"""Every option, and what holds without it (None: nothing)."""


def test_help_names_every_option_and_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert cli.main(["allocate", "--help"]) == 0
    told = capsys.readouterr().out
    entries = {}
    for entry in told.partition("Options:")[2].split("\n  --")[1:]:
        option, _, text = entry.partition(" ")
        entries[f"--{option}"] = " ".join(text.split("\n  -")[0].split())
    for option in ("--as-of", "--out"):
        assert entries.pop(option).endswith("[required]")
    defaults = {
        option: text.partition("[default: ")[2].removesuffix("]") or None
        for option, text in entries.items()
    }
    assert defaults == DEFAULTS
    assert all(preset in entries["--hazard"] for preset in HAZARD_PRESETS)


def test_the_terms_told_as_defaults_are_those_that_hold():
    limits = library.Limits()
    assert str(limits.cvar_level) == DEFAULTS["--cvar-level"]
    assert limits.diversify == DEFAULTS["--diversify"]
    assert limits.hazard == DEFAULTS["--hazard"]


def test_a_plan_is_printed_and_written(tmp_path, capsys):
    assert run(tmp_path, "--budget", "250000", "--cvar", "250000") == 0
    said, told = capsys.readouterr()
    assert "s: a plan of" in told
    for word in (
        "status: optimal",
        "proven bound:",
        "gap:",
        "CVaR 0.95",
        "VaR 0.95",
        "binds: capacity of",
    ):
        assert word in said
    out = tmp_path / "out"
    plan = validate(pd.read_parquet(out / "tables" / "plan.parquet"), "plan")
    assert plan["gpus"].sum() == 64
    assert len(pd.read_csv(out / "plan.csv")) == len(plan)
    tasks = [yaml.safe_load(file.read_text()) for file in sorted((out / "sky").glob("*.yaml"))]
    assert sum(task["num_nodes"] for task in tasks) == plan["instances"].sum()
    for task in tasks:
        jsonschema.validate(task, SKYPILOT_TASK)
        for place in task["resources"]["any_of"]:
            assert place["infra"].startswith("gcp/europe-")
            assert place["accelerators"] in ("H100:4", "H100:8")
    assert "\nplan runners up:\n" in said
    assert "frontier" not in said
    assert len(pd.read_parquet(out / "tables" / "plan_runners_up.parquet")) == 1


def test_var_is_held_on_request_and_has_its_price(tmp_path, capsys):
    assert run(tmp_path) == 0
    said = capsys.readouterr().out
    assert "price of safety" not in said
    var = float(said.split("VaR 0.95: ")[-1].split(" ")[0].replace(",", ""))
    assert run(tmp_path, "--var", str(1.01 * var)) == 0
    assert "price of safety: 0.00 USD" in capsys.readouterr().out
    assert run(tmp_path, "--var", str(0.1 * var)) == 5
    assert "no plan with VaR 0.95 up to" in capsys.readouterr().err


@pytest.mark.long
def test_an_even_spread_has_its_price(tmp_path, capsys):
    assert run(tmp_path, "--diversify", "region", "--effective-providers", "3") == 0
    said = capsys.readouterr().out
    price = re.search(r"price of safety: (?:at \w+ )?([\d,.]+) USD", said)
    assert float(price[1].replace(",", "")) > 0


def test_commitments_held_and_carbon_are_taken_into_account(tmp_path, capsys):
    held = (
        "commitments:\n"
        "  - machine: gcp/us-central1/a3-highgpu-8g\n"
        "    instances: 3\n"
        "    usd_per_hour: 55\n"
    )
    assert run(tmp_path, "--carbon-usd-per-tonne", "80", demand=DEMAND + held) == 0
    said = capsys.readouterr().out
    assert "idle commitment gcp/us-central1//a3-highgpu-8g/reserved/held" in " ".join(said.split())
    kg = float(said.split("\ncarbon: ")[1].split(" kgCO2e")[0].replace(",", ""))
    charged = float(said.split("\ncharges: ")[1].split(" USD")[0].replace(",", ""))
    assert charged == pytest.approx(kg * 0.08, abs=0.01)
    assert run(tmp_path, "--carbon-kg", str(kg / 1e3)) == INFEASIBLE
    assert f"carbon {kg / 1e3:,.6g} is short by" in capsys.readouterr().out


@pytest.mark.long
def test_periods_and_futures_are_planned_together(tmp_path, capsys):
    futures = (locations.data() / "demand_futures.yaml").read_text()
    assert run(tmp_path, "--periods", "2", "--terms", "1y", demand=futures) == 0
    plan = validate(pd.read_parquet(tmp_path / "out" / "tables" / "plan.parquet"), "plan")
    gpus = (
        plan[~plan["workload"].str.startswith("idle")].groupby(["workload", "period"])["gpus"].sum()
    )
    train = {key: held for key, held in gpus.items() if key[0].startswith("train")}
    assert train == {
        ("train-llm in base", 0): 32,
        ("train-llm in base", 1): 64,
        ("train-llm in surge", 0): 48,
        ("train-llm in surge", 1): 96,
    }
    committed = (
        plan[plan["purchase_option"] == "reserved"].groupby(["scenario", "period"])["gpus"].sum()
    )
    assert committed.nunique() == 1, "the same whatever comes"
    assert committed.iloc[0] >= 48
    said = capsys.readouterr().out
    assert "status: " in said
    assert "a set of tasks for each scenario" in said


def test_no_plan_has_its_own_code_and_says_the_least_change(tmp_path, capsys):
    assert run(tmp_path, "--budget", "1000") == INFEASIBLE
    said = capsys.readouterr().out
    assert "budget $1,000 is short by" in said
    assert not (tmp_path / "out" / "plan.csv").exists()


@pytest.mark.parametrize(
    ("more", "demand", "said"),
    [
        (["--budget", "-1"], DEMAND, "budget_usd is -1"),
        (["--periods", "0"], DEMAND, "must be 1 or more"),
        (["--var", "0"], DEMAND, "VaR cannot be held at 0 USD"),
        (["--horizon-steps", "0"], DEMAND, "must be 1 or more"),
        (
            [],
            DEMAND + "    intrruptible: yes\n",
            "line 6: key 'intrruptible' is not known (did you mean 'interruptible'?)",
        ),
        ([], DEMAND.replace("europe-*", "mars-*"), "region mars-*: 0 left"),
        ([], DEMAND.replace("H100", "H999"), "GPU model H999"),
        (["--seed", "-1"], DEMAND, "--seed not below 0"),
        (
            ["--providers", "gpc"],
            DEMAND,
            "nothing is recorded of provider 'gpc' by 2026-04-29 (did you mean 'gcp'?)",
        ),
        (["--as-of", "2030-01-01"], DEMAND, "fresh on 2030-01-01: the last look is of 2026-04-30"),
        (["--as-of", "2010-01-01"], DEMAND, "fresh on 2010-01-01: the first look is later"),
        (["--out", __file__], DEMAND, "test_allocate_cli.py is a file. Way out: Name a folder"),
        (["--cvar-level", "95"], DEMAND, "cvar_level is 95"),
        (["--gap", "5"], DEMAND, "gap is 5"),
        (["--budget", "nan"], DEMAND, "budget_usd is nan"),
        (["--store", "/nowhere"], DEMAND, "no store at /nowhere"),
        (["--hazard", "mild"], DEMAND, "hazard is 'mild'"),
        (["--terms", "1y", "5y"], DEMAND, "terms is '5y'"),
        (["--paths", "guess"], DEMAND, "'guess' is not one of 'forecast', 'history'"),
    ],
)
def test_a_mistake_ends_with_code_2_and_a_sentence(tmp_path, capsys, more, demand, said):
    assert run(tmp_path, *more, demand=demand) == (4 if "--store" in more else 2)
    assert said in capsys.readouterr().err


def test_no_time_is_no_proof(tmp_path, capsys):
    assert run(tmp_path, "--time-limit", "0.001") == 5
    assert (
        "no plan was found in 0 s (time limit without plan), which is no proof that there is none"
        in (capsys.readouterr().err)
    )
    assert not (tmp_path / "out").exists()


def test_a_failing_solver_is_told_as_such(tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise SolveError("the solver crashed.", "Try another solver.")

    monkeypatch.setattr("cloudarb_lib.allocate.solve_by_priority", fail)
    assert run(tmp_path) == 5
    assert "the solver crashed" in capsys.readouterr().err


def test_an_interrupted_search_keeps_its_plan_and_explains_no_further(
    tmp_path, capsys, monkeypatch
):
    search = library.solve
    monkeypatch.setattr(
        "cloudarb_lib.allocate.solve_by_priority",
        lambda *a: replace(search(*a), status="interrupted"),
    )
    monkeypatch.setattr("cloudarb_lib.allocate.runners_up", lambda plan: pytest.fail("solved on"))
    assert run(tmp_path, "--effective-providers", "1") == 0
    said = capsys.readouterr().out
    assert "status: interrupted" in said
    assert "price of safety" not in said
    assert len(pd.read_csv(tmp_path / "out" / "plan.csv"))


def test_ctrl_c_in_mid_solve_gives_the_best_plan_so_far(tmp_path, capsys, monkeypatch):
    told = []

    def stop(plan):
        told.append(plan)
        if plan.has_plan:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(allocate, "print_progress", stop)
    more = (
        "--gap",
        "0",
        "--work-limit",
        "300",
        "--diversify",
        "region",
        "--effective-providers",
        "2.0",
    )
    assert run(tmp_path, *more) == 0
    said = capsys.readouterr().out
    assert "status: interrupted" in said
    assert float(said.split("\ngap: ")[1].split("%")[0]) > 0
    assert pd.read_csv(tmp_path / "out" / "plan.csv")["gpus"].sum() >= 64
    assert not (tmp_path / "out" / "tables" / "plan_runners_up.parquet").exists()
    assert told


def test_what_explained_an_older_plan_goes_and_other_files_stay(tmp_path, monkeypatch):
    assert run(tmp_path) == 0
    tables = tmp_path / "out" / "tables"
    for name in ("frontier_cvar_usd.parquet", "plan_binding.parquet"):
        (tables / name).write_text("old")
    (tmp_path / "out" / "sky" / "old-1.yaml").write_text("name: old\n")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloudarb_lib.allocate.runners_up", stop)
    assert run(tmp_path) == 130
    assert sorted(p.name for p in tables.iterdir()) == [
        "offer_states.parquet",
        "plan.parquet",
        "plan_binding.parquet",
    ]
    assert sorted(p.name for p in (tmp_path / "out" / "sky").iterdir()) == [
        "train-1.yaml",
        "train-2.yaml",
    ]


def test_what_stops_the_explanation_leaves_the_plan(tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloudarb_lib.allocate.runners_up", stop)
    assert run(tmp_path) == 130
    assert (tmp_path / "out" / "tables" / "plan.parquet").exists()
    assert len(list((tmp_path / "out" / "sky").glob("*.yaml"))) == 2
    said, told = capsys.readouterr()
    assert "a3-highgpu-8g" in said
    assert "plan.csv and 2 tasks in sky/" in said
    assert told.endswith("stopped\n")


def test_a_missing_solver_is_told_as_such(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    assert run(tmp_path) == 5
    assert "highspy is not installed. Way out: pip install highspy" in capsys.readouterr().err


def test_an_interrupt_leaves_no_half_plan(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloudarb_lib.allocate.solve_by_priority", stop)
    assert run(tmp_path) == 130
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_frontiers_are_printed_and_kept(tmp_path, capsys):
    small = DEMAND.replace("64 H100", "16 H100")
    # where they are sold, the cheapest H100 of Europe are those of least CVaR too: one point
    options = ["--frontier", "--listed-too", "--diversify", "region", "--gap", "0.01"]
    assert run(tmp_path, *options, "--work-limit", "5", demand=small) == 0
    said = capsys.readouterr().out
    for over, rows in (("cvar_usd", 6), ("effective_providers", 5)):
        assert f"frontier {over.replace('_', ' ')}:" in said
        curve = pd.read_parquet(tmp_path / "out" / "tables" / f"frontier_{over}.parquet")
        assert len(curve) == rows
        assert (curve["bound_usd"] <= curve["cost_usd"].fillna(np.inf) * (1 + 1e-9)).all()
