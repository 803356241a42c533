"""Plans made on request: in a process with a time limit, told of and stopped by any server."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

pytest.importorskip("fastapi", reason="extra serve is not installed: make platform")

from pydantic import ValidationError
from starlette.testclient import TestClient

from pipelines.run.files import write_json
from pipelines.serve import server, testing
from pipelines.serve.faults import Busy, NotThere
from pipelines.serve.plans import PlanAsked, Plans
from pipelines.testing import DSTACK_FLEET, SKYPILOT_TASK

DEMAND = "demand:\n  - workload: train\n    needs: 16 H100\n    interruptible: yes\n"
ASKED = {
    "demand": DEMAND,
    "as_of": testing.AS_OF,
    "paths": "history",
    "n_paths": 20,
    "horizon_steps": 2,
}


@pytest.fixture
def plans(tmp_path, small_folders):
    return Plans(tmp_path / "plans", small_folders.store)


def ended(plans, name, *, seconds=60):
    """Wait until a plan has ended, and return it."""
    until = time.monotonic() + seconds
    while plans.find(name).state == "running" and time.monotonic() < until:
        time.sleep(0.1)
    return plans.find(name)


@pytest.mark.slow
def test_a_demand_file_becomes_a_plan(tmp_path):
    folders = testing.folders_in(tmp_path)
    token = testing.token_in(folders, "solver", "plan")
    headers = {"authorization": f"Bearer {token}"}
    with TestClient(server.front(folders), headers=headers) as client:
        begun = client.post("/plans", json=ASKED | {"solve_limit_s": 10})
        assert begun.status_code == 202
        assert begun.json()["state"] == "running"
        name = begun.json()["id"]
        ended(Plans(folders.state / "plans", folders.store), name)  # another server's view
        made = client.get(f"/plans/{name}").json()
        exports = f"/plans/{name}/exports"
        (task,) = client.get(f"{exports}/skypilot-tasks").json()["launches"]
        (fleet,) = client.get(f"{exports}/dstack-fleets").json()["launches"]
        launches = pd.read_csv(io.StringIO(client.get(f"{exports}/launches.csv").text))
        rows = pd.read_csv(io.StringIO(client.get(f"{exports}/plan.csv").text))
        words = client.get(f"{exports}/plan.txt").text
        assert client.get(f"{exports}/tables.csv").status_code == 422
    jsonschema.validate(task, SKYPILOT_TASK)
    jsonschema.validate(fleet, DSTACK_FLEET)
    assert task["num_nodes"] == fleet["nodes"] == 2
    assert launches["machines"].tolist() == rows["instances"].tolist() == [2]
    assert words.startswith("Plan for 2 weeks: ")
    assert made["state"] == "solved", made["message"]
    (row,) = made["plan"]
    assert row["offer_id"] == testing.SPOT
    assert row["instances"] == 2.0
    assert "expected cost" in {fact["fact"] for fact in made["summary"]}
    assert str(tmp_path) not in made["message"]


def test_a_plan_that_is_not_solved_has_no_shape(plans):
    folder = plans.folder / "0123456789abcdef"
    folder.mkdir(parents=True)
    write_json(folder / "status.json", {"state": "infeasible", "message": "no"})
    with pytest.raises(NotThere, match="is infeasible"):
        plans.exported(folder.name, "plan.txt")


@pytest.mark.slow
@pytest.mark.chaos("full disk", "API")
def test_a_full_disk_refuses_plans_and_answers_all_else(small_disk, fill):
    made = testing.folders_in(small_disk)
    token = testing.token_in(made, "solver", "plan", "read")
    headers = {"authorization": f"Bearer {token}"}
    with TestClient(server.front(made), headers=headers) as client:
        filler = fill()
        refused = client.post("/plans", json=ASKED)
        assert refused.status_code == 507
        assert "Make room" in refused.json()["way_out"]
        assert client.get("/runs/latest/plan").status_code == 200
        filler.unlink()
        begun = client.post("/plans", json=ASKED)
        assert begun.status_code == 202
        plans = Plans(made.state / "plans", made.store)
        plans.cancel(begun.json()["id"])
        assert ended(plans, begun.json()["id"]).state == "cancelled"


def test_one_more_than_allowed_is_refused_and_a_plan_can_be_stopped(plans):
    name = plans.begin(PlanAsked(**ASKED))
    with pytest.raises(Busy, match="as many plans as are allowed"):
        plans.begin(PlanAsked(**ASKED))
    other_server = Plans(plans.folder, plans.store)
    assert other_server.cancel(name).state == "running"
    assert ended(plans, name).state == "cancelled"
    assert other_server.cancel(name).state == "cancelled", "it stays so"


@pytest.mark.chaos("stall", "API")
def test_a_plan_that_takes_too_long_is_given_up(plans):
    hurried = Plans(plans.folder, plans.store, limit_s=0.1)
    assert ended(plans, hurried.begin(PlanAsked(**ASKED))).state == "out_of_time"


@pytest.mark.slow
def test_a_faulty_demand_file_says_what_is_wrong_with_it(plans):
    faulty = ASKED | {"demand": "demand:\n  - workload: train\n    neds: 16 H100\n"}
    made = ended(plans, plans.begin(PlanAsked(**faulty)))
    assert made.state == "failed"
    assert "neds" in made.message
    assert "Way out" in made.message


def processes_of(name):
    """Return the living processes whose command line names a plan, by pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = path.read_text()
            if name in command:
                found[int(path.parent.name)] = command
    return found


@pytest.mark.slow
def test_a_plan_ends_with_the_process_that_watches_over_it(tmp_path, small_folders, monkeypatch):
    monkeypatch.setenv("CLOUDARB_HOME", str(tmp_path))
    words = ["serve", f"--store={small_folders.store}", f"--reports={tmp_path}"]  # would last
    write_json(tmp_path / "request.json", {"words": words, "limit_s": 300.0})
    watcher = subprocess.Popen([sys.executable, "-m", "pipelines.serve.worker", str(tmp_path)])
    until = time.monotonic() + 60
    while len(both := processes_of(str(tmp_path))) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    watcher.kill()
    watcher.wait()
    until = time.monotonic() + 60  # it may have to end what it has just begun
    while time.monotonic() < until and processes_of(str(tmp_path)):
        time.sleep(0.05)
    left = processes_of(str(tmp_path))
    for pid in left.keys() & both.keys():
        os.kill(pid, signal.SIGKILL)
    assert not left, "it would go on beside the next, without a limit"


@pytest.mark.chaos("kill", "API")
def test_a_plan_whose_process_died_has_failed(plans):
    folder = plans.folder / ("0" * 16)
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    assert plans.find(folder.name).state == "failed"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"as_of": "--store=/etc"}, "as_of"),
        ({"paths": "other"}, "paths"),
        ({"n_paths": 100_000}, "n_paths"),
        ({"providers": ["--store=x"]}, "providers"),
        ({"demand": "x" * 70_000}, "demand"),
        ({"solve_limit_s": 1e9}, "solve_limit_s"),
        ({"store": "/etc"}, "store"),
    ],
)
def test_what_goes_beyond_the_limits_is_refused(change, told):
    with pytest.raises(ValidationError, match=told):
        PlanAsked(**ASKED | change)


@pytest.mark.parametrize("content", [b"x" * 200_000, iter([b"x"])], ids=["large", "in chunks"])
def test_a_body_too_large_is_refused_before_it_is_read(content, small_folders, tmp_path):
    token = testing.token_in(small_folders, f"large-{tmp_path.name}", "plan")
    with TestClient(server.front(small_folders)) as client:
        headers = {"authorization": f"Bearer {token}"}
        answer = client.post("/plans", content=content, headers=headers)
    assert answer.status_code == 413
    assert "content-length" in answer.json()["way_out"]


def test_a_request_beyond_the_limits_is_told_the_way_out(small_folders):
    token = testing.token_in(small_folders, "hasty", "plan")
    with TestClient(server.front(small_folders)) as client:
        client.headers["authorization"] = f"Bearer {token}"
        answer = client.post("/plans", json=ASKED | {"n_paths": 100_000})
    assert answer.status_code == 422
    assert "n_paths" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["../tokens.json", "0" * 16, "x"])
def test_no_other_folder_is_taken_for_a_plan(plans, name):
    plans.folder.mkdir(parents=True)
    with pytest.raises(Exception, match="no plan"):
        plans.find(name)
