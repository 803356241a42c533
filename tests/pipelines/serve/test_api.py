"""Routes: every answer is what OpenAPI says it is, and every fault says the way out."""

import io

import jsonschema
import pandas as pd
import pytest

pytest.importorskip("fastapi", reason="extra serve is not installed: make platform")

from starlette.testclient import TestClient

from cloudarb_lib.tables.run_tables import load_table, save_table
from pipelines.serve import server, testing
from pipelines.serve.answers import FACT
from pipelines.serve.testing import AS_OF, RUN, SPOT

AT = f"as_of={AS_OF}"
QUESTIONS = {
    "/offers": f"/offers?{AT}",
    "/panels": f"/panels?{AT}&gpu_model=H100&freq=1D&cells=5",
    "/exports/{shape}/{provider}.csv": f"/exports/skypilot/aws.csv?{AT}",
    "/metrics": "/metrics",
    "/runs": "/runs",
    "/runs/{run}/forecast": "/runs/latest/forecast?quantile=0.5",
    "/runs/{run}/offers": f"/runs/{RUN}/offers",
    "/runs/{run}/plan": "/runs/latest/plan",
    "/runs/{run}/plan/explanation": "/runs/latest/plan/explanation",
    "/runs/{run}/risk": "/runs/latest/risk",
    "/runs/{run}/alerts": "/runs/latest/alerts",
    "/runs/{run}/stress": "/runs/latest/stress",
    "/runs/{run}/alarms": "/runs/latest/alarms",
    "/runs/{run}/lookback": "/runs/latest/lookback",
    "/runs/{run}/exports/skypilot-tasks": "/runs/latest/exports/skypilot-tasks",
    "/runs/{run}/exports/dstack-fleets": "/runs/latest/exports/dstack-fleets",
    "/runs/{run}/exports/launches.csv": "/runs/latest/exports/launches.csv",
    "/runs/{run}/exports/plan.txt": "/runs/latest/exports/plan.txt",
    "/runs/{run}/exports/focus-{what}.csv": "/runs/latest/exports/focus-plan.csv",
}
"""A question for each route that reads, by its path in OpenAPI."""


@pytest.fixture(scope="module")
def described(client):
    return client.get("/openapi.json").json()


def check(answer, described, path):
    """Assert that an answer is as its route's description says, to the last key."""
    response = described["paths"][path]["get"]["responses"][str(answer.status_code)]
    told = response["content"]
    kind = answer.headers["content-type"].partition(";")[0]
    schema = told[kind].get("schema") or {"$ref": "#/components/schemas/Problem"}
    whole = {**schema, "components": described["components"]}
    content = answer.json() if kind.endswith("json") else answer.text
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(whole, format_checker=checker).validate(content)
    assert set(facts_of(answer)) == set(response.get("headers", {}))


def facts_of(answer):
    """Return the headers that say what an answer rests on."""
    return {name: value for name, value in answer.headers.items() if name.startswith(FACT)}


@pytest.mark.slow
def test_every_route_that_reads_is_asked(described):
    reads = {path for path, verbs in described["paths"].items() if "get" in verbs}
    assert {path for path in reads if not path.startswith("/plans")} == set(QUESTIONS)


@pytest.mark.slow
def test_latency_is_told_by_route_and_status(client):
    client.get(f"/offers?{AT}")
    client.get("/nowhere/a")
    client.get("/nowhere/b")
    told = client.get("/metrics").text
    count = "cloudarb_http_request_seconds_count"
    assert f'{count}{{route="offers",status="200"}}' in told
    assert f'{count}{{route="other",status="404"}}' in told
    assert "nowhere" not in told, "whoever asks chooses no label"


def test_the_queue_is_told_and_shrinks_again(client):
    for _ in range(2):
        assert "cloudarb_http_requests_waiting 1.0" in client.get("/metrics").text, "itself"
    client.get("/runs/none/plan")
    assert client.app.waiting == 0


@pytest.mark.parametrize("path", QUESTIONS)
def test_answers_are_what_openapi_says(path, client, described):
    answer = client.get(QUESTIONS[path])
    assert answer.status_code == 200, answer.text
    check(answer, described, path)


@pytest.mark.parametrize("path", [path for path in QUESTIONS if path.startswith("/runs/")])
def test_an_answer_of_a_run_says_in_headers_what_it_rests_on(path, client):
    lines = client.get("/runs").json()["runs"]
    (head,) = ({f"{FACT}{k.replace('_', '-')}": v for k, v in line.items()} for line in lines)
    del head[f"{FACT}title"]
    for _ in ("made", "remembered"):
        assert facts_of(client.get(QUESTIONS[path])) == head


@pytest.mark.parametrize("path", ["/offers", "/panels", "/exports/{shape}/{provider}.csv"])
def test_an_answer_of_the_store_says_in_headers_what_it_rests_on(path, client, small_folders):
    snapshot = (small_folders.store / "current").read_text().strip()
    head = {f"{FACT}snapshot": snapshot, f"{FACT}as-of": "2026-05-01T00:00:00+00:00"}
    for _ in ("made", "remembered"):
        assert facts_of(client.get(QUESTIONS[path])) == head


@pytest.mark.slow
def test_any_name_of_a_run_fits_into_a_header(tmp_path):
    folders = testing.folders_in(tmp_path)
    name = "Läufe\tam Montag: 1"
    (folders.reports / RUN).rename(folders.reports / name)
    headers = {"authorization": f"Bearer {testing.token_in(folders)}"}
    with TestClient(server.front(folders), headers=headers) as other:
        answer = other.get("/runs/latest/exports/launches.csv")
    assert answer.status_code == 200
    assert answer.headers[f"{FACT}run"] == "L%C3%A4ufe%09am Montag: 1"


def test_that_check_sees_an_answer_that_is_not(client, described):
    answer = client.get("/runs/latest/risk")
    with pytest.raises(jsonschema.ValidationError):
        check(answer, described, "/runs/{run}/plan")


def test_offers_tell_when_and_by_whom_each_price_was_seen(client):
    answer = client.get(f"/offers?{AT}&gpu_model=H100&purchase_option=spot&provider=gcp").json()
    (row,) = answer["rows"]
    assert answer["total"] == 1
    assert answer["as_of"] == "2026-05-01T00:00:00+00:00"
    assert row["offer_id"] == SPOT
    assert row["price_usd_per_hour"] == 24.0
    assert row["observed_at"].startswith("2026-04-28T00:00:00")
    assert row["evidence"] == "zone_list"
    assert row["source"] == "prices"


def test_a_time_before_a_price_does_not_see_it(client):
    earlier = client.get("/offers?as_of=2026-04-25&provider=gcp&purchase_option=spot").json()
    assert {row["price_usd_per_hour"] for row in earlier["rows"]} == {20.0, 0.28}


def test_the_cheapest_gpu_hour_stands_first_and_ids_are_plain_text(client):
    answer = client.get(f"/offers?{AT}")
    assert SPOT in answer.text, "slashes are not escaped"
    usd = [row["price_usd_per_gpu_hour"] for row in answer.json()["rows"]]
    assert usd == sorted(usd)


def test_pages_of_rows_add_up(client):
    whole = client.get(f"/offers?{AT}").json()["rows"]
    pages = [client.get(f"/offers?{AT}&limit=3&offset={k}").json()["rows"] for k in (0, 3, 6)]
    assert [row for page in pages for row in page] == whole
    assert len(whole) == 8


def test_panels_carry_the_price_forward_and_say_so(client):
    answer = client.get(
        f"/panels?{AT}&gpu_model=H100&provider=gcp&purchase_option=spot&freq=1D&cells=5"
    ).json()
    (series,) = answer["series"]
    assert series["price_usd_per_hour"] == [20.0, 24.0, 24.0, 24.0, 24.0]
    assert series["state"][1] == "changed"
    assert series["state"][2] == "not_looked"
    assert answer["step_h"] == 24.0


def test_a_run_of_one_period_is_told_in_words(client):
    said = client.get("/runs/latest/exports/plan.txt").text
    assert said.startswith("Plan for 2 weeks: 16,500 USD expected.\n")
    assert "2 x a3-highgpu-8g (8 H100) in gcp us-east4, spot: 336 h each" in said


@pytest.mark.slow
def test_when_later_periods_end_no_run_says(tmp_path):
    folders = testing.folders_in(tmp_path)
    run = folders.reports / RUN
    plan = load_table("plan", run)
    save_table(pd.concat([plan, plan.assign(period=1)]), "plan", run)
    headers = {"authorization": f"Bearer {testing.token_in(folders)}"}
    with TestClient(server.front(folders), headers=headers) as other:
        answer = other.get("/runs/latest/exports/plan.txt")
    assert answer.status_code == 404
    assert "2 periods" in answer.json()["detail"]


REFUSED = {
    "/offers?as_of=2026-04-31": (422, "2026-04-31", "2026-04-29T18:00:00Z"),
    "/offers?as_of=2026-04-30&gpu=H100": (422, "gpu", "/openapi.json"),
    "/offers?as_of=2026-04-30&gpu_model=H10": (422, "'H100'", "L4"),
    "/offers?as_of=2020-01-01": (422, "no price is known", "Choose another as_of"),
    "/offers?limit=0": (422, "greater than or equal to 1", "/openapi.json"),
    "/offers?as_of=9999-04-30": (422, "9999", "2199"),
    "/panels?as_of=2026-04-30&gpu_model=H100&freq=month": (422, "month", "1h"),
    "/panels?as_of=2026-04-30&gpu_model=H100&freq=1h&cells=9999": (422, "5000", "/openapi"),
    "/exports/skypilot/azure.csv?as_of=2026-04-30": (422, "azure", "another as_of"),
    "/exports/skypilot/asw.csv?as_of=2026-04-30": (422, "did you mean 'aws'", "gcp"),
    "/exports/gpuhunt/asw.csv?as_of=2026-04-30": (422, "did you mean 'aws'", "gcp"),
    "/runs/none/plan": (404, "'none'", "cloudarb run"),
    "/runs/latest/forecast?offer_id=x": (404, "'x'", "/runs/RUN/offers"),
    "/runs/latest/forecast?quantile=0.3": (422, "0.3", "0.5"),
}


@pytest.mark.parametrize("question", REFUSED)
def test_a_refusal_says_what_is_wrong_and_the_way_out(question, client):
    status, what, way_out = REFUSED[question]
    answer = client.get(question)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert what in problem["detail"]
    assert way_out in problem["way_out"]


@pytest.mark.parametrize(
    ("verb", "path", "broken"),
    [
        ("GET", f"/offers?{AT}&limit=7", "records.Records.market"),
        ("DELETE", "/plans/0", "plans.Plans.cancel"),
    ],
)
def test_what_nobody_foresaw_is_told_as_a_problem_too(
    small_folders, monkeypatch, verb, path, broken
):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(f"pipelines.serve.{broken}", fail)
    token = testing.token_in(small_folders, f"all-{verb}", "read", "plan")
    front = server.front(small_folders)
    with TestClient(front, raise_server_exceptions=False) as client:
        answer = client.request(verb, path, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "log" in answer.json()["way_out"]


def test_an_unknown_path_is_not_there_and_nothing_is_written(client):
    assert client.get("/offer").status_code == 404
    assert client.delete("/offers").status_code == 405
    assert client.post("/offers", json={}).status_code == 405


def test_too_large_a_panel_is_refused(client, monkeypatch):
    monkeypatch.setattr("pipelines.serve.routes.market.MOST_CELLS", 3)
    answer = client.get(f"/panels?{AT}&gpu_model=H100&freq=1D&cells=2&region=us-east4")
    assert answer.status_code == 422
    assert "Ask for fewer cells" in answer.json()["way_out"]


def test_exports_of_a_run_are_tables(client):
    plan = pd.read_csv(io.StringIO(client.get("/runs/latest/exports/focus-plan.csv").text))
    assert plan["EstimatedMonthlyCostImpact"].tolist() == [-92631.79]
    forecast = pd.read_csv(io.StringIO(client.get("/runs/latest/exports/focus-forecast.csv").text))
    assert forecast["x_PriceP90"].tolist() == [24.9, 24.9]
    (task,) = client.get("/runs/latest/exports/skypilot-tasks").json()["tasks"]
    assert task["num_nodes"] == 2
