"""Price files, stores, and what any source must hold to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from cloudarb_lib import store
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.base import LINE, Source
from cloudarb_lib.sources.unpack import plain_files
from cloudarb_lib.tables.stored_schema import STORED

INGESTED_AT = pd.Timestamp("2026-06-01", tz="UTC")
PRICE_HEADER = "provider,region,instance_type,purchase_option,effective_at,price_usd_per_hour\n"
PRICE_ROW = "gcp,us-east1,n2-standard-4,spot,2026-01-05T00:00:00Z,0.05\n"
EC2_ENTRY = {
    "AvailabilityZone": "us-east-1a",
    "InstanceType": "m5.large",
    "ProductDescription": "Linux/UNIX",
    "SpotPrice": "0.034500",
    "Timestamp": "2026-03-01T10:00:00+00:00",
}


def write_text(path: Path, text: str) -> Path:
    """Write a text, its line ends as they are."""
    path.write_text(text, newline="")
    return path


def ingest(
    store_dir: Path, *paths: Path | store.Batch, now: pd.Timestamp = INGESTED_AT
) -> store.IngestReport:
    """Take files into a store."""
    return store.ingest_files(paths, store_dir=store_dir, now=now)


def quarantine(store_dir: Path) -> pd.DataFrame:
    """Return the rows that a store held back, by line."""
    with store.open_snapshot(store_dir) as snapshot:
        return snapshot.table("quarantine").sort_values("line", ignore_index=True)


def check_source(source: Source[Any], fixtures: Path, store_dir: Path) -> None:
    """Assert that a source takes its fixtures as their ``expected.yaml`` says.

    That file holds, for each fixture, ``refused`` (words of the error), or ``rows`` (mappings of
    the columns that matter, by the key of the table), ``held_back`` (reason by line), ``table``
    (price_events where it is left out), ``also`` (rows of other tables, by table) and ``seen_at``
    (for a file that says no time). There are a good fixture and a broken one at least.
    """
    expected = yaml.safe_load((fixtures / "expected.yaml").read_text())
    assert {path.name for path in fixtures.iterdir()} == {*expected, "expected.yaml"}
    assert any(name.startswith("good") for name in expected)
    assert any(name.startswith("broken") for name in expected)
    for name, outcome in expected.items():
        path = fixtures / name
        with plain_files(path) as plain:
            assert {registry.source_of(file.path).name for file in plain} == {source.name}
        is_broken = "refused" in outcome or bool(outcome.get("held_back"))
        assert is_broken == name.startswith("broken"), name
        if "refused" in outcome:
            assert outcome["refused"] in refusal_of(path, store_dir / name)
        else:
            with plain_files(path) as plain:
                for file in plain:
                    check_pieces(source, file.path)
            check_outcome(path, outcome, store_dir / name)
        if not is_broken:
            assert claims_of(path) == [source.name]


def refusal_of(path: Path, store_dir: Path) -> str:
    """Return with which words a file is refused, '' where it is taken in."""
    try:
        ingest(store_dir, path)
    except DataError as error:
        return str(error)
    return ""


def claims_of(path: Path) -> list[str]:
    """Return the names of the sources that recognise a file best, that in a packed one."""
    with plain_files(path) as plain:
        head = registry.head_of(plain[0].path)
    matches = {source.name: source.recognises(head) for source in registry.registered()}
    best = max(matches.values())
    return [name for name, match in matches.items() if match == best]


def check_pieces(source: Source[Any], path: Path) -> None:
    """Assert that parsing a piece twice gives the same, each row with its own line."""
    lines = []
    for piece in source.fetch(path):
        parsed = source.parse(piece)
        again = source.parse(piece)
        assert parsed == again
        for rows in parsed.tables.values():
            assert rows.schema.names[-1] == LINE
            lines += rows[LINE].to_pylist()
        lines += [row.line for row in parsed.unread]
    assert lines


def check_damaged(path: Path) -> None:
    """Assert that what is read of a damaged file is well formed; DataError where it is refused."""
    for piece in registry.read(path):
        for table in piece.tables.values():
            assert table.schema.names[-1] == LINE
            table.validate(full=True)
        assert all(row.detail for row in piece.unread)


def check_outcome(path: Path, outcome: dict[str, Any], store_dir: Path) -> None:
    """Assert that ingestion of a file stores and holds back what ``outcome`` says."""
    seen_at = outcome.get("seen_at")
    ingest(store_dir, store.Batch(path, seen_at=seen_at and pd.Timestamp(seen_at)))
    held_back = quarantine(store_dir)
    assert dict(zip(held_back["line"], held_back["reason"], strict=True)) == outcome.get(
        "held_back", {}
    )
    tables = {outcome.get("table", "price_events"): outcome["rows"], **outcome.get("also", {})}
    with store.open_snapshot(store_dir) as snapshot:
        for table, expected in tables.items():
            check_rows(snapshot.table(table).sort_values(list(STORED[table].key)), expected)


def check_rows(stored: pd.DataFrame, expected: list[dict[str, Any]]) -> None:
    """Assert that there are just so many rows, each with the values that are expected of it."""
    assert len(stored) == len(expected)
    for row, values in zip(stored.to_dict("records"), expected, strict=True):
        for column, value in values.items():
            found = row[column]
            shown = found.isoformat() if isinstance(found, pd.Timestamp) else found
            assert (None if pd.isna(shown) else shown) == value, column
