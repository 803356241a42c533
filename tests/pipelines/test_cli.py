"""The command line: quick to start, plain about mistakes; a doctor that finds what is broken."""

import errno
import re
import subprocess
import sys
from importlib import metadata

import pytest
import typer

from cloudarb_lib import store
from cloudarb_lib.base import locations
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, write_text
from pipelines import cli, exit_codes
from pipelines.cli import doctor
from pipelines.cli.manual import repeat_options

HEAVY = {"pandas", "numpy", "duckdb", "papermill", "snakemake", "nbformat", "plotly", "yaml"}


VERBS = (
    "run",
    "alerts",
    "prune",
    "rerun",
    "schedule install",
    "schedule status",
    "schedule remove",
    "ingest",
    "quarantine list",
    "quarantine release",
    "backtest",
    "forecast",
    "allocate",
    "risk backtest",
    "report export",
    "report diff",
    "report trace",
    "report lineage",
    "advise budget",
    "advise commit",
    "advise dated-run",
    "advise reserve",
    "advise move",
    "advise start",
    "advise backtest",
    "lab",
    "dashboard",
    "doctor",
    "events tail",
    "events replay",
    "events publish",
    "events replan",
    "export",
    "gateway",
    "metrics",
    "profile",
    "quality",
    "serve",
    "tokens add",
    "tokens revoke",
)


def test_the_manual_loads_nothing_heavy_and_tells_all_verbs():
    show = "import sys, pipelines.cli as c; c.main(['--help']); print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True
    ).stdout
    manual, _, modules = said.rstrip().rpartition("\n")
    assert not HEAVY & set(modules.split())
    for verb in VERBS:
        assert manual.count(f"cloudarb {verb} ") == 2, "in the list, and above what it does"
    for code, meaning in exit_codes.MEANING.items():
        assert f"\n  {code:<5}{meaning[:40]}" in manual
    for folder in ("data/", "data/store/", "pipelines/*.yaml", "notebooks/", "reports/"):
        assert f"\n  {folder} " in manual


@pytest.mark.parametrize("words", [[], ["risk"], ["quarantine"], *(verb.split() for verb in VERBS)])
def test_help_is_plain_text_of_100_columns_at_most(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main([*words, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.isascii(), "no boxes"
    assert max(map(len, told.splitlines())) <= 100
    assert told.startswith(" ".join(["Usage: cloudarb", *words]))
    assert cli.main([*words, "-h"]) == 0
    assert capsys.readouterr().out == told


def test_lists_are_given_in_one_go():
    words = ["--terms", "1y", "3y", "--gap", "-1", "--frontier", "x", "--terms", "2y", "--terms"]
    assert repeat_options(words, ["--terms"]) == [
        *("--terms", "1y", "--terms", "3y", "--gap", "-1", "--frontier", "x"),
        *("--terms", "2y", "--terms"),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "none.yaml"], 2, "no file none.yaml. Way out: There are pipelines/"),
        (["ingest", "none.csv"], 3, "none.csv"),
        (["report", "export", "none"], 2, "no run 'none'"),
        (["report", "lineage", "none"], 2, "no run 'none'"),
    ],
)
def test_a_mistake_gets_one_message_and_no_traceback(arguments, code, told, capsys, tmp_path):
    more = ["--store", str(tmp_path)] if arguments[0] == "ingest" else []
    assert cli.main([*arguments, *more]) == code
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said


def verbs_of(group):
    for command in group.commands.values():
        if hasattr(command, "commands"):
            yield from verbs_of(command)
        else:
            yield command


def usage_of(verb):
    return " ".join(verb.collect_usage_pieces(typer.Context(verb)))


def test_a_usage_line_has_no_braces_and_only_options_that_there_are():
    verbs = list(verbs_of(typer.main.get_command(cli.app)))
    usages = [usage_of(verb) for verb in verbs]
    assert "[--set KEY=VALUE] [OPTIONS] CONFIG.yaml..." in usages
    assert "--keep N [OPTIONS] [NAME]" in usages
    for verb, usage in zip(verbs, usages, strict=True):
        assert not set(usage) & set("{}")
        options = {"--help", *(name for parameter in verb.params for name in parameter.opts)}
        assert options.issuperset(re.findall(r"--[a-z-]+", usage))


@pytest.mark.slow
def test_ingest_prints_its_counts(tmp_path, capsys):
    file = tmp_path / "grid_carbon.csv"
    file.write_text(
        "provider,region,location,grid_gco2e_per_kwh,carbon_free_energy_share,year\ngcp,mars,Mars,1.0,0.5,2024\n"
    )
    assert cli.main(["ingest", str(file), "--store", str(tmp_path / "store")]) == 0
    assert "new 1" in capsys.readouterr().out
    assert cli.main(["ingest", str(file), "--store", str(tmp_path / "store")]) == 0
    assert "nothing changed" in capsys.readouterr().out
    file.write_text(file.read_text() + "gcp,moon,Moon,none,0.5,2024\n")
    assert cli.main(["ingest", str(file), "--store", str(tmp_path / "store")]) == 8
    assert "cloudarb quarantine list --all" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "cloudarb: error: Missing command"),
        (["rum"], "cloudarb: error: No such command 'rum'. Did you mean 'run'?"),
        (["run"], "cloudarb run: error: Missing argument 'CONFIG.yaml'"),
        (["doctor", "a"], "cloudarb doctor: error: Got unexpected extra argument"),
        (["run", "a", "--report", "b"], "No such option: --report"),
        (["allocate", "a", "--budgte", "1"], "--budget"),
        (["risk"], "cloudarb risk: error: Missing command"),
        (["risk", "backtest", "--level", "high"], "'--level'"),
        (["backtest", "--origins", "1.5"], "'--origins'"),
        (["export", "nothing", "--out", "a"], "Invalid value for 'SHAPE': 'nothing' is not one of"),
    ],
)
def test_a_wrong_command_line(arguments, told, capsys):
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("Usage: cloudarb")
    assert told in said


@pytest.mark.slow
def test_the_doctor_finds_this_checkout_usable(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "MEMBERS", ("lightgbm",))
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "ok    pipelines/weekly.yaml and the parameters of 5 notebooks" in said
    assert "store readable" in said
    assert said.endswith("usable\n")


def test_the_doctor_finds_what_is_broken(tmp_path, monkeypatch, capsys):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/bad.yaml").write_text("name: x\n")
    monkeypatch.setattr(doctor, "MEMBERS", ())
    monkeypatch.setattr(doctor, "SOLVES", {})
    (tmp_path / "reports").write_text("a file, not a folder")
    (tmp_path / "requirements.lock").write_text("pandas==0.1\n")
    monkeypatch.setattr(locations, "bundled", lambda: tmp_path)
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    found = {what: (level, way_out) for level, what, way_out in doctor.examine()}
    levels = {level for level, _ in found.values()}
    assert levels == {"ok", "warn", "fail"}
    assert any(what.startswith("packages not as locked") and "pandas" in what for what in found)
    assert any(level == "fail" and "no notebook" in what for what, (level, _) in found.items())
    level, way_out = found[f"{tmp_path / 'reports'} cannot be written: File exists"]
    assert level == "fail"
    assert "CLOUDARB_HOME" in way_out
    assert found["data/ is writable"] == ("ok", ""), "what comes after it is looked at"
    assert not any("schedule" in what for what in found), "nothing is scheduled"
    monkeypatch.setattr(doctor, "examine", lambda: iter([("fail", "no room", "Make room.")]))
    assert cli.main(["doctor"]) == 1
    assert (
        capsys.readouterr().out
        == "fail  no room\n      -> Make room.\nnot usable: see fail above\n"
    )


@pytest.mark.parametrize("verb", ["backtest", "risk backtest", "advise backtest"])
def test_where_nothing_can_be_written_nothing_is_scored(verb, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(store, "open_snapshot", lambda *_: pytest.fail("the store is read"))
    assert cli.main([*verb.split(), "--out", str(tmp_path / "file")]) == 2
    assert f"--out {tmp_path / 'file'} is a file" in capsys.readouterr().err


def test_the_doctor_finds_a_package_missing(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: ["left-pad>=1", 'ruff; extra == "test"'])
    assert ("fail", "packages not installed: left-pad", doctor.INSTALL) in doctor.examine()


@pytest.mark.slow
def test_an_option_of_a_verb_with_files_takes_one_word_alone(tmp_path, capsys):
    file = write_text(tmp_path / "a.csv", PRICE_HEADER + PRICE_ROW)
    assert cli.main(["ingest", "--store", str(tmp_path / "s"), "--whole", "gcp", str(file)]) == 0
    assert "read 1: new 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["allocate", "demand.yaml", "--as-of", "2026-04-29", "--out", ""],
        ["allocate", "demand.yaml", "--as-of=2026-04-29", "--out="],
        ["run", "weekly.yaml", "--reports", ""],
        ["report", "export", "latest", "--out", "", "--reports", "r"],
    ],
)
def test_an_empty_name_of_a_folder_is_not_the_folder_that_one_is_in(words, capsys):
    assert cli.main(words) == exit_codes.NOT_ACCEPTABLE
    option = "--reports" if "run" in words else "--out"
    assert f"{option} is empty. Way out: Name a file or folder" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("out", ["/proc/prices.csv", "/dev/null/prices.csv"])
def test_a_file_that_can_be_made_nowhere_ends_a_verb_with_a_sentence(out, capsys):
    words = ["export", "gpuhunt-catalog", "--provider", "gcp", "--as-of", "2026-04-02"]
    assert cli.main([*words, "--out", out]) == 2
    said = capsys.readouterr().err
    assert said.startswith("cloudarb export: /")
    assert "Way out: Name a file or folder that you may read and write." in said


def test_a_fault_of_no_file_is_not_put_down_to_one(monkeypatch):
    def fails(*_, **__):
        raise OSError(errno.ENETDOWN, "Network is down")

    monkeypatch.setattr("pipelines.cli.export.market_on", fails)
    words = ["export", "gpuhunt-catalog", "--provider", "gcp", "--as-of", "2026-04-02"]
    with pytest.raises(OSError, match="Network is down"):
        cli.main([*words, "--out", "prices.csv"])
