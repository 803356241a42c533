"""docs/add-an-alert.md is true: its rules are read, and its kind needs no other file."""

import re
from pathlib import Path

import pandas as pd
import pytest

from pipelines.alerts import kinds
from pipelines.alerts.configuration import load_alerts
from pipelines.alerts.rule import watched_runs
from pipelines.testing import past_run

PAGE = Path(__file__).parents[3] / "docs" / "add-an-alert.md"


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)


def test_the_rules_of_the_page_are_read(tmp_path):
    path = tmp_path / "alerts.yaml"
    path.write_text(block("yaml"))
    assert [rule.key for rule in load_alerts(path).rules] == ["freshness", "over_budget"]
    assert load_alerts(path).webhook.address_from == "CLOUDARB_WEBHOOK"


def test_the_kind_of_the_page_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "few_regions.py").write_text(block("python"))
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    path = tmp_path / "alerts.yaml"
    path.write_text("watch: weekly\nrules:\n  few_regions: {least: 2}\n")
    (rule,) = load_alerts(path).rules
    for number, offers, texts in [
        (1, ["gcp/us-a//m/spot/"], ["the plan stands in 1 regions, not 2."]),
        (2, ["gcp/us-a//m/spot/", "gcp/us-b//m/spot/"], []),
    ]:
        plan = pd.DataFrame({"offer_id": offers, "workload": "w"})
        past_run(tmp_path, f"weekly-{number}", f"2026-01-0{number}T00:00:00+00:00", {"plan": plan})
        watched = watched_runs(
            tmp_path, "weekly", now=pd.Timestamp("2026-01-09T00:00Z"), store=tmp_path / "store"
        )
        assert [finding.text for finding in rule.findings(watched)] == texts


@pytest.mark.parametrize("key", re.findall(r"^  (\w+):", block("yaml"), re.MULTILINE))
def test_the_file_that_we_ship_has_every_kind_of_the_page(key):
    assert f"  {key}:" in (PAGE.parents[1] / "data/alerts.yaml").read_text()
