"""``cloudarb allocate``: the plan printed, its files, and honest exit codes."""

import pandas as pd
import pytest
import yaml

from cloudarb_lib.errors import SolveError
from cloudarb_lib.schema import validate
from pipelines import allocate, cli

DEMAND = "demand:\n  - workload: train\n    needs: 64 H100\n    interruptible: yes\n    in: [europe-*]\n"


def run(tmp_path, *more, demand=DEMAND):
    file = tmp_path / "demand.yaml"
    file.write_text(demand)
    given = ["allocate", str(file), "--as-of", "2026-04-29", "--out", str(tmp_path / "out")]
    return cli.main([*given, "--paths", "history", "--n-paths", "40", *more])


def test_a_plan_is_printed_and_written(tmp_path, capsys):
    assert run(tmp_path, "--budget", "250000", "--cvar", "250000") == 0
    said, told = capsys.readouterr()
    assert "s: a plan of" in told
    for word in ("status: optimal", "proven bound:", "gap:", "CVaR 0.95", "VaR 0.95", "binds: capacity of"):
        assert word in said
    out = tmp_path / "out"
    plan = validate(pd.read_parquet(out / "tables" / "plan.parquet"), "plan")
    assert plan["gpus"].sum() == 64
    assert len(pd.read_csv(out / "plan.csv")) == len(plan)
    tasks = [yaml.safe_load(file.read_text()) for file in sorted((out / "sky").glob("*.yaml"))]
    assert sum(task["num_nodes"] for task in tasks) == plan["instances"].sum()
    # keys as SkyPilot documents them: docs/source/reference/yaml-spec.rst
    for task in tasks:
        assert set(task) == {"name", "num_nodes", "resources"}
        for place in task["resources"]["any_of"]:
            assert set(place) == {"infra", "instance_type", "accelerators", "use_spot"}
            assert place["infra"].startswith("gcp/europe-")
            assert place["accelerators"] == "H100:8"


def test_var_is_held_on_request_and_safety_has_its_price(tmp_path, capsys):
    assert run(tmp_path) == 0
    said = capsys.readouterr().out
    assert "price of safety" not in said
    var = float(said.split("VaR 0.95 of rent: ")[-1].split(" ")[0].replace(",", ""))
    assert run(tmp_path, "--var", str(1.01 * var)) == 0
    assert "price of safety: 0.00 USD" in capsys.readouterr().out
    assert run(tmp_path, "--var", str(0.1 * var)) == 5
    assert "no plan with VaR 0.95 up to" in capsys.readouterr().err
    assert run(tmp_path, "--diversify", "region", "--effective-providers", "3") == 0
    said = capsys.readouterr().out
    assert float(said.split("price of safety: ")[1].split(" ")[0].replace(",", "")) > 0


def test_commitments_held_and_carbon_are_taken_into_account(tmp_path, capsys):
    held = (
        "commitments:\n  - machine: gcp/us-central1/a3-highgpu-8g\n    instances: 3\n    usd_per_hour: 55\n"
    )
    assert run(tmp_path, "--carbon-usd-per-tonne", "80", demand=DEMAND + held) == 0
    said = capsys.readouterr().out
    assert "idle commitment gcp/us-central1//a3-highgpu-8g/reserved/held" in " ".join(said.split())
    kg = float(said.split("\ncarbon: ")[1].split(" kgCO2e")[0].replace(",", ""))
    charged = float(said.split("\ncharges: ")[1].split(" USD")[0].replace(",", ""))
    assert charged == pytest.approx(kg * 0.08, abs=0.01)
    assert run(tmp_path, "--carbon-kg", str(kg / 1e3)) == allocate.INFEASIBLE
    assert f"carbon {kg / 1e3:,.6g} is short by" in capsys.readouterr().out


def test_periods_and_futures_are_planned_together(tmp_path, capsys):
    futures = (
        "    start_minutes: 60\nscenarios:\n  - scenario: base\n    probability: 0.8\n"
        "  - scenario: surge\n    probability: 0.2\n    times: {train: 1.5}\n"
    )
    assert run(tmp_path, "--periods", "2", "--terms", "1y", demand=DEMAND + futures) == 0
    plan = validate(pd.read_parquet(tmp_path / "out" / "tables" / "plan.parquet"), "plan")
    gpus = plan[~plan["workload"].str.startswith("idle")].groupby(["workload", "period"])["gpus"].sum()
    assert gpus.to_dict() == {
        ("train in base", 0): 64, ("train in base", 1): 64, ("train in surge", 0): 96, ("train in surge", 1): 96,
    }  # fmt: skip
    assert "status: " in capsys.readouterr().out


def test_no_plan_has_its_own_code_and_says_the_least_change(tmp_path, capsys):
    assert run(tmp_path, "--budget", "1000") == allocate.INFEASIBLE
    said = capsys.readouterr().out
    assert "budget 1,000 is short by" in said
    assert not (tmp_path / "out" / "plan.csv").exists()


@pytest.mark.parametrize(
    ("more", "demand", "said"),
    [
        (["--budget", "-1"], DEMAND, "budget_usd is -1"),
        (["--periods", "0"], DEMAND, "must be 1 or more"),
        (["--horizon-steps", "0"], DEMAND, "must be 1 or more"),
        (
            [],
            DEMAND + "    intrruptible: yes\n",
            "line 6: key 'intrruptible' is not known (did you mean 'interruptible'?)",
        ),
        ([], DEMAND.replace("europe-*", "mars-*"), "region mars-*: 0 left"),
        ([], DEMAND.replace("H100", "H999"), "GPU model H999"),
        (["--hazard", "mild"], DEMAND, "hazard is 'mild'"),
    ],
)
def test_a_mistake_ends_with_code_2_and_a_sentence(tmp_path, capsys, more, demand, said):
    assert run(tmp_path, *more, demand=demand) == 2
    assert said in capsys.readouterr().err


def test_a_failing_solver_is_told_as_such(tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise SolveError("the solver crashed.", "Try another solver.")

    monkeypatch.setattr("cloudarb_lib.allocate.solve", fail)
    assert run(tmp_path) == 5
    assert "the solver crashed" in capsys.readouterr().err


def test_an_interrupt_leaves_no_half_plan(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloudarb_lib.allocate.solve", stop)
    assert run(tmp_path) == 130
    assert not (tmp_path / "out").exists()


def test_tasks_of_an_older_plan_go_and_sizes_are_kept_apart(tmp_path):
    rows = pd.DataFrame(
        {
            "workload": "w", "offer_id": ["gcp/us-a/z/h8/spot/", "runpod/unstated//x1/on_demand/"],
            "instances": [2.0, 3.0], "gpu_model": "A100-40GB", "gpus": [16.0, 3.0],
        }
    )  # fmt: skip
    (tmp_path / "old.yaml").write_text("name: old\n")
    assert allocate.write_tasks(rows, tmp_path) == 2
    first, second = (yaml.safe_load((tmp_path / f"w-{n}.yaml").read_text()) for n in (1, 2))
    (place,) = first["resources"]["any_of"]
    assert place == {
        "infra": "gcp/us-a/z", "instance_type": "h8", "accelerators": "A100:8", "use_spot": True,
    }  # fmt: skip
    assert second["num_nodes"] == 3
    assert second["resources"]["any_of"][0]["infra"] == "runpod"
