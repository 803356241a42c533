"""The dashboard for Grafana shows every metric, in expressions that Prometheus reads."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

pytest.importorskip("grafana_foundation_sdk", reason="extra observe is not installed")

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from pipelines import cli
from pipelines.observe.described import METRICS, SECTIONS
from pipelines.observe.grafana import grafana_dashboard


def expressions(dashboard):
    return [t["expr"] for panel in dashboard["panels"] for t in panel.get("targets", [])]


def read_by_grafana(dashboard):
    """Return what is left of a dashboard when classes made of Grafana's schema have read it."""
    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))


def test_every_metric_has_a_panel_and_every_panel_a_metric(tmp_path, capsys):
    file = tmp_path / "grafana.json"
    assert cli.main(["metrics", "--grafana", str(file)]) == 0
    dashboard = json.loads(file.read_text())
    named = set(re.findall(r"cloudarb_\w+", " ".join(expressions(dashboard))))
    named = {re.sub("_(bucket|count)$", "", name) for name in named}
    assert named == {metric.whole_name for metric in METRICS.values()}
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == list(SECTIONS)
    assert str(file) in capsys.readouterr().out


def test_no_panels_overlap_and_lines_of_one_have_names_of_their_own():
    places = set()
    for panel in json.loads(grafana_dashboard())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & places
        places |= cells
        names = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(names)) == len(names)


def test_grafanas_schema_knows_every_key():
    dashboard = json.loads(grafana_dashboard())
    assert read_by_grafana(dashboard) == dashboard
    assert read_by_grafana(dashboard | {"refesh": "5m"}) != dashboard | {"refesh": "5m"}


@pytest.mark.parametrize("is_broken", [False, True])
def test_prometheus_reads_every_expression(tmp_path, is_broken):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    found = expressions(json.loads(grafana_dashboard())) + ["sum by ("] * is_broken
    rules = [
        {"record": f"shown:{k}", "expr": text.replace("$__rate_interval", "5m")}
        for k, text in enumerate(found)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": rules}]}))
    ended = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True)
    assert (ended.returncode != 0) == is_broken, ended.stderr
