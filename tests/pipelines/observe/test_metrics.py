"""Metrics say what store, runs and events say; rules of Prometheus fire where ours do."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from cloudarb_lib.base.discovery import classes_in
from cloudarb_lib.live.breakers import BreakerState
from cloudarb_lib.live.collect import collection_folder
from cloudarb_lib.live.journal import Journal
from cloudarb_lib.store import ingest_files
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, write_text
from pipelines import cli
from pipelines.alerts import kinds
from pipelines.alerts.configuration import load_alerts
from pipelines.alerts.rule import Rule
from pipelines.alerts.watch import look
from pipelines.events.ledger import Ledger, event, ledger_file
from pipelines.observe.described import METRICS
from pipelines.observe.metrics import Observed, text
from pipelines.observe.rules import prometheus_rules
from pipelines.observe.tracing import SPANS_FILE
from pipelines.testing import past_run

ENDED = "1970-01-05T00:00:00+00:00"
NOW = pd.Timestamp("1970-01-20T00:00Z")
SEEN = pd.Timestamp("2026-01-05T00:00Z")
"""Of ``PRICE_ROW``: a file that shows no part of a market whole is no look of its own."""
LOOKED = "cloudarb_run_source_looked_timestamp_seconds"
RISK = pd.DataFrame(
    {
        "measure": ["var", "probability_over_budget", "expected_cost"],
        "level": [0.95, None, None],
        "value_usd": [900.0, 0.2, 5000.0],
        "scope": "total",
    }
)
SCORES = pd.DataFrame(
    {
        "target": "offer",
        "series_group": "all",
        "model": "ensemble",
        "horizon": [4, 4, 4],
        "span": ["2025-1", "2025-2", "all"],
        "crps_ratio": [0.9, 0.8, 0.85],
        "pit80": [0.7, 0.75, 0.72],
        "pit95": [0.9, None, 0.9],
    }
)
TABLES = {
    "risk": RISK,
    "scores": SCORES,
    "sources": pd.DataFrame(
        {
            "provider": ["gcp", "aws"],
            "source": ["calculator", "list"],
            "looked_at": pd.to_datetime(["1970-01-01", "1970-01-04"], utc=True),
            "offers": [3, 3],
        }
    ),
    "alarms": pd.DataFrame(
        {
            "series_group": ["gcp/spot/H100"],
            "detector": ["ks"],
            "time_utc": pd.Timestamp("1970-01-04", tz="UTC"),
        }
    ),
}
RULES = """watch: weekly
rules:
  no_success: {days: NO_SUCCESS}
  freshness: {days: FRESHNESS}
  value_at_risk: {over_usd: VAR}
  over_budget: {chance: CHANCE}
  drift: {within_days: DRIFT}
  store_unreadable: {}
"""
FIRES = {"NO_SUCCESS": 8, "FRESHNESS": 17, "VAR": 800, "CHANCE": 0.1, "DRIFT": 7}
QUIET = {"NO_SUCCESS": 80, "FRESHNESS": 170, "VAR": 900, "CHANCE": 0.2, "DRIFT": 0.5}


def samples(observed):
    found = {}
    for family in text_string_to_metric_families(text(observed)):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}".replace("{}", "")] = sample.value
    return found


@pytest.fixture
def observed(tmp_path):
    past_run(tmp_path, "weekly-1", ENDED, TABLES, seconds=61.5)
    return Observed(tmp_path / "store", tmp_path)


@pytest.mark.slow
def test_metrics_say_what_store_runs_and_events_say(observed, tmp_path):
    file = write_text(tmp_path / "prices.csv", PRICE_HEADER + PRICE_ROW)
    ingest_files([file], store_dir=observed.store, now=pd.Timestamp("2026-01-06T00:00Z"))
    with Journal(collection_folder(observed.store) / "journal.sqlite") as journal:
        journal.save_breaker(BreakerState("aws", "opened", 5, 1.0))
    with Ledger(ledger_file(tmp_path)) as ledger, ledger.at_once():
        told = event("plan", "weekly-1", ENDED, {})
        ledger.add([told])
        ledger.bury("publish", told.event_id, "too large", ENDED)
    found = samples(observed)
    of_run = "configuration=weekly"
    expected = {
        "cloudarb_source_looked_timestamp_seconds{provider=gcp,source=prices}": SEEN.timestamp(),
        "cloudarb_store_rows{target=price_events}": 1,
        "cloudarb_breaker_state{provider=aws}": 2,
        "cloudarb_event_dead_letters": 1,
        "cloudarb_events{kind=plan}": 1,
        f"cloudarb_run_succeeded_timestamp_seconds{{{of_run}}}": 4 * 86_400,
        f"cloudarb_run_seconds{{{of_run}}}": 61.5,
        f"cloudarb_plan_expected_cost_usd{{{of_run}}}": 5000,
        f"cloudarb_var_usd{{{of_run},level=0.95}}": 900,
        f"cloudarb_over_budget_share{{{of_run}}}": 0.2,
        f"cloudarb_forecast_crps_ratio{{{of_run},horizon_steps=4}}": 0.8,
        f"cloudarb_forecast_coverage_share{{{of_run},horizon_steps=4,level=0.8}}": 0.75,
        f"cloudarb_alarms{{{of_run}}}": 1,
        f"{LOOKED}{{{of_run},provider=aws,source=list}}": 3 * 86_400,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert not any("level=0.95" in name for name in found if "coverage" in name), "it is not known"


RUN_ID = "weekly-2026-04-29-0123abcd-9f8e7d"


@pytest.mark.slow
def test_a_run_is_of_the_configuration_that_its_folder_names_first(tmp_path):
    past_run(tmp_path, RUN_ID, ENDED, TABLES, seconds=61.5)
    found = samples(Observed(tmp_path / "store", tmp_path))
    assert found["cloudarb_run_seconds{configuration=weekly}"] == 61.5


def test_how_long_the_solver_took_is_told_where_a_run_was_traced(observed, tmp_path):
    names = ("notebook 03_allocate", "solve", "solve", "fit", "cell 1")
    lines = [
        {"trace_id": "a", "span_id": f"{k}", "parent_id": "", "name": n, "started_ns": k}
        for k, n in enumerate(names)
    ]
    texts = [json.dumps(line | {"seconds": 1.5 + k}) for k, line in enumerate(lines)]
    file = tmp_path / "weekly-1" / SPANS_FILE
    file.parent.mkdir()
    torn = texts[-1][:20]  # by whoever killed its process
    write_text(file, "\n".join([*texts, torn]))
    found = samples(observed)
    assert found["cloudarb_run_work_seconds{configuration=weekly,work=solve}"] == 6.0
    assert found["cloudarb_run_work_seconds{configuration=weekly,work=fit}"] == 4.5
    assert len([name for name in found if "work_seconds" in name]) == 2
    write_text(file, "")  # a full disk
    assert not [name for name in samples(observed) if "work_seconds" in name]


@pytest.mark.slow
def test_a_table_that_cannot_be_read_hides_no_other(observed, tmp_path, capsys):
    whole = samples(observed)
    (tmp_path / "weekly-1/tables/risk.parquet").write_text("half")
    found = samples(observed)
    gone = {name for name in whole if name not in found}
    assert {name.partition("{")[0] for name in gone} == {
        f"cloudarb_{name}" for name in ("plan_expected_cost_usd", "var_usd", "over_budget_share")
    }
    damaged = "cloudarb_run_tables_damaged{configuration=weekly}"
    assert (whole[damaged], found[damaged]) == (0, 1)
    page = tmp_path / "page.html"
    words = ["--store", str(observed.store), "--reports", str(tmp_path)]
    assert cli.main(["metrics", "--page", str(page), *words]) == 0
    assert "<dt>tables of runs that cannot be read</dt><dd>1</dd>" in page.read_text()


def damage_pointer(observed):
    (observed.store / "current").write_text("rubbish")
    return "store", {"source_looked_timestamp_seconds", "store_rows"}


def damage_journal(observed):
    (collection_folder(observed.store) / "journal.sqlite").write_text("rubbish, and no database")
    return "collection", {"breaker_state", "collection_dead_letters"}


def damage_events(observed):
    with ledger_file(observed.reports).open("r+b") as file:
        file.seek(4096)  # the first page says that it is a database: it opens
        file.write(bytes(8192))
    return "events", {"events", "event_dead_letters"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [damage_pointer, damage_journal, damage_events], ids=lambda f: f.__name__
)
def test_what_cannot_be_read_takes_its_own_metrics_away_alone(observed, tmp_path, damage):
    file = write_text(tmp_path / "prices.csv", PRICE_HEADER + PRICE_ROW)
    ingest_files([file], store_dir=observed.store, now=pd.Timestamp("2026-01-06T00:00Z"))
    with Journal(collection_folder(observed.store) / "journal.sqlite") as journal:
        journal.save_breaker(BreakerState("aws", "opened", 5, 1.0))
    with Ledger(ledger_file(tmp_path)) as ledger, ledger.at_once():
        ledger.add([event("plan", "weekly-1", ENDED, {})])
    whole = samples(observed)
    part, gone = damage(observed)
    found = samples(observed)
    told = f"cloudarb_unreadable{{part={part}}}"
    assert (whole[told], found[told]) == (0, 1)
    missing = {name.partition("{")[0] for name in whole if name not in found}
    assert missing - {"cloudarb_store_rows_held_back"} == {f"cloudarb_{name}" for name in gone}
    assert sum(value for name, value in found.items() if "unreadable" in name) == 1


def missing_in(expressions):
    """Return the metrics of expressions that nothing tells, or not by those labels."""
    known = {metric.whole_name: set(metric.labels) for metric in METRICS.values()}
    named = re.findall(r"(cloudarb_\w+)(?:{([^}]*)})?", " ".join(expressions))
    return {
        name
        for name, labels in named
        if not set(re.findall(r"(\w+)=", labels)) <= known.get(name, {"none"}) or name not in known
    }


def test_every_metric_of_an_alert_rule_exists():
    alerts = load_alerts(Path("data/alerts.yaml"))
    assert {type(rule) for rule in alerts.rules} == set(classes_in(kinds, Rule)), "each kind"
    assert missing_in(rule.expression("weekly") for rule in alerts.rules) == set()
    assert missing_in(["cloudarb_nothing > 1"]) == {"cloudarb_nothing"}
    assert missing_in(['cloudarb_var_usd{leve="0.95"} > 1']) == {"cloudarb_var_usd"}


def test_nothing_there_is_no_error(tmp_path):
    found = samples(Observed(tmp_path / "store", tmp_path))
    parts = ("store", "collection", "events")
    assert found == {f"cloudarb_unreadable{{part={part}}}": 0 for part in parts}


def test_the_verb_writes_a_file_whole(observed, tmp_path, capsys):
    out = tmp_path / "cloudarb.prom"
    words = ["metrics", "--store", str(observed.store), "--reports", str(tmp_path)]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert cli.main([*words, "--out", str(out)]) == 0
    assert out.read_text() == printed
    assert "# HELP cloudarb_var_usd value-at-risk of the newest plan" in printed


def fires(rules, observed, folder):
    """Return how often each rule fires by promtool, given how often it does by us."""
    alerts = load_alerts(rules)
    seen = look(alerts, observed.reports, store=observed.store, now=NOW, environment={})
    ours = pd.Series([alert.rule for alert in seen.change.active], dtype=str).value_counts()
    rules = write_text(folder / "rules.yml", prometheus_rules(alerts))
    series = []
    for family in text_string_to_metric_families(text(observed)):
        for sample in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sample.labels.items())
            values = f"{sample.value:.15g}x500"
            series.append({"series": f"{sample.name}{{{labels}}}", "values": values})
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    told = [{"labels": f'{{alertname="{k}"}}', "value": int(n)} for k, n in ours.items()]
    case = {
        "interval": "1h",
        "input_series": series,
        "promql_expr_test": [{"expr": firing, "eval_time": "19d", "exp_samples": told}],
    }
    tests = {"rule_files": [str(rules)], "evaluation_interval": "1h", "tests": [case]}
    file = write_text(folder / "tests.yml", yaml.safe_dump(tests))
    ended = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True)
    return dict(ours), ended


@pytest.mark.slow
@pytest.mark.parametrize(("figures", "count"), [(FIRES, 6), (QUIET, 0)])
def test_rules_of_prometheus_fire_where_ours_do(observed, tmp_path, figures, count):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    if count:
        observed.store.mkdir()
        (observed.store / "current").write_text("rubbish")
    rules = RULES
    for name, value in figures.items():
        rules = rules.replace(name, str(value))
    ours, ended = fires(write_text(tmp_path / "alerts.yaml", rules), observed, tmp_path)
    assert sum(ours.values()) == count
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_promtool_finds_a_rule_that_does_not_agree(observed, tmp_path, monkeypatch):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    from pipelines.alerts.kinds.risks import ValueAtRisk

    monkeypatch.setattr(ValueAtRisk, "expression", lambda *_: "cloudarb_var_usd > 1e9")
    rules = "watch: weekly\nrules:\n  value_at_risk: {over_usd: 800}\n"
    _, ended = fires(write_text(tmp_path / "alerts.yaml", rules), observed, tmp_path)
    assert ended.returncode != 0


def test_the_rules_that_we_ship_are_good(tmp_path, capsys):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    assert cli.main(["metrics", "--rules", "data/alerts.yaml"]) == 0
    rules = write_text(tmp_path / "rules.yml", capsys.readouterr().out)
    words = ["promtool", "check", "rules", str(rules)]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "9 rules found" in ended.stdout
