"""Small notebooks, and a small project around them, for the tests of the pipeline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes

from cloudarb_lib.base import locations
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.tables.run_schema import RUN_TABLES
from cloudarb_lib.tables.run_tables import save_table
from cloudarb_lib.tables.schema import Table
from pipelines.run import graph
from pipelines.run.files import write_json, write_text
from pipelines.run.folders import RunFolders
from pipelines.run.graph import GraphEnd
from pipelines.run.notebook import now
from pipelines.run.stages import STAGES

PARAMETERS = """as_of: str = '2026-04-29'
seed: int = 7
budget_usd: float = 1.0
names: list = ['a']
run_dir: str = ''"""
"""The parameters cell of a toy notebook."""
CONFIG = "name: toy\ntitle: Toy\ntimeout_s: 60\nas_of: 2026-04-29\nseed: 3\n"


def a_manifest(**changes: Any) -> dict[str, Any]:
    """The manifest of a run that succeeded."""
    told = {"status": "succeeded", "seconds": 1.25, "tables": ["offers"], "error": ""}
    run = {
        "run_id": "toy-1",
        "title": "Toy & <script>",
        "status": "succeeded",
        "as_of": "2026-04-29",
        "snapshot": "abcdef0123",
        "started_at": "2026-05-01T10:00:00+00:00",
        "seconds": 61.2,
        "git": None,
        "library": "f00",
        "python": "3.11",
        "platform": "x",
        "packages": {"pandas": "2"},
        "config": {"providers": ["gcp", "aws"], "seed": 7},
        "notebooks": {stage: dict(told) for stage in STAGES},
    }
    return {**run, **changes}


_FIRST = "01_explore_prices"
_SECOND = "02_train_ensemble"
LAST_OF_THREE = "05_summary"
"""The stage of ``THREE_STAGES`` that comes after the two others."""
THREE_STAGES = f"""
from pipelines.run import graph
from pipelines.run.stages import STAGES, Stage
graph.END_S = 4
for name in list(STAGES):
    if name not in {(_FIRST, _SECOND, LAST_OF_THREE)}:
        del STAGES[name]
STAGES[{LAST_OF_THREE!r}] = Stage(
    title="Summary", after={(_FIRST, _SECOND)}, tables=("lookback",)
)
"""
"""What ``start`` carries out before a run of three notebooks alone."""
_DRAWS = "import random\n(folder / 'paths.parquet').write_text(str(random.Random(seed).random()))"
_GATHERS = """before = {p.stem: p.read_text() for p in folder.iterdir() if p.is_symlink()}
(folder / 'lookback.parquet').write_text(str(sorted(before.items())))"""
_DRIVER = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell
from cloudarb_lib.base import locations
from pipelines.cli import main
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.tables.run_schema import RUN_TABLES
from cloudarb_lib.tables.run_tables import save_table
from cloudarb_lib.tables.schema import Table
from pipelines.report import paper
paper.BROWSERS = ()
open_snapshot().close()
store = locations.store()
root = Path(sys.argv[1])
locations.store = lambda: store
locations.home = locations.bundled = lambda: root
locations.library = lambda: root / "cloudarb_lib"
exec(sys.argv[2])
config, reports = str(root / "toy.yaml"), str(root / "reports")
sys.exit(main(["run", config, "--reports", reports, *sys.argv[3:]]))
"""


def notebook(path: Path, parameters: str, *codes: str) -> Path:
    """Write a notebook with a parameters cell and one code cell for each of ``codes``."""
    cells = [
        new_markdown_cell("# Toy"),
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *(new_code_cell(code) for code in codes),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    whole = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(writes(whole))
    return path


def write_tables(names: Iterable[str]) -> str:
    """Return the code of a cell that leaves these tables behind, and prints what it could see."""
    return (
        "from pathlib import Path\nfolder = Path(run_dir) / 'tables'\n"
        "print(sorted(p.stem for p in folder.iterdir()))\n"
        f"for name in {list(names)}:\n    (folder / f'{{name}}.parquet').write_text(str(seed))"
    )


def toy_stage(root: Path, stage: str, *more_codes: str) -> Path:
    """Write a quick notebook of a project for a stage, which leaves the tables that it must."""
    code = write_tables(STAGES[stage].tables)
    return notebook(root / "notebooks" / f"{stage}.ipynb", PARAMETERS, code, *more_codes)


def project(root: Path) -> Path:
    """Make a project of a quick notebook for each stage, and a configuration that drives them."""
    for stage in STAGES:
        toy_stage(root, stage)
    (root / "toy.yaml").write_text(CONFIG)
    for name in ("cloudarb_lib/code.py", "data/assumptions.csv", "data/scenarios.yaml"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("one\n")
    shutil.copy(locations.data() / "regions.csv", root / "data")
    return root


def three_stages(root: Path) -> Path:
    """Make a project for ``THREE_STAGES``: one draws a number, the last gathers what there is."""
    project(root)
    toy_stage(root, _SECOND, _DRAWS)
    toy_stage(root, LAST_OF_THREE, _GATHERS)
    return root


def tables_of(root: Path) -> dict[str, bytes]:
    """Return the tables of the runs of such a project, by name."""
    tables = (root / "reports").glob("toy-*/tables/*.parquet")
    return {table.stem: table.read_bytes() for table in tables}


def start(root: Path, *options: str, before: str = "") -> subprocess.Popen[str]:
    """Start ``cloudarb run`` on such a project, in a process that carries out ``before`` first."""
    return subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(root), before, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=root,
    )


@contextmanager
def quick_runs(root: Path) -> Iterator[Callable[..., int]]:
    """Let ``cloudarb run`` work in this process on such a project, without graph and kernels.

    Each notebook of a run counts as executed, and leaves the tables that it must.

    Yields
    ------
    callable
        Carries out the run of the project, given further words of the command line; returns the
        exit code.
    """
    from pipelines.cli import main

    ours = [str(root / "toy.yaml"), "--reports", str(root / "reports")]
    open_snapshot().close()  # builds the store, if need be, from the files of the real project
    store = locations.store()
    folders: dict[str, Any] = {
        "home": lambda: root,
        "bundled": lambda: root,
        "library": lambda: root / "cloudarb_lib",
        "store": lambda: store,
    }
    with (
        patch.multiple(locations, **folders),
        patch.object(graph, "carry_out", as_if_carried_out),
        patch("pipelines.report.pages.write_pdf", return_value=None),
    ):
        yield lambda *options: main(["run", *ours, *options])


def as_if_carried_out(folders: RunFolders, lock: int, cores: int) -> GraphEnd:
    """Leave what the graph would, without running anything.

    Parameters
    ----------
    folders : RunFolders
        Where the run writes.
    lock, cores : int
        As ``graph.carry_out`` takes them; not used.

    Returns
    -------
    GraphEnd
        That all went well.
    """
    for name, stage in STAGES.items():
        status = {
            "status": "succeeded",
            "after": list(stage.after),
            "tables": sorted(stage.tables),
            "exit_code": 0,
            "error": "",
            "seconds": 0.1,
            "finished_at": now(),
        }
        write_json(folders.run_dir / "logs" / f"{name}.json", status)
        notebook(folders.run_dir / "notebooks" / f"{name}.ipynb", PARAMETERS, "1")
        for table in stage.tables:
            write_text(folders.run_dir / "tables" / f"{table}.parquet", "")
    return GraphEnd(0, "")


def finish(root: Path, *options: str, before: str = "") -> tuple[int, str]:
    """Carry out ``cloudarb run`` on such a project; return exit code and what it printed."""
    process = start(root, *options, before=before)
    printed, _ = process.communicate(timeout=300)
    return process.returncode, printed


def manifest(root: Path) -> dict[str, Any]:
    """Return the manifest of the project's only run."""
    (path,) = (root / "reports").glob("*/manifest.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


_SKYPILOT_PLACE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["infra", "accelerators", "use_spot"],
    "properties": {
        "infra": {
            "type": "string",
            "pattern": "^(aws|azure|gcp|lambda|nebius|runpod|verda)(/[^/]+(/[^/]+)?)?$",
        },
        "instance_type": {"type": "string", "pattern": "^[^/ ]+$"},
        "accelerators": {"type": "string", "pattern": "^[A-Za-z0-9-]+:[0-9]+(\\.[0-9]+)?$"},
        "use_spot": {"type": "boolean"},
    },
}
SKYPILOT_TASK = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-zA-Z]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$"},
        "num_nodes": {"type": "integer", "minimum": 1},
        "resources": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"any_of": {"type": "array", "minItems": 1, "items": _SKYPILOT_PLACE}},
        },
    },
}
"""What of SkyPilot's task schema (sky/utils/schemas.py, ALL_CLOUDS and CLUSTER_NAME_VALID_REGEX of
sky/skylet/constants.py) our tasks may use; clouds are those of it whose prices the record holds.
``benchmarks.launch_schemas`` holds tasks against the whole of it, as published."""
DSTACK_FLEET = {
    "type": "object",
    "additionalProperties": False,
    "required": ["type", "name", "nodes", "backends", "resources"],
    "properties": {
        "type": {"const": "fleet"},
        "name": {"type": "string", "pattern": "^[a-z][a-z0-9-]{1,40}$"},
        "nodes": {"type": "integer", "minimum": 1},
        "placement": {"enum": ["any", "cluster"]},
        "backends": {
            "type": "array",
            "items": {
                "enum": [
                    "aws",
                    "azure",
                    "gcp",
                    "lambda",
                    "nebius",
                    "runpod",
                    "vastai",
                    "verda",
                    "vultr",
                ]
            },
        },
        "regions": {"type": "array", "items": {"type": "string"}},
        "instance_types": {"type": "array", "items": {"type": "string"}},
        "resources": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"gpu": {"type": "string", "pattern": "^[A-Z0-9]+(:[0-9]+GB)?:[0-9]+$"}},
        },
        "spot_policy": {"enum": ["spot", "on-demand", "auto"]},
    },
}
"""What of dstack's fleet configuration (InstanceGroupParams, BackendType and the rule of resource
names of its models) our fleets may use; ``benchmarks.launch_schemas`` holds fleets against all of
it."""


def past_run(
    reports: Path, run_id: str, finished_at: str, tables: Mapping[str, pd.DataFrame], **more: Any
) -> Path:
    """Leave the folder of a run that has ended, with some of its tables.

    Parameters
    ----------
    reports : Path
        Folder of the runs.
    run_id : str
        Its name.
    finished_at : str
        When it ended, with its zone.
    tables : mapping of str to DataFrame
        By name; columns that a schema asks for and that are not given are made up.
    **more
        Of its manifest, in place of what a run that succeeded has.
    """
    folder = reports / run_id
    usual = {
        "run_id": run_id,
        "title": run_id.partition("-")[0],
        "status": "succeeded",
        "as_of": finished_at[:10],
        "snapshot": 16 * "0",
        "started_at": finished_at,
        "finished_at": finished_at,
        "notebooks": {},
    }
    write_json(folder / "manifest.json", usual | more)
    for name, frame in tables.items():
        save_table(_filled(frame, RUN_TABLES[name]), name, folder)
    return folder


def _filled(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Return a table with all columns of its schema."""
    made_up: dict[str, Any] = {
        "VARCHAR": "",
        "DOUBLE": 0.0,
        "INTEGER": 0,
        "BIGINT": 0,
        "BOOLEAN": False,
        "TIMESTAMPTZ": pd.Timestamp("2026-01-01", tz="UTC"),
    }
    missing = {c.name: made_up[c.dtype] for c in table.columns if c.name not in frame}
    return frame.assign(**missing)[table.names]
