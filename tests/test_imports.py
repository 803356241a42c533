"""Who may import whom, and who may use the database, the network, the clock, the environment."""

from __future__ import annotations

import ast
import subprocess
import sys
from itertools import pairwise
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
    ("controls",),
    ("research",),
)
"""Packages of cloudarb_lib from the ground up: each imports only from floors below its own."""
FLOOR = {name: k for k, floor in enumerate(FLOORS) for name in floor}
OUTSIDE = ("sources", "store", "live", "testing")
"""What brings prices in, the store, what asks for them, test builders: no floor imports them."""
FLOORS_INSIDE = (
    (
        "cloudarb_lib.allocate.demand",
        "cloudarb_lib.allocate.problem",
        "cloudarb_lib.allocate.check",
        "cloudarb_lib.allocate.plan",
        "cloudarb_lib.allocate.solver",
        "cloudarb_lib.allocate.trials",
        "cloudarb_lib.allocate.explain",
        "cloudarb_lib.allocate.relax",
        "cloudarb_lib.allocate.frontier",
    ),
    (
        "cloudarb_lib.allocate.problem.row",
        "cloudarb_lib.allocate.problem.tables",
        "cloudarb_lib.allocate.problem.model",
        "cloudarb_lib.allocate.problem.limits",
        "cloudarb_lib.allocate.problem.charges",
        "cloudarb_lib.allocate.problem.build",
    ),
    (
        "cloudarb_lib.allocate.solver.milp",
        "cloudarb_lib.allocate.solver.program",
        "cloudarb_lib.allocate.solver.tighter",
        "cloudarb_lib.allocate.solver.highs",
        "cloudarb_lib.allocate.solver.known",
        "cloudarb_lib.allocate.solver.relaxation",
        "cloudarb_lib.allocate.solver.state",
        "cloudarb_lib.allocate.solver.descent",
        "cloudarb_lib.allocate.solver.sites",
        "cloudarb_lib.allocate.solver.search",
        "cloudarb_lib.allocate.solver.session",
    ),
    ("cloudarb_lib.sources", "cloudarb_lib.store", "cloudarb_lib.live"),
    (
        "cloudarb_lib.live.errors",
        "cloudarb_lib.live.client",
        "cloudarb_lib.live.feed",
        "cloudarb_lib.live.feeds",
        "cloudarb_lib.live.registry",
    ),
    ("cloudarb_lib.sources.base", "cloudarb_lib.sources.registry"),
    (
        "cloudarb_lib.store.readings",
        "cloudarb_lib.store.rules",
        "cloudarb_lib.store.rows",
        "cloudarb_lib.store.merge",
        "cloudarb_lib.store.writer",
        "cloudarb_lib.store.bundle",
        "cloudarb_lib.store.entry",
    ),
    ("cloudarb_lib.store.snapshot", "cloudarb_lib.store.writer"),
    (
        "cloudarb_lib.risk.measures",
        "cloudarb_lib.risk.cost",
        "cloudarb_lib.risk.shocks",
        "cloudarb_lib.risk.scenarios",
        "cloudarb_lib.risk.impact",
        "cloudarb_lib.risk.recourse",
        "cloudarb_lib.risk.stress",
    ),
    ("cloudarb_lib.risk.impact", "cloudarb_lib.risk.reverse_stress"),
    (
        "cloudarb_lib.risk.measures",
        "cloudarb_lib.risk.returns",
        "cloudarb_lib.risk.correlation",
        "cloudarb_lib.risk.simulate",
        "cloudarb_lib.risk.risk_tables",
    ),
    ("cloudarb_lib.risk.coverage", "cloudarb_lib.risk.backtest"),
    (
        "cloudarb_lib.forecast.features",
        "cloudarb_lib.forecast.task",
        "cloudarb_lib.forecast.member",
        "cloudarb_lib.forecast.fitting",
        "cloudarb_lib.forecast.members",
        "cloudarb_lib.forecast.ensemble",
        "cloudarb_lib.forecast.saved",
        "cloudarb_lib.forecast.offers",
        "cloudarb_lib.forecast.shards",
    ),
    (
        "cloudarb_lib.forecast.sample_paths",
        "cloudarb_lib.forecast.conformal",
        "cloudarb_lib.forecast.ensemble",
        "cloudarb_lib.forecast.evaluate",
    ),
    ("cloudarb_lib.forecast.worker", "cloudarb_lib.forecast.members"),
    ("pipelines.run", "pipelines.cli"),
    (
        "pipelines.exit_codes",
        "pipelines.exports",
        "pipelines.run.stages",
        "pipelines.run.files",
        "pipelines.run.folders",
        "pipelines.run.config",
        "pipelines.run.notebook",
        "pipelines.report",
        "pipelines.run.manifest",
        "pipelines.run.graph",
        "pipelines.run.pipeline",
        "pipelines.shards",
        "pipelines.workbench",
        "pipelines.cli",
    ),
    (
        "pipelines.run.files",
        "pipelines.alerts.rule",
        "pipelines.alerts.kinds",
        "pipelines.alerts.configuration",
        "pipelines.alerts.watch",
        "pipelines.schedule",
        "pipelines.cli",
    ),
    ("pipelines.cli.manual", "pipelines.cli.panels", "pipelines.cli.backtest"),
    (
        "pipelines.exports",
        "pipelines.run.files",
        "pipelines.alerts",
        "pipelines.serve.faults",
        "pipelines.serve.tokens",
        "pipelines.serve.cache",
        "pipelines.serve.front",
        "pipelines.serve.gateway",
        "pipelines.serve.plans",
        "pipelines.serve.records",
        "pipelines.serve.routes",
        "pipelines.serve.api",
        "pipelines.serve.server",
        "pipelines.cli",
    ),
)
"""From the ground up: each module or package imports none that stands after it here."""
DUCKDB_ROOM = ("store",)
NETWORK_ROOM = ("live", "testing")
NETWORK = (
    "urllib.request",
    "urllib3",
    "http.client",
    "socket",
    "requests",
    "httpx",
    "httpx2",
    "aiohttp",
    "boto3",
    "botocore",
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
TOP_LEVEL_ROOM = {"plotly": ("plots", "controls"), "duckdb": DUCKDB_ROOM}
"""Modules that load a heavy package when they are loaded, because they are nothing without it."""
CLOCK = ("now", "utcnow", "today", "time", "time_ns", "localtime", "gmtime")
CLOCK_OWNERS = ("datetime", "date", "Timestamp", "time", "pd", "dt")
ENVIRONMENT = ("environ", "getenv", "environb")
LOCATIONS = "cloudarb_lib.base.locations"
"""The one module that knows folders."""
ENVIRONMENT_READERS = (LOCATIONS, "cloudarb_lib.base.audience")
"""What of the library may read the environment: where to write, and who looks on."""


def modules():
    """Yield dotted name and source of every module of the packages."""
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


def lies_in(name, packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


def breaches(module, source):
    """Return a sentence for each rule on imports, clock and environment that ``source`` breaks."""
    tree = ast.parse(source)
    names = imported(tree)
    found = [f"{module} has a relative import" for name in names if name.startswith(".")]
    found += wrong_floor_inside(module, names)
    if module != LOCATIONS:
        found += [f"{module} computes {what}" for what in folders_above(tree)]
    if module.startswith("pipelines"):
        return found + [
            f"{module} imports {name}" for name in names if lies_in(name, ("duckdb", *NETWORK))
        ]
    room = module.partition(".")[2].partition(".")[0]
    if room and room not in FLOOR and room not in OUTSIDE:
        found.append(f"{module} has no floor: name it in FLOORS")
    for name in names:
        if lies_in(name, ("cloudarb_lib",)):
            found += wrong_floor(module, room, name.split(".")[1])
        if (
            lies_in(name, ("pipelines",))
            or (lies_in(name, ("duckdb",)) and room not in DUCKDB_ROOM)
            or (lies_in(name, NETWORK) and room not in NETWORK_ROOM)
        ):
            found.append(f"{module} imports {name}")
    found += [f"{module} loads {heavy} when it is loaded" for heavy in loaded_first(tree, room)]
    environment = () if module in ENVIRONMENT_READERS else ENVIRONMENT
    return found + [f"{module} reads {what}" for what in clock_and_environment(tree, environment)]


def wrong_floor(module, room, other):
    if other == room or room in OUTSIDE:
        return []
    if other in OUTSIDE or FLOOR.get(other, -1) >= FLOOR.get(room, -1):
        return [f"{module} imports {other}, which does not lie below it"]
    return []


def wrong_floor_inside(module, names):
    """Return where a module imports what stands above it in one of FLOORS_INSIDE."""
    found = []
    for floors in FLOORS_INSIDE:
        own = next((k for k, floor in enumerate(floors) if lies_in(module, (floor,))), None)
        if own is not None:
            above = floors[own + 1 :]
            found += [f"{module} imports {n} from above it" for n in names if lies_in(n, above)]
    return found


def loaded_first(tree, room):
    """Yield the heavy packages that a module loads when it is itself loaded."""
    for node in tree.body:
        for name in imported(node) if isinstance(node, ast.Import | ast.ImportFrom) else []:
            package = name.partition(".")[0]
            if package in HEAVY and room not in TOP_LEVEL_ROOM.get(package, ()):
                yield package


def folders_above(tree):
    """Yield where a module climbs from its own file to a folder above its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            climbs = node.attr == "parents" or text.endswith(".parent.parent")
            if climbs and "__file__" in text:
                yield text


def clock_and_environment(tree, environment):
    """Yield where a module asks for the time, or for what stands in the environment."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).rpartition(".")[2]
            is_clock = node.attr in CLOCK and owner in CLOCK_OWNERS
            if is_clock or (node.attr in environment and owner == "os"):
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "os"):
            yield from (a.name for a in node.names if a.name in (*CLOCK, *environment))


@pytest.mark.parametrize(("module", "source"), [pytest.param(m, s, id=m) for m, s in modules()])
def test_the_module_keeps_to_its_room(module, source):
    assert breaches(module, source) == []


def test_every_floor_exists():
    there = {module.split(".")[1] for module, _ in modules() if module.startswith("cloudarb_lib.")}
    assert set(FLOOR) <= there


def test_every_floor_inside_a_package_exists():
    names = [name for name, _ in modules()]
    floors = {floor for inside in FLOORS_INSIDE for floor in inside}
    assert {f for f in floors if not any(lies_in(name, (f,)) for name in names)} == set()


PANEL = "cloudarb_lib.market.panel"
BAD = {
    f"{PANEL} imports forecast": "from cloudarb_lib import forecast",
    f"{PANEL} imports risk": "from cloudarb_lib.risk.cost import plan_cost",
    f"{PANEL} imports store": "def f():\n    from cloudarb_lib.store import open_snapshot",
    f"{PANEL} imports sources": "from cloudarb_lib.sources.registry import read",
    f"{PANEL} imports pipelines": "from pipelines import run",
    f"{PANEL} imports duckdb": "def f():\n    import duckdb",
    f"{PANEL} imports requests": "import requests",
    f"{PANEL} imports urllib.request": "from urllib.request import urlopen",
    f"{PANEL} has a relative import": "from . import units",
    f"{PANEL} loads ortools": "from ortools.math_opt.python import mathopt",
    f"{PANEL} loads plotly": "import plotly.graph_objects as go",
    f"{PANEL} reads datetime.now": "from datetime import datetime\nx = datetime.now()",
    f"{PANEL} reads datetime.datetime.now": "import datetime\nx = datetime.datetime.now()",
    f"{PANEL} reads pd.Timestamp.now": "import pandas as pd\nx = pd.Timestamp.now('UTC')",
    f"{PANEL} reads date.today": "from datetime import date\nx = date.today()",
    f"{PANEL} reads time.time": "import time\nx = time.time()",
    f"{PANEL} reads time": "from time import time",
    f"{PANEL} reads os.environ": "import os\nx = os.environ['HOME']",
    f"{PANEL} reads getenv": "from os import getenv",
    f"{PANEL} computes Path(__file__).parents": "x = Path(__file__).parents[2]",
    "pipelines.run computes Path(__file__).parent.parent": "x = Path(__file__).parent.parent",
    "cloudarb_lib.base.files reads os.getenv": "import os\nx = os.getenv('CLOUDARB_HOME')",
    "cloudarb_lib.base.locations reads time.time": "import time\nx = time.time()",
    "cloudarb_lib.newcomer has no floor": "x = 1",
    "cloudarb_lib.advice.a imports plots": "from cloudarb_lib.plots import figure",
    "cloudarb_lib.allocate.a imports risk": "from cloudarb_lib.risk import var",
    "pipelines.run imports duckdb": "import duckdb",
    "pipelines.run imports socket": "import socket",
}


@pytest.mark.parametrize("breach", BAD)
def test_each_guard_fires(breach):
    found = breaches(breach.split()[0], BAD[breach])
    assert any(sentence.startswith(breach) for sentence in found), found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "cloudarb_lib.forecast.members",
            "def f():\n    import lightgbm\nfrom cloudarb_lib.forecast import splits",
        ),
        ("cloudarb_lib.live.client", "import httpx2\nfrom cloudarb_lib.tables import schema"),
        ("cloudarb_lib.store.writer", "import duckdb\nfrom cloudarb_lib.store import snapshot"),
        ("cloudarb_lib.allocate.solver.search", "import time\nbegan = time.perf_counter()"),
        ("cloudarb_lib.risk.cost", "from cloudarb_lib.risk import measures\nx = frame.offers.now"),
        ("cloudarb_lib.base.locations", "x = Path(__file__).resolve().parent.parent"),
        ("pipelines.report", "x = Path(__file__).parent / 'report.css'"),
        ("cloudarb_lib.base.locations", "import os\nx = os.environ['CLOUDARB_HOME']"),
        ("pipelines.run", "from datetime import UTC, datetime\nx = datetime.now(UTC)"),
    ],
)
def test_what_is_allowed_passes(module, source):
    assert breaches(module, source) == []


@pytest.mark.parametrize(
    ("lower", "upper"), [pair for inside in FLOORS_INSIDE for pair in pairwise(inside)]
)
def test_the_guard_of_each_floor_inside_a_package_fires(lower, upper):
    package, _, name = upper.rpartition(".")
    for source in (f"from {package} import {name}", f"def f():\n    import {upper}.part"):
        for module in (lower, f"{lower}.part"):
            found = breaches(module, source)
            assert any("from above it" in sentence for sentence in found), found
    assert not any("from above it" in s for s in breaches(upper, f"import {lower}"))


def loaded(statement):
    """Return which heavy packages a fresh interpreter holds after ``statement``."""
    packages = (*HEAVY, "pandas", "scipy")
    code = f"{statement}\nimport sys\nprint([m for m in {packages} if m in sys.modules])"
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)
    return ast.literal_eval(shown)


def test_importing_the_library_loads_nothing_heavy():
    assert loaded("import cloudarb_lib") == []


def test_that_check_sees_what_is_loaded():
    assert "plotly" in loaded("import cloudarb_lib.plots")
