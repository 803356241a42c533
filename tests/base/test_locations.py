"""Folders: what came with the program, where it writes, and the variable that says otherwise."""

from pathlib import Path

import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError, ParameterError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(locations.HOME_VARIABLE, raising=False)


def test_a_checkout_reads_and_writes_in_its_root():
    assert locations.checkout() == ROOT
    assert locations.bundled() == locations.home() == ROOT
    assert locations.data() == ROOT / "data"
    assert locations.notebooks() == ROOT / "notebooks"
    assert locations.configurations() == ROOT / "pipelines"
    assert locations.store() == ROOT / "data" / "store"
    assert locations.scratch() == ROOT / "reports" / "scratch"


def test_the_variable_moves_what_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    assert locations.bundled() == ROOT
    assert locations.store() == tmp_path / "data" / "store"
    assert locations.reports() == tmp_path / "reports"


def test_a_relative_working_folder_is_refused(monkeypatch):
    monkeypatch.setenv(locations.HOME_VARIABLE, "here")
    with pytest.raises(ParameterError, match=r"CLOUDARB_HOME is 'here'.*whole path"):
        locations.home()


def test_a_file_of_the_working_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    assert locations.find("data/demand.yaml") == ROOT / "data" / "demand.yaml"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demand.yaml").touch()
    assert locations.find("data/demand.yaml") == tmp_path / "data" / "demand.yaml"
    assert locations.find("none.yaml") == tmp_path / "none.yaml"
    assert locations.find(ROOT / "LICENSE") == ROOT / "LICENSE"


def test_an_installed_package_reads_what_the_wheel_carries(tmp_path, monkeypatch):
    monkeypatch.setattr(locations, "library", lambda: tmp_path / "cloudarb_lib")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / name))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    with pytest.raises(DataError, match=r"lacks its data.*Install the wheel again"):
        locations.bundled()
    carried = tmp_path / "data" / "share" / "cloudarb"
    carried.mkdir(parents=True)
    assert locations.bundled() == carried
    assert locations.home() == tmp_path / "user" / "cloudarb"
