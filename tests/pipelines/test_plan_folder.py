"""Whether a plan can be written is known before it is looked for."""

import os
from pathlib import Path

import pytest

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli.plan_folder import refuse_unwritable


def test_a_folder_that_is_there_or_can_be_made_is_taken(tmp_path):
    refuse_unwritable(tmp_path)
    refuse_unwritable(tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "tables", "sky", "dstack"])
def test_a_file_in_the_way_of_a_folder_is_refused(tmp_path, name):
    out = tmp_path / "out"
    if name:
        out.mkdir()
    (out / name).write_text("")
    with pytest.raises(ParameterError, match=f"{name or 'out'} is a file"):
        refuse_unwritable(out)


def test_a_file_above_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="file is a file"):
        refuse_unwritable(tmp_path / "file" / "out")


def test_a_folder_in_the_way_of_a_file_is_refused(tmp_path):
    (tmp_path / "plan.csv").mkdir()
    with pytest.raises(ParameterError, match=r"plan\.csv is a folder"):
        refuse_unwritable(tmp_path)


def test_a_folder_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(ParameterError, match="nothing can be written into"):
        refuse_unwritable(tmp_path / "new")


@pytest.mark.parametrize("out", ["/proc/none/out", "n" * 300])
def test_a_folder_that_cannot_be_made_is_refused_with_the_reason(out):
    with pytest.raises(ParameterError, match="--out: nothing can be written into"):
        refuse_unwritable(Path(out))
