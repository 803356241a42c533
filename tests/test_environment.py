"""environment.yml, pyproject.toml and the lock agree, and name no place of one machine."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def wanted() -> list[str]:
    return project()["dependencies"] + project()["optional-dependencies"]["test"]


def disagreements(environment: dict, requirements: list[str]) -> list[str]:
    """Return what conda users would get differently."""
    entries = environment["dependencies"]
    pip = next((e["pip"] for e in entries if isinstance(e, dict)), [])
    plain = [e for e in entries if isinstance(e, str)]
    found = [f"conda: {p}" for p in plain if p not in ("python=3.11", "pip")]
    found += [f"only in pyproject: {r}" for r in requirements if r not in pip]
    return found + [f"only in conda: {r}" for r in pip if r not in [*requirements, "--editable ."]]


def test_conda_and_pip_users_get_the_same_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert disagreements(environment, wanted()) == []


@pytest.mark.parametrize("pip", [["--editable ."], ["--editable .", "numpy>=2.4", "left-pad"]])
def test_a_disagreement_is_found(pip):
    assert disagreements({"dependencies": ["python=3.11", "pip", {"pip": pip}]}, ["duckdb>=2"])


def test_the_lock_pins_every_direct_dependency_with_hashes():
    lock = (ROOT / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, flags=re.M))
    for requirement in wanted():
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")
        assert name in pinned, f"{name} is not in requirements.lock: run make lock"
    blocks = re.split(r"\n(?=\S)", lock)
    assert all("--hash=sha256:" in b for b in blocks if "==" in b and not b.startswith("#"))
    assert "://" not in lock


def test_the_stack_fixed_by_the_user_is_there():
    named = {re.match(r"[a-z-]+", r)[0] for r in wanted()}
    stack = {
        "jupyterlab",
        "papermill",
        "ortools",
        "prophet",
        "tensorflow-cpu",
        "statsmodels",
        "numpy",
        "pandas",
        "plotly",
        "duckdb",
        "ipywidgets",
        "nbval",
    }
    assert stack <= named
