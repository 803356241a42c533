"""Who may import whom, and which rooms hold the database, the network, the clock and the environment."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (
    ("base",),
    ("tables",),
    ("market",),
    ("forecast", "allocate"),
    ("risk",),
    ("advice",),
    ("plots",),
)
"""Packages of cloudarb_lib from the ground up: each imports only from floors below its own."""
FLOOR = {name: k for k, floor in enumerate(FLOORS) for name in floor}
OUTSIDE = ("sources", "store", "testing")
"""What brings prices in, reader and writer of the store, and the builders for tests: no floor imports them."""
DUCKDB_ROOM = ("store",)
NETWORK_ROOM = ("sources",)
NETWORK = (
    "urllib.request",
    "urllib3",
    "http.client",
    "socket",
    "requests",
    "httpx",
    "aiohttp",
    "boto3",
)
HEAVY = (
    "tensorflow",
    "prophet",
    "ortools",
    "highspy",
    "statsmodels",
    "lightgbm",
    "plotly",
    "duckdb",
)
TOP_LEVEL_ROOM = {"plotly": ("plots",), "duckdb": DUCKDB_ROOM}
"""Modules that load a heavy package when they are loaded, because they are nothing without it."""
CLOCK = ("now", "utcnow", "today", "time", "time_ns", "localtime", "gmtime")
CLOCK_OWNERS = ("datetime", "date", "Timestamp", "time", "pd", "dt")
ENVIRONMENT = ("environ", "getenv", "environb")


def sources():
    """Yield module name (dotted, with its package) and source of every file of the packages."""
    for package in ("cloudarb_lib", "pipelines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(p for p in parts if p != "__init__"), path.read_text()


def imported(tree):
    """Return the full name of everything a tree imports, wherever it stands."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return names


def starts(name, prefixes):
    return any(name == p or name.startswith(p + ".") for p in prefixes)


def breaches(module, source):
    """Return a sentence for each rule on imports, clock and environment that ``source`` breaks."""
    tree = ast.parse(source)
    package, _, rest = module.partition(".")
    own = rest.partition(".")[0]
    found = [f"{module} has a relative import" for name in imported(tree) if name.startswith(".")]
    if package == "pipelines":
        return found + [
            f"{module} imports {n}" for n in imported(tree) if starts(n, ("duckdb", *NETWORK))
        ]
    if own and own not in FLOOR and own not in OUTSIDE:
        found.append(f"{module} has no floor: name it in FLOORS")
    for name in imported(tree):
        if starts(name, ("pipelines",)):
            found.append(f"{module} imports {name}")
        if starts(name, ("cloudarb_lib",)):
            found += _one_way(module, own, name.split(".")[1])
        if starts(name, ("duckdb",)) and own not in DUCKDB_ROOM:
            found.append(f"{module} imports {name}")
        if starts(name, NETWORK) and own not in NETWORK_ROOM:
            found.append(f"{module} imports {name}")
    for node in tree.body:
        for name in imported(node) if isinstance(node, ast.Import | ast.ImportFrom) else []:
            heavy = name.partition(".")[0]
            if heavy in HEAVY and own not in TOP_LEVEL_ROOM.get(heavy, ()):
                found.append(f"{module} loads {heavy} when it is loaded")
    return found + [f"{module} reads {what}" for what in _outer_world(tree)]


def _one_way(module, own, other):
    if other == own or own in OUTSIDE:
        return []
    if other in OUTSIDE or FLOOR.get(other, -1) >= FLOOR.get(own, -1):
        return [f"{module} imports {other}, which does not lie below it"]
    return []


def _outer_world(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).rpartition(".")[2]
            if (node.attr in CLOCK and owner in CLOCK_OWNERS) or (
                node.attr in ENVIRONMENT and owner == "os"
            ):
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "os"):
            yield from (a.name for a in node.names if a.name in (*CLOCK, *ENVIRONMENT))


@pytest.mark.parametrize(("module", "source"), [pytest.param(m, s, id=m) for m, s in sources()])
def test_the_module_keeps_to_its_room(module, source):
    assert breaches(module, source) == []


def test_every_floor_exists():
    there = {module.split(".")[1] for module, _ in sources() if module.startswith("cloudarb_lib.")}
    assert set(FLOOR) <= there


BAD = {
    "cloudarb_lib.market.history imports forecast": "from cloudarb_lib import forecast",
    "cloudarb_lib.market.history imports risk": "from cloudarb_lib.risk.cost import plan_cost",
    "cloudarb_lib.market.history imports store": "def f():\n    from cloudarb_lib.store import open_snapshot",
    "cloudarb_lib.market.history imports sources": "from cloudarb_lib.sources.files import pieces",
    "cloudarb_lib.market.history imports pipelines": "from pipelines import run",
    "cloudarb_lib.market.history imports duckdb": "def f():\n    import duckdb",
    "cloudarb_lib.market.history imports requests": "import requests",
    "cloudarb_lib.market.history imports urllib.request": "from urllib.request import urlopen",
    "cloudarb_lib.market.history has a relative import": "from . import units",
    "cloudarb_lib.market.history loads ortools": "from ortools.math_opt.python import mathopt",
    "cloudarb_lib.market.history loads plotly": "import plotly.graph_objects as go",
    "cloudarb_lib.market.history reads datetime.now": "from datetime import datetime\nx = datetime.now()",
    "cloudarb_lib.market.history reads datetime.datetime.now": "import datetime\nx = datetime.datetime.now()",
    "cloudarb_lib.market.history reads pd.Timestamp.now": "import pandas as pd\nx = pd.Timestamp.now('UTC')",
    "cloudarb_lib.market.history reads date.today": "from datetime import date\nx = date.today()",
    "cloudarb_lib.market.history reads time.time": "import time\nx = time.time()",
    "cloudarb_lib.market.history reads time": "from time import time",
    "cloudarb_lib.market.history reads os.environ": "import os\nx = os.environ['HOME']",
    "cloudarb_lib.market.history reads getenv": "from os import getenv",
    "cloudarb_lib.newcomer has no floor": "x = 1",
    "cloudarb_lib.advice.a imports plots": "from cloudarb_lib.plots import figure",
    "cloudarb_lib.allocate.a imports risk": "from cloudarb_lib.risk import var",
    "pipelines.run imports duckdb": "import duckdb",
    "pipelines.run imports socket": "import socket",
}


@pytest.mark.parametrize("says", BAD)
def test_each_guard_fires(says):
    found = breaches(says.split()[0], BAD[says])
    assert any(breach.startswith(says) for breach in found), found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "cloudarb_lib.forecast.members",
            "def f():\n    import lightgbm\nfrom cloudarb_lib.forecast import splits",
        ),
        ("cloudarb_lib.sources.gcp", "import requests\nfrom cloudarb_lib.tables import schema"),
        ("cloudarb_lib.store.writer", "import duckdb\nfrom cloudarb_lib.store import snapshot"),
        ("cloudarb_lib.allocate.solver.search", "import time\nbegan = time.perf_counter()"),
        ("cloudarb_lib.risk.cost", "from cloudarb_lib.risk import measures\nx = frame.offers.now"),
        ("pipelines.run", "from datetime import UTC, datetime\nx = datetime.now(UTC)"),
    ],
)
def test_what_is_allowed_passes(module, source):
    assert breaches(module, source) == []


def loaded(statement):
    """Return which heavy packages a fresh interpreter holds after ``statement``."""
    code = f"{statement}\nimport sys\nprint([m for m in {(*HEAVY, 'pandas', 'scipy')} if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return ast.literal_eval(shown.stdout)


def test_importing_the_library_loads_nothing_heavy():
    assert loaded("import cloudarb_lib") == []


def test_that_check_sees_what_is_loaded():
    assert "plotly" in loaded("import cloudarb_lib.plots")
