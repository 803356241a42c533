"""Every source is found, knows its own files, and takes its fixtures as they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.own_csv import OwnCsv
from cloudarb_lib.testing import PRICE_HEADER, check_source, claims_of, write_text

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = [source.name for source in registry.registered()]


def test_the_registry_finds_each_source_once() -> None:
    assert {"own-csv", "own-parquet", "ec2-spot-price-history"} <= set(NAMES)
    assert len(set(NAMES)) == len(NAMES)
    assert sorted(path.name for path in FIXTURES.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_source_takes_its_fixtures_as_they_say(name: str, tmp_path: Path) -> None:
    source = {source.name: source for source in registry.registered()}[name]
    check_source(source, FIXTURES / name, tmp_path)


def test_a_source_without_fixtures_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_source(OwnCsv(), tmp_path / "none", tmp_path)
    (tmp_path / "fixtures").mkdir()
    write_text(tmp_path / "fixtures" / "expected.yaml", "good.csv: {rows: []}\n")
    write_text(tmp_path / "fixtures" / "good.csv", PRICE_HEADER)
    with pytest.raises(AssertionError):  # none is broken
        check_source(OwnCsv(), tmp_path / "fixtures", tmp_path)


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        ("good.csv: {rows: [{price_usd_per_hour: 0.06}]}", ""),
        ("good.csv: {rows: []}", ""),
        ("good.csv: {rows: [{price_usd_per_hour: 0.05}], held_back: {3: time_naive}}", ""),
        ("good.csv: {rows: [{price_usd_per_hour: 0.05}]}", "gcp,r,m,spot,soon,1\n"),
        ("good.csv: {refused: empty}", ""),
    ],
)
def test_fixtures_that_come_out_otherwise_fail(outcome: str, line: str, tmp_path: Path) -> None:
    row = "gcp,us-east1,n2-standard-4,spot,2026-01-05T00:00:00Z,0.05\n"
    fixtures = tmp_path / "fixtures"
    fixtures.mkdir()
    write_text(fixtures / "good.csv", PRICE_HEADER + row + line)
    write_text(fixtures / "broken.csv", "")
    write_text(fixtures / "expected.yaml", f"{outcome}\nbroken.csv: {{refused: it is empty}}\n")
    with pytest.raises(AssertionError):
        check_source(OwnCsv(), fixtures, tmp_path / "stores")


def test_a_file_goes_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    for folder in FIXTURES.iterdir():
        for fixture in folder.glob("good*"):
            renamed = tmp_path / "anything.txt"
            renamed.write_bytes(fixture.read_bytes())
            assert claims_of(renamed) == [folder.name]


@pytest.mark.parametrize("content", [b"", b" \n\n", b"\x7fELF\x02\x01\x01\0\0"])
def test_a_file_of_no_source_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match="empty, or no text"):
        registry.source_of(file)


def test_json_of_nobody_goes_to_the_source_of_its_format(tmp_path: Path) -> None:
    assert claims_of(write_text(tmp_path / "a.json", "[1, 2]")) == ["own-json"]
    assert claims_of(write_text(tmp_path / "a.csv", "a,b\n")) == ["own-csv"]


def test_a_file_of_another_source_than_was_expected_is_refused(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", PRICE_HEADER)
    list(registry.read(path, expected="own-csv"))
    with pytest.raises(DataError, match="looks like own-csv, not like azure-retail"):
        list(registry.read(path, expected="azure-retail"))
