"""A wheel, installed elsewhere, finds its data and notebooks, and leaves the checkout alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloudarb_lib.base import locations

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("cloudarb_lib", "pipelines", "data", "notebooks")
GUARD = """
import sys
checkout, environment = sys.argv[1], sys.prefix


def watch(event, arguments):
    path = str(arguments[0]) if event in ("open", "os.listdir", "os.scandir") else ""
    if path.startswith(checkout + "/") and not path.startswith(environment):
        raise PermissionError(f"the checkout is touched: {path}")


sys.addaudithook(watch)
"""
"""Python that ends a program as soon as it opens a file of the checkout."""
DOCTOR = """
from pipelines.cli import main
code = main(["doctor"])
from cloudarb_lib.allocate import load_demand
from cloudarb_lib.store import open_snapshot
with open_snapshot() as snapshot:
    print("snapshot in", snapshot.path.parent)
print("workloads", len(load_demand("data/demand.yaml").workloads))
ours = {
    name: module.__file__
    for name, module in sys.modules.items()
    if name.startswith(("cloudarb", "pipelines"))
}
print("from elsewhere:", [name for name, file in ours.items() if sys.argv[2] not in file])
sys.exit(code)
"""


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder into which a wheel of this checkout is installed."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        without = shutil.ignore_patterns("store" if name == "data" else "__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=without)
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.lock"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", ".", cwd=source)
    (wheel,) = source.glob("*.whl")
    target = tmp_path_factory.mktemp("installed")
    run(
        *pip,
        "install",
        "--no-deps",
        "--no-compile",
        "--target",
        str(target),
        str(wheel),
        cwd=target,
    )
    return target


@pytest.mark.long
def test_the_doctor_finds_an_installed_package_usable(installed, tmp_path):
    said = run(
        *(sys.executable, "-c", GUARD + DOCTOR, str(ROOT), str(installed)),
        cwd=tmp_path,
        PYTHONPATH=str(installed),
        HOME=str(tmp_path),
        CLOUDARB_HOME=str(tmp_path / "work"),
    )
    assert "ok    pipelines/weekly.yaml and the parameters of 5 notebooks" in said
    assert f"snapshot in {tmp_path}/work/data/store/snapshots" in said
    assert "workloads 3" in said
    assert "from elsewhere: []" in said
    assert (tmp_path / "work" / "reports").is_dir()


def test_the_wheel_carries_what_the_program_reads(installed):
    carried = installed / "share" / "cloudarb"
    for folder, pattern in (
        (locations.data(), "*.*"),
        (locations.notebooks(), "*.ipynb"),
        (locations.configurations(), "*.yaml"),
    ):
        ours = {path.name for path in folder.glob(pattern) if path.is_file()}
        assert {path.name for path in (carried / folder.name).iterdir()} == ours


def test_a_touched_checkout_is_noticed(tmp_path):
    code = GUARD + "open(checkout + '/pyproject.toml')"
    command = (sys.executable, "-c", code, str(ROOT))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "the checkout is touched" in done.stderr
