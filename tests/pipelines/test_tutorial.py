"""docs/tutorial.md is true: its commands do what it says, in its order."""

import re
import shlex
import shutil
from pathlib import Path
from unittest.mock import patch

import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.store import open_snapshot
from pipelines import cli
from pipelines.run import graph
from pipelines.schedule import timers
from pipelines.testing import as_if_carried_out

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"(?:<!-- (\w+):? ?(\S*) -->\n)?```\w*\n(.*?)```", re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.members]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with a store of its own, which the page changes."""
    open_snapshot().close()
    shutil.copytree(locations.store(), tmp_path / "data/store")
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.long
def test_the_commands_of_the_page_do_what_it_says(home, capfd):
    said = ""
    codes = []
    with (
        patch.object(graph, "carry_out", as_if_carried_out),
        patch("pipelines.report.pages.write_pdf", return_value=None),
        patch.object(timers, "found_timer", lambda: "crontab"),
        patch.object(timers, "install", lambda job: "installed"),
        patch.object(timers, "fault_of", lambda job: ""),
    ):
        for kind, value, text in BLOCK.findall(PAGE.read_text()):
            if kind == "file":
                (home / value).write_text(text)
            elif kind == "prints":
                for line in text.splitlines():
                    assert line in said, f"{line!r} is not in what was printed:\n{said}"
            elif text.startswith("cloudarb"):
                wanted = int(value) if kind == "exit" else 0
                for command in text.splitlines():
                    codes.append(cli.main(shlex.split(command)[1:]))
                    said = "".join(capfd.readouterr())
                    assert codes[-1] == wanted, f"{command}\n{said}"
    assert codes == [8, 0, 0, 7, 0, 0, 0]
    assert len(list((home / "reports").glob("weekly-*/run.html"))) == 1


def test_the_pictures_of_the_page_are_there():
    names = re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE.read_text())
    assert names
    sizes = [(PAGE.parent / name).stat().st_size for name in names]
    assert min(sizes) > 10_000
    assert max(sizes) < 150_000
