"""Tables of a run: written whole and checked, read back, and what they rest on."""

import ast
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest

import cloudarb_lib
from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.tables import run_tables
from cloudarb_lib.testing import some_weights


def test_tables_of_a_run(tmp_path):
    assert run_tables.load_table("weights", tmp_path) is None
    path = run_tables.save_table(some_weights().assign(note="x"), "weights", tmp_path)
    assert path == tmp_path / "tables" / "weights.parquet"
    back = run_tables.load_table("weights", tmp_path)
    pd.testing.assert_frame_equal(back, some_weights().assign(note="x"))
    with pytest.raises(DataError):
        run_tables.save_table(some_weights().drop(columns="model"), "weights", tmp_path)
    pd.testing.assert_frame_equal(run_tables.load_table("weights", tmp_path), back)
    with pytest.raises(DataError, match="plain name"):
        run_tables.save_table(some_weights(), "../weights", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_damaged_table_is_told(content, tmp_path):
    run_tables.save_table(some_weights(), "weights", tmp_path).write_bytes(content)
    with pytest.raises(DataError, match=r"table weights of .* cannot be read"):
        run_tables.load_table("weights", tmp_path)


def test_scratch_tables_are_never_handed_over(tmp_path, monkeypatch):
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    path = run_tables.save_table(some_weights(), "weights")
    assert path == tmp_path / "reports" / "scratch" / "tables" / "weights.parquet"
    assert run_tables.load_table("weights") is None


def test_a_failed_write_keeps_the_old_table(tmp_path, monkeypatch):
    run_tables.save_table(some_weights(), "weights", tmp_path)

    def full_disk(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run_tables.save_table(some_weights().assign(weight=0.5), "weights", tmp_path)
    assert [p.name for p in (tmp_path / "tables").iterdir()] == ["weights.parquet"]
    assert run_tables.load_table("weights", tmp_path)["weight"].tolist() == [0.4, 0.6]


DECIDES_NO_FIGURE = {"pydantic", "pydantic-core"}
"""Read what people write."""


@cache
def distributions_by_root() -> dict[str, list[str]]:
    """Return who brings each importable name; a look at all that is installed takes long."""
    return dict(metadata.packages_distributions())


def distributions(source: str) -> set[str]:
    """Return the third-party distributions that a module imports, at any depth."""
    roots = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            roots.add(node.module.partition(".")[0])
    roots -= {*sys.stdlib_module_names, "cloudarb_lib"}
    by_root = distributions_by_root()
    return {name.lower().replace("_", "-") for root in roots for name in by_root[root]}


@pytest.mark.slow
@pytest.mark.parametrize("floor", ["store", "forecast", "allocate", "risk"])
def test_provenance_lists_every_package_that_decides(floor):
    folder = Path(cloudarb_lib.__file__).parent / floor
    imported = set().union(*(distributions(p.read_text()) for p in folder.rglob("*.py")))
    assert imported - DECIDES_NO_FIGURE - {"pyarrow"} <= set(run_tables.DECIDING_PACKAGES)


def test_an_import_counts_by_its_distribution():
    source = (
        "import os\nfrom cloudarb_lib import risk\ndef f():\n    from sklearn.covariance import x"
    )
    assert distributions(source) == {"scikit-learn"}
    assert distributions("import tensorflow as tf\nimport duckdb") == {"tensorflow-cpu", "duckdb"}


def test_provenance_states_snapshot_time_and_versions():
    table = run_tables.provenance("abc", pd.Timestamp("2026-04-30", tz="UTC"))["value"]
    assert table["snapshot"] == "abc"
    assert table["prices known at"] == "end of 29 Apr 2026 (UTC)"
    versions = dict(package.split(" ") for package in table["packages"].split(", "))
    assert versions["highspy"] == metadata.version("highspy")
    assert list(versions) == list(run_tables.DECIDING_PACKAGES)
