"""Profiles by the real tools of something small: a page that needs no other file."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from cloudarb_lib.base.errors import ParameterError
from pipelines import cli
from pipelines.observe import profiled, profiling
from pipelines.testing import notebook

pytestmark = pytest.mark.slow

STAGE = "01_explore_prices"
BY_ITSELF = """
import sys
from pathlib import Path
from cloudarb_lib.base import locations
from pipelines.observe import profiled
locations.notebooks = lambda: Path(sys.argv[1])
sys.exit(profiled.main(sys.argv[2:]))
"""


def need(program):
    if shutil.which(program, path=sysconfig.get_path("scripts")) is None:
        pytest.skip(f"{program} is not installed: make platform")


def self_contained(page):
    """Return a page's text, having looked for what it would load from elsewhere."""
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="?(?:https?:)?//[^"]*\.(?:js|css)', text)
    return text


def test_the_cpu_of_a_verb_is_a_flame_graph(tmp_path, capfd):
    need("py-spy")
    words = ["profile", "--cpu", "--out", str(tmp_path / "pages"), "--", "tokens", "list"]
    assert cli.main(words) == 0
    assert "written to" in capfd.readouterr().out
    text = self_contained(tmp_path / "pages" / "cpu-tokens.svg")
    assert "carry_out (pipelines/observe/profiled.py" in text


def test_memory_is_a_page_and_the_exit_code_is_that_of_the_verb(tmp_path, capfd):
    pytest.importorskip("memray", reason="memray is not installed: make platform")
    words = ["profile", "--memory", "--out", str(tmp_path), "report", "diff", "none", "other"]
    assert cli.main(words) == 2
    assert "no run 'none'" in capfd.readouterr().err
    text = self_contained(tmp_path / "memory-report.html")
    assert "carry_out" in text


def test_lines_of_a_function_are_timed(tmp_path, capfd):
    pytest.importorskip("line_profiler", reason="line_profiler is not installed: make platform")
    name = "cloudarb_lib.base.locations.home"
    words = ["profile", "--line", name, "--out", str(tmp_path), "tokens", "list"]
    assert cli.main(words) == 0
    text = self_contained(tmp_path / f"line-{name}.html")
    assert "def home() -&gt; Path:</td></tr>" in text, "else a line feed doubles its height"
    assert re.search(r"<td>[1-9][\d,]*<td>\d\.\d{4}<td class=.share.", text), "some line ran"


@pytest.mark.parametrize(
    ("code", "ended"), [("assert x == 1", 0), ("raise KeyError('no such offer')", 10)]
)
def test_the_cells_of_a_notebook_run_in_the_process(tmp_path, code, ended):
    notebook(tmp_path / f"{STAGE}.ipynb", "x = 1", "print('shown nowhere')", code)
    words = [str(tmp_path), str(tmp_path / "ended.json"), STAGE]
    command = [sys.executable, "-c", BY_ITSELF, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == ended, done.stderr
    assert json.loads((tmp_path / "ended.json").read_text()) == {"exit_code": ended}
    assert "shown nowhere" not in done.stdout
    assert ("KeyError: 'no such offer'" in done.stderr) == bool(ended)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cloudarb_lib.allocate.solv", "has no function solv"),
        ("cloudarb_lib.base.units.HOURS_PER_YEAR", "has no function HOURS_PER_YEAR"),
        ("nowhere.at_all", "no function nowhere.at_all"),
        ("solve", "no function solve"),
    ],
)
def test_what_is_no_function_is_refused(name, told):
    with pytest.raises(ParameterError, match=told):
        profiled.function_named(name)


def test_a_method_is_found_behind_its_decorators():
    found = profiled.function_named("cloudarb_lib.live.journal.Journal.last_done")
    assert found.__qualname__ == "Journal.last_done"


def test_a_function_that_is_not_called_is_told(tmp_path, capfd):
    pytest.importorskip("line_profiler", reason="line_profiler is not installed: make platform")
    name = "cloudarb_lib.base.units.parse_freq"
    words = ["profile", "--line", name, "--out", str(tmp_path), "tokens", "list"]
    assert cli.main(words) == 2
    assert "is not called by tokens list" in capfd.readouterr().err


def test_where_processes_may_not_be_looked_at_the_way_out_is_told(tmp_path, monkeypatch):
    spy = tmp_path / "py-spy"
    spy.write_text("#!/bin/sh\necho 'Permission Denied: Try running again' >&2\nexit 1\n")
    spy.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(ParameterError, match="SYS_PTRACE"):
        profiling.profile_cpu(["tokens", "list"], tmp_path / "pages")


def test_a_profiler_that_is_missing_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ParameterError, match="py-spy is not installed"):
        profiling.profile_cpu(["tokens", "list"], tmp_path)


@pytest.mark.parametrize("options", [[], ["--cpu", "--memory"], ["--memory", "--line", "a.b"]])
def test_one_thing_is_measured_at_a_time(options, capsys):
    assert cli.main(["profile", *options, "tokens", "list"]) == 2
    assert "one thing is measured at a time" in capsys.readouterr().err


@pytest.mark.parametrize("what", [STAGE, f"notebooks/{STAGE}.ipynb"])
def test_a_notebook_is_named_with_or_without_its_folder(what):
    assert profiling.words_of([what]) == [STAGE]
    assert profiling.words_of(["run", what]) == ["run", what]
