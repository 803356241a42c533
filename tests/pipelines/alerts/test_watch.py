"""An alert is told once, until it clears; what no channel could tell is told the next time."""

import json

import pandas as pd
import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.live import messages
from pipelines import cli
from pipelines.alerts.configuration import load_alerts
from pipelines.alerts.watch import look
from pipelines.events.ledger import Ledger, ledger_file
from pipelines.testing import past_run

RULES = """watch: weekly
rules:
  over_budget: {chance: 0.1}
  no_success: {days: 100000}
webhook: {address_from: HOOK}
"""


def run_with(reports, number, chance):
    risk = pd.DataFrame(
        {
            "measure": ["probability_over_budget"],
            "level": 0.95,
            "value_usd": chance,
            "scope": "total",
        }
    )
    past_run(reports, f"weekly-{number}", f"2026-01-0{number}T00:00:00+00:00", {"risk": risk})


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "alerts.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture(autouse=True)
def no_wait(monkeypatch):
    monkeypatch.setattr(messages, "FIRST_WAIT_S", 0.0)


@pytest.mark.slow
def test_an_alert_is_told_once_until_it_clears(rules, tmp_path, httpserver, monkeypatch, capsys):
    got = []
    httpserver.expect_request("/hook", method="POST").respond_with_handler(
        lambda request: got.append(request.json) or ""
    )
    monkeypatch.setenv("HOOK", httpserver.url_for("/hook"))
    words = ["alerts", str(rules), "--reports", str(tmp_path)]
    for number, chance, code in [(1, 0.05, 0), (2, 0.2, 9), (3, 0.3, 9), (4, 0.05, 0), (5, 0.2, 9)]:
        run_with(tmp_path, number, chance)
        assert cli.main(words) == code
    with Ledger(ledger_file(tmp_path)) as ledger:
        events = [told.body for _, told in ledger.newest(9, "alert")]
    assert [(body["run_id"], body["state"]) for body in events] == [
        ("weekly-2", "fires"),
        ("weekly-3", "cleared"),
        ("weekly-5", "fires"),
    ]
    subjects = [message["subject"] for message in got]
    told, cleared = "CloudArb weekly: 1 new", "CloudArb weekly: 1 cleared"
    assert subjects == [told, cleared, told]
    assert got[0]["text"].startswith("over_budget: 20.0% of paths exceed the budget")
    assert got[0]["run_id"] == "weekly-2"
    said = capsys.readouterr().out
    assert "run weekly-3: 1 fire, 0 cleared\n  over_budget: 30.0% of paths" in said
    written = json.loads((tmp_path / "weekly-3/alerts.json").read_text())
    assert written["alerts"][0]["told"] == ["webhook"]


def test_what_could_not_be_told_is_told_the_next_time(rules, tmp_path, httpserver, capsys):
    answers = iter([500] * messages.ATTEMPTS + [404, 200])
    got = []

    def answer(request):
        got.append(request.json)
        from werkzeug import Response

        return Response(status=next(answers))

    httpserver.expect_request("/secret-path").respond_with_handler(answer)
    run_with(tmp_path, 1, 0.2)
    now, address = pd.Timestamp("2026-01-09T00:00Z"), httpserver.url_for("/secret-path")
    alerts = load_alerts(rules)
    tries = [
        look(alerts, tmp_path, store=tmp_path / "store", now=now, environment={"HOOK": address})
        for _ in range(4)
    ]
    said = [sentence for found in tries for sentence in found.undelivered]
    assert "webhook: the webhook could not be told in 3 attempts: it answered 500." in said[0]
    assert "webhook: the webhook answered 404." in said[1]
    assert len(said) == 2
    assert "secret-path" not in str(said), "the address is a secret"
    assert len(got) == 5, "the fourth look has nothing new"
    assert tries[-1].change.active[0].told == ("webhook",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("over_budget", "over_budgt"), r"key 'rules.over_budgt' is not known \(did you mean"),
        (("chance: 0.1", "chance: lots"), "line 3: rules.over_budget.chance is 'lots'"),
        (("chance: 0.1", "chanse: 0.1"), "line 3: key 'rules.over_budget.chanse' is not known"),
        (("HOOK}", "https://x}"), "line 5: webhook.address_from is 'https://x'"),
        (("watch: weekly", "watch: ../x"), "line 1: watch is '../x'"),
    ],
)
def test_a_mistake_in_the_file_is_named(rules, change, told):
    assert change[0] in RULES
    rules.write_text(RULES.replace(*change))
    with pytest.raises(ParameterError, match=told):
        load_alerts(rules)


MAIL = "mail: {to: a@b.c, sender: d@e.f, server: mail.example.org"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", None),
        (", security: none", "mail.example.org is not this machine"),
        (", user_from: U", "go together"),
        (", security: ssl", "security is 'ssl'"),
    ],
)
def test_mail_is_checked_with_the_file(rules, more, told):
    rules.write_text(f"{RULES}{MAIL}{more}}}\n")
    if told is None:
        assert load_alerts(rules).mail.to == ("a@b.c",)
        return
    with pytest.raises(ParameterError, match=told):
        load_alerts(rules)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "environment variable HOOK, which the file of alerts names, is not set"),
        ({"HOOK": "http://example.org/secret"}, "HOOK holds no address that starts with https://"),
        ({"HOOK": "file:///etc/passwd"}, "HOOK holds no address"),
    ],
)
def test_what_the_environment_lacks_is_found_first(rules, tmp_path, environment, told):
    run_with(tmp_path, 1, 0.2)
    with pytest.raises(ParameterError, match=told) as refused:
        look(
            load_alerts(rules),
            tmp_path,
            store=tmp_path / "store",
            now=pd.Timestamp.now("UTC"),
            environment=environment,
        )
    assert "secret" not in str(refused.value)
    assert not (tmp_path / "weekly-1/alerts.json").exists()


def test_without_a_run_there_is_nothing_to_look_at(rules, tmp_path, monkeypatch, capsys):
    assert cli.main(["alerts", str(rules), "--reports", str(tmp_path)]) == 2
    assert "no run of configuration 'weekly' has ended" in capsys.readouterr().err


def test_the_rules_that_we_ship_are_good():
    alerts = load_alerts("data/alerts.yaml")
    assert alerts.watch == "weekly"
    assert len(alerts.rules) == 9
