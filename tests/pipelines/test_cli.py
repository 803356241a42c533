"""The command line: quick to start, plain about mistakes, and a doctor that finds what is broken."""

import subprocess
import sys

import pytest

from cloudarb_lib.base import locations
from pipelines import cli, doctor

HEAVY = {"pandas", "numpy", "duckdb", "papermill", "snakemake", "nbformat", "plotly", "yaml"}


def test_the_manual_loads_nothing_heavy_and_tells_all_verbs():
    show = "import sys, pipelines.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True
    ).stdout
    manual, _, modules = said.rstrip().rpartition("\n")
    assert not HEAVY & set(modules.split())
    verbs = cli._parser()._subparsers._group_actions[0].choices
    for verb in verbs:
        assert f"\n{verb}" in manual
        assert f"cloudarb {verb}" in manual
    assert all(
        f"\n  {code}" in manual or f" {code} " in manual
        for code in (0, 2, 3, 4, 6, 10, 11, 12, 130)
    )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "none.yaml"], 2, "no file none.yaml. Way out: There are pipelines/"),
        (["ingest", "none.csv"], 3, "none.csv"),
    ],
)
def test_a_mistake_gets_one_message_and_no_traceback(arguments, code, told, capsys, tmp_path):
    more = ["--store", str(tmp_path)] if arguments[0] == "ingest" else []
    assert cli.main([*arguments, *more]) == code
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said


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
    assert cli.main(["ingest", str(file), "--store", str(tmp_path / "store")]) == 0
    assert "read them with cloudarb_lib.store.open_snapshot" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["rum"], ["run"], ["run", "a", "b"]])
def test_a_wrong_command_line(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: cloudarb" in capsys.readouterr().err


def test_the_doctor_finds_this_checkout_usable(capsys):
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "ok    pipelines/weekly.yaml and the parameters of 5 notebooks" in said
    assert "store readable" in said
    assert said.endswith("usable\n")


def test_the_doctor_finds_what_is_broken(tmp_path, monkeypatch, capsys):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/bad.yaml").write_text("name: x\n")
    (tmp_path / "reports").write_text("a file, not a folder")
    (tmp_path / "requirements.lock").write_text("pandas==0.1\n")
    monkeypatch.setattr(locations, "bundled", lambda: tmp_path)
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    found = {what: (level, way_out) for level, what, way_out in doctor.examine()}
    levels = {level for level, _ in found.values()}
    assert levels == {"ok", "warn", "fail"}
    assert any(what.startswith("packages not as locked") and "pandas" in what for what in found)
    assert any(level == "fail" and "no notebook" in what for what, (level, _) in found.items())
    assert any(level == "fail" and "reports" in what for what, (level, _) in found.items())
    monkeypatch.setattr(doctor, "examine", lambda: iter([("fail", "no room", "Make room.")]))
    assert cli.main(["doctor"]) == 1
    assert (
        capsys.readouterr().out
        == "fail  no room\n      -> Make room.\nnot usable: see fail above\n"
    )


def test_the_doctor_finds_a_package_missing(monkeypatch):
    monkeypatch.setattr(
        doctor.metadata, "requires", lambda name: ["left-pad>=1", 'ruff; extra == "test"']
    )
    assert ("fail", "packages not installed: left-pad", doctor._INSTALL) in list(doctor.examine())
