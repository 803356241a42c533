"""What code a notebook rests on: found by reading, and never less than what it loads."""

import ast
import json
import subprocess
import sys

import pytest

from cloudarb_lib.base import locations
from pipelines.run.code import code_of
from pipelines.run.stages import STAGES
from pipelines.testing import notebook

FILES = {
    "__init__.py": "",
    "plots/__init__.py": "from cloudarb_lib.plots import style",
    "plots/style.py": "",
    "plots/risk.py": "",
    "plots/fans.py": "def draw():\n    from cloudarb_lib.base.units import HOURS  # late\n",
    "base/__init__.py": "",
    "base/units.py": "",
    "base/others.py": "",
    "forecast/__init__.py": "",
    "forecast/worker.py": "from cloudarb_lib.base import (\n    others as o,  # why\n)\n",
    "forecast/figures.csv": "a\n1\n",
    "forecast/start.py": 'COMMAND = ["-m", "cloudarb_lib.forecast.worker"]',
    "advice/__init__.py": "",
    "advice/by_name.py": "import cloudarb_lib.plots.risk",
}


@pytest.fixture
def library(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "cloudarb_lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "cloudarb_lib"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import pandas", set()),
        ("%matplotlib x\nfrom cloudarb_lib.base import units", {"base/units.py"}),
        (
            "from cloudarb_lib.plots import fans as f",
            {"plots/fans.py", "plots/style.py", "base/units.py"},
        ),
        (
            "from cloudarb_lib.forecast.start import COMMAND",
            {"forecast/start.py", "forecast/worker.py", "base/others.py", "forecast/figures.csv"},
        ),
        (
            "from cloudarb_lib import advice",
            {"advice/by_name.py", "plots/risk.py", "plots/style.py"},
        ),
        ("from cloudarb_lib.base import HOURS", {"base/units.py", "base/others.py"}),
    ],
)
def test_a_change_of_what_is_used_is_seen_and_no_other(library, tmp_path, code, found):
    path = notebook(tmp_path / "n.ipynb", "x: int = 1", code)
    files = {str(file.relative_to(library)) for file in code_of(path, library)}
    assert {name for name in files if not name.endswith("__init__.py")} == found


def test_a_notebook_that_cannot_be_read_rests_on_nothing(library, tmp_path):
    (tmp_path / "n.ipynb").write_text("[")
    assert code_of(tmp_path / "n.ipynb", library) == [library / "__init__.py"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", list(STAGES))
def test_what_a_notebook_loads_is_among_it(stage):
    path = locations.notebooks() / f"{stage}.ipynb"
    cells = json.loads(path.read_text())["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    first = next(text for text in code if "cloudarb_lib" in text)
    lines = [
        ast.unparse(n) for n in ast.parse(first).body if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    imports = "\n".join(lines)
    show = "import sys\nprint([m.__file__ for n, m in sys.modules.items() if 'cloudarb_lib' in n])"
    loaded = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{show}"], capture_output=True, text=True, check=True
    )
    files = {str(file) for file in code_of(path, locations.library())}
    assert set(json.loads(loaded.stdout.replace("'", '"'))) <= files
