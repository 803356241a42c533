"""What JupyterLab stores of a notebook, and where its servers open."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from jupyter_server.services.contents.filemanager import FileContentsManager

from cloudarb_lib.base import locations
from pipelines.workbench import servers
from pipelines.workbench.stored import before_saving

NAME = "01_explore_prices.ipynb"


@pytest.fixture
def manager(tmp_path):
    """Saves notebooks under a root, as JupyterLab does."""
    (tmp_path / "notebooks").mkdir()
    shutil.copy(locations.notebooks() / NAME, tmp_path / "notebooks")
    made = FileContentsManager(root_dir=str(tmp_path))
    made.register_pre_save_hook(before_saving)
    return made


def run(content):
    """Leave in a notebook what JupyterLab leaves when all its cells were run."""
    for count, cell in enumerate(c for c in content["cells"] if c["cell_type"] == "code"):
        cell["execution_count"] = count + 1
        cell["metadata"] |= {"execution": {"iopub.status.busy": "2026-11-30"}, "trusted": True}
        cell["outputs"] = [nbformat.v4.new_output("stream", text="other\n")]
    content["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    content["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    content["metadata"]["language_info"] |= {"version": "3.11.7", "mimetype": "text/x-python"}
    return content


def save(manager, content, path):
    manager.save({"type": "notebook", "format": "json", "content": content}, path)
    return Path(manager.root_dir) / path


def test_running_and_saving_a_notebook_of_the_project_changes_no_byte(manager):
    path = f"notebooks/{NAME}"
    before = (Path(manager.root_dir) / path).read_bytes()
    content = run(manager.get(path)["content"])
    assert save(manager, content, path).read_bytes() == before


def test_an_edit_is_saved(manager):
    path = f"notebooks/{NAME}"
    content = run(manager.get(path)["content"])
    content["cells"][0]["source"] = "# Another question"
    new = nbformat.v4.new_code_cell("print(1)", metadata={"tags": ["keep_output"]})
    content["cells"].append(new)
    saved = nbformat.read(save(manager, content, path), as_version=4)
    assert saved.cells[0].source == "# Another question"
    assert saved.cells[-1].source == "print(1)"
    assert saved.cells[-1].outputs == []  # of a contract cell that is on no record


def test_saved_elsewhere_a_notebook_keeps_its_outputs_but_no_widget_state(manager):
    content = run(manager.get(f"notebooks/{NAME}")["content"])
    saved = nbformat.read(save(manager, content, "mine.ipynb"), as_version=4)
    assert "widgets" not in saved.metadata
    assert all(c.outputs for c in saved.cells if c.cell_type == "code")


def test_what_is_no_notebook_is_left_alone(manager):
    file = save_text(manager, "notes.txt", "text")
    assert file.read_text() == "text"


def save_text(manager, path, text):
    manager.save({"type": "file", "format": "text", "content": text}, path)
    return Path(manager.root_dir) / path


def test_lab_opens_at_the_root_on_this_machine_and_asks_nobody(monkeypatch, tmp_path):
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    settings = servers.lab_settings()
    assert settings["ServerApp"]["root_dir"] == str(tmp_path)
    assert settings["ServerApp"]["ip"] == "127.0.0.1"
    assert settings["LabApp"]["news_url"] is None


def test_another_working_folder_gets_notebooks_of_its_own_and_keeps_them(monkeypatch, tmp_path):
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    own = servers.notebooks_of_home()
    assert own == tmp_path / "notebooks"
    assert {p.name for p in own.iterdir()} == {
        p.name for p in locations.notebooks().glob("*.ipynb")
    }
    (own / NAME).write_text("mine")
    servers.notebooks_of_home()
    assert (own / NAME).read_text() == "mine"
