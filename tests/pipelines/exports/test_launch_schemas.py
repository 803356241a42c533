"""Launch files held against a launcher's own schema: what is refused is told and fails."""

import pytest
import yaml

from benchmarks import launch_schemas


def reads(content: dict) -> None:
    if not isinstance(content.get("name"), str):
        raise ValueError("name is no text\nand more")


def takes_anything(content: dict) -> None:
    return None


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sky").mkdir()
    (tmp_path / "sky" / "w-1.yaml").write_text(yaml.safe_dump({"name": "w-1"}))
    return tmp_path


def launched(monkeypatch, check, folder) -> int:
    launchers = {"pytest": (lambda: check, "sky/*.yaml")}  # a package whose version is there
    monkeypatch.setattr(launch_schemas, "LAUNCHERS", launchers)
    return launch_schemas.main([str(folder)])


def test_files_that_are_taken_are_counted(monkeypatch, folder, capsys):
    assert launched(monkeypatch, reads, folder) == 0
    assert capsys.readouterr().out.endswith("takes 1 of 1 files\n")


def test_a_file_that_is_refused_is_told(monkeypatch, folder, capsys):
    (folder / "sky" / "w-2.yaml").write_text("name: 3\n")
    assert launched(monkeypatch, reads, folder) == 1
    told = capsys.readouterr().out
    assert "takes 1 of 2 files" in told
    assert told.endswith("w-2.yaml: ValueError: name is no text\n")


def test_a_schema_that_refuses_nothing_and_a_folder_without_files_fail(
    monkeypatch, folder, tmp_path, capsys
):
    assert launched(monkeypatch, takes_anything, folder) == 1
    assert "this judges nothing" in capsys.readouterr().out
    assert launched(monkeypatch, reads, tmp_path / "none") == 1
    assert launch_schemas.main([]) == 2
