"""Small notebooks, and a small project around them, for the tests of the pipeline."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

from cloudarb_lib.base import locations

TABLES = {
    "01_explore_prices": ["offers", "sources"],
    "02_train_ensemble": ["forecast", "paths", "scores", "weights"],
    "03_allocate": ["plan", "assumptions"],
    "04_risk_and_stress": ["risk"],
    "05_summary": ["lookback"],
}
PARAMETERS = "as_of: str = '2026-04-29'\nseed: int = 7\nbudget_usd: float = 1.0\nnames: list = ['a']\nrun_dir: str = ''"
CONFIG = "name: toy\ntitle: Toy\ntimeout_s: 60\nas_of: 2026-04-29\nseed: 3\n"
_DRIVER = """
import sys
from pathlib import Path
from cloudarb_lib.base import locations
from pipelines.cli import main
from cloudarb_lib.store import open_snapshot
open_snapshot().close()
store = locations.store()
root = Path(sys.argv[1])
locations.store = lambda: store
locations.home = locations.bundled = lambda: root
locations.library = lambda: root / "cloudarb_lib"
sys.exit(main(["run", str(root / "toy.yaml"), "--reports", str(root / "reports")]))
"""


def notebook(path: Path, parameters: str, *codes: str) -> Path:
    """Write a notebook with a parameters cell and one code cell for each of ``codes``."""
    cells = [
        new_markdown_cell("# Toy"),
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    whole = new_notebook(
        cells=[*cells, *(new_code_cell(code) for code in codes)], metadata={"kernelspec": kernel}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(writes(whole))
    return path


def write_tables(step: str) -> str:
    """Return the code of a cell that leaves the tables of ``step`` behind, and what it could see."""
    return (
        "from pathlib import Path\nfolder = Path(run_dir) / 'tables'\n"
        "print(sorted(p.stem for p in folder.iterdir()))\n"
        f"for name in {TABLES[step]}:\n    (folder / f'{{name}}.parquet').write_text(str(seed))"
    )


def project(root: Path) -> Path:
    """Make a project of five quick notebooks and a configuration that drives them."""
    for step in TABLES:
        notebook(root / "notebooks" / f"{step}.ipynb", PARAMETERS, write_tables(step))
    (root / "toy.yaml").write_text(CONFIG)
    for name in ("cloudarb_lib/code.py", "data/assumptions.csv", "data/scenarios.yaml"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("one\n")
    shutil.copy(locations.data() / "regions.csv", root / "data")
    return root


def start(root: Path) -> subprocess.Popen:
    """Start ``cloudarb run`` on such a project."""
    return subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=root,
    )


def finish(root: Path) -> tuple[int, str]:
    """Carry out ``cloudarb run`` on such a project; return exit code and what it said."""
    process = start(root)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def manifest(root: Path) -> dict:
    """Return the manifest of the project's only run."""
    (path,) = (root / "reports").glob("*/manifest.json")
    return json.loads(path.read_text())
