"""One trace over the borders of processes; without the extra nothing is traced."""

import json
import os
import subprocess
import sys

import pytest

from cloudarb_lib.base.tracing import span
from cloudarb_lib.testing import write_text
from pipelines import cli
from pipelines.observe import tracing
from pipelines.observe.spans import drawn, read_spans
from pipelines.observe.tracing import PARENT, SPANS, SPANS_FILE, recorded
from pipelines.schedule import job
from pipelines.testing import notebook, project, quick_runs

needs_sdk = pytest.mark.skipif(not tracing.is_installed(), reason="extra observe is not installed")
CODE = "from cloudarb_lib.base.tracing import span\nwith span('solve'):\n    x = 1"


@pytest.fixture(autouse=True)
def untraced(monkeypatch):
    for name in (SPANS, PARENT, tracing.ENDPOINT):
        monkeypatch.delenv(name, raising=False)


@needs_sdk
@pytest.mark.kernel
def test_one_trace_from_a_command_to_the_solver_in_a_kernel(tmp_path, capsys):
    run_dir = tmp_path / "weekly-1"
    book = notebook(tmp_path / "n.ipynb", "run_dir: str = ''", CODE)
    words = ["-m", "pipelines.run.notebook", str(book), "--run-dir", str(run_dir)]
    with recorded("run weekly-1", run_dir / SPANS_FILE):
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        with span("report"):
            cli.main(["events", "tail", "--kind", "no such kind"])
    assert SPANS not in os.environ
    spans = {told["name"]: told for told in read_spans(run_dir / SPANS_FILE)}
    by_id = {told["span_id"]: told for told in spans.values()}
    way = []
    at = spans["solve"]
    while at:
        way.append(at["name"].partition(" ")[0])
        at = by_id.get(at["parent_id"])
    assert way == ["solve", "cell", "notebook", "run"]
    assert len({told["trace_id"] for told in spans.values()}) == 1
    assert len({told["pid"] for told in spans.values()}) == 3
    assert {"report", "cloudarb"} <= set(spans)
    assert cli.main(["report", "trace", str(run_dir), "--least", "0"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("run weekly-1 ")
    assert shown[1].startswith("  notebook n ")
    assert any(line.startswith("      solve ") for line in shown)


@pytest.mark.slow
@needs_sdk
def test_a_turn_is_one_trace_from_collection_to_report(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cloudarb_lib.live.registry.chosen", lambda _: [])  # nobody is asked
    folder = tmp_path / "store.live"
    monkeypatch.setattr("cloudarb_lib.live.collect.collection_folder", lambda _: folder)
    root = project(tmp_path / "project")
    config = str(root / "toy.yaml")
    planned = job.Job("toy", config, (), "", 3, "daily", "06:05", "crontab", collect=True)
    with quick_runs(root):
        job.save(planned)
        assert cli.main(["schedule", "turn", "toy"]) == 0
        file = job.spans_path("toy")
        (run,) = (root / "reports").glob(f"*/{SPANS_FILE}")
    spans = {told["name"]: told for told in read_spans(file)}
    assert {"fetch", "report"} <= set(spans)
    assert spans["turn toy"]["parent_id"] == ""
    ours = read_spans(run)
    assert {told["trace_id"] for told in ours} == {spans["turn toy"]["trace_id"]}
    begun = next(told for told in ours if told["name"].startswith("run toy-"))
    assert begun["parent_id"] == spans["run"]["span_id"]
    assert spans["collect"]["trace_id"] == begun["trace_id"]
    assert cli.main(["report", "trace", str(file), "--least", "0"]) == 0
    assert capsys.readouterr().out.startswith("turn toy ")


@needs_sdk
def test_a_file_of_spans_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "MOST_BYTES", 10)
    file = tmp_path / "spans.jsonl"
    for name in ("first", "second"):
        with recorded(name, file):
            pass
    assert [told["name"] for told in read_spans(file)] == ["second"]
    assert [told["name"] for told in read_spans(tmp_path / "spans.jsonl.1")] == ["first"]


@needs_sdk
def test_who_listened_before_listens_again(tmp_path):
    outer = tmp_path / "outer.jsonl"
    inner = tmp_path / "inner.jsonl"
    with recorded("outer", outer):
        with recorded("inner", inner), span("within"):
            pass
        with span("after"):
            pass
    assert [told["name"] for told in read_spans(outer)] == ["outer", "inner", "within", "after"]
    assert [told["name"] for told in read_spans(inner)] == ["inner", "within"]


@needs_sdk
def test_spans_go_to_a_collector_besides(tmp_path, httpserver, monkeypatch):
    httpserver.expect_request("/v1/traces", method="POST").respond_with_data(b"")
    monkeypatch.setenv(tracing.ENDPOINT, httpserver.url_for(""))
    with recorded("run", tmp_path / "spans.jsonl"):
        pass
    (asked, _), *_ = httpserver.log
    assert b"cloudarb" in asked.get_data()
    assert len((tmp_path / "spans.jsonl").read_text().splitlines()) == 1


def test_without_the_extra_nothing_is_traced(tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "is_installed", lambda: False)
    with recorded("run", tmp_path / "spans.jsonl"), span("solve"):
        assert SPANS not in os.environ
    assert not (tmp_path / "spans.jsonl").exists()


@needs_sdk
def test_nobody_is_told_where_nobody_asked(tmp_path):
    with recorded("cloudarb"), span("solve"):
        assert PARENT not in os.environ


def test_a_run_without_spans_says_so(tmp_path, capsys):
    (tmp_path / "weekly-1").mkdir()
    assert cli.main(["report", "trace", "weekly-1", "--reports", str(tmp_path)]) == 2
    assert "there are no spans in weekly-1/logs/spans.jsonl" in capsys.readouterr().err
    other = write_text(tmp_path / "prices.csv", "provider,region\n[1]\n{}\n")
    assert cli.main(["report", "trace", str(other)]) == 2
    assert "there are no spans in" in capsys.readouterr().err
    assert cli.main(["report", "trace", "weekly-2", "--reports", str(tmp_path)]) == 2
    assert "no run 'weekly-2' in" in capsys.readouterr().err


def test_lines_stand_where_the_time_went():
    spans = [
        {"span_id": "a", "parent_id": "", "name": "run", "started_ns": 0, "seconds": 10.0},
        {"span_id": "b", "parent_id": "a", "name": "solve", "started_ns": 5e9, "seconds": 5.0},
        {"span_id": "c", "parent_id": "a", "name": "short", "started_ns": 5e9, "seconds": 0.01},
    ]
    whole, solve = drawn(json.loads(json.dumps(spans)), 0.01)
    assert whole.endswith("10.00 s  |" + 40 * "#" + "|")
    assert solve.endswith("5.00 s  |" + 20 * " " + 20 * "#" + "|")
