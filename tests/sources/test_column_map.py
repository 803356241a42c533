"""Files with columns of their own, read by a map that a person wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.base import LINE, OWN_COLUMNS, Parsed
from cloudarb_lib.sources.column_map import ColumnMap, read_map
from cloudarb_lib.store import Batch, ingest_files, open_snapshot
from cloudarb_lib.testing import INGESTED_AT, quarantine, write_text
from pipelines.cli import main

PAGE = Path(__file__).parent.parent.parent / "docs" / "sources.md"
MAP = """
columns:
  provider: Cloud
  region: Location
  instance_type: Machine
  effective_at: Valid from
  price: Price
constants:
  purchase_option: on_demand
unit: USD per hour
time_zone: Europe/Stockholm
time_format: "%d.%m.%Y %H:%M"
"""
ROWS = {
    "Cloud": ["aws", "aws"],
    "Location": ["eu-north-1", "eu-north-1"],
    "Machine": ["m5.large", "m5.xlarge"],
    "Valid from": ["20.04.2026 02:30", "21.04.2026 02:30"],
    "Price": ["0,096", "0,192"],
    "Remark": ["", "x"],
}


def table_of(column_map: ColumnMap, **columns: list[object]) -> dict[str, list[object]]:
    """Rows of a map, without their lines."""
    lines = list(range(len(next(iter(columns.values())))))
    rows = pa.table({**columns, LINE: lines})
    mapped = column_map.applied(Parsed({OWN_COLUMNS: rows}, [])).tables[OWN_COLUMNS].to_pydict()
    assert mapped.pop(LINE) == lines
    return mapped


@pytest.mark.slow
def test_a_table_with_its_own_names_is_stored_by_its_map(tmp_path: Path) -> None:
    lines = [";".join(row) for row in zip(*ROWS.values(), strict=True)]
    text = "\n".join(["Our prices", ";".join(ROWS), *lines]) + "\n"
    file = write_text(tmp_path / "theirs.csv", text)
    maps = write_text(tmp_path / "map.yaml", MAP)
    assert main(["ingest", str(file), "--map", str(maps), "--store", str(tmp_path / "s")]) == 0
    with open_snapshot(tmp_path / "s") as snapshot:
        events = snapshot.events(as_of="2026-05-01")
    assert events["offer_id"].tolist() == [
        "aws/eu-north-1//m5.large/on_demand/",
        "aws/eu-north-1//m5.xlarge/on_demand/",
    ]
    assert events["price_usd_per_hour"].tolist() == [0.096, 0.192]
    assert events["effective_at"].tolist() == [
        pd.Timestamp("2026-04-20T00:30Z"),
        pd.Timestamp("2026-04-21T00:30Z"),
    ]


def test_every_format_of_tables_takes_a_map(tmp_path: Path) -> None:
    rows = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
    book = openpyxl.Workbook()
    for row in (list(ROWS), *(list(row.values()) for row in rows)):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    write_text(tmp_path / "t.json", json.dumps({"results": rows, "next": None}))
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    column_map = read_map(write_text(tmp_path / "map.yaml", MAP))
    for name in ("t.xlsx", "t.json", "t.parquet"):
        (parsed,) = registry.read(tmp_path / name, column_map)
        table = parsed.tables[OWN_COLUMNS].to_pydict()
        assert table["instance_type"] == ROWS["Machine"], name
        assert table["purchase_option"] == ["on_demand"] * 2
        assert table["effective_at"][0] == "2026-04-20T02:30:00+02:00"


@pytest.mark.parametrize(
    ("zone", "time_format", "written", "read"),
    [
        ("Europe/Stockholm", "", "2026-04-20 02:30", "2026-04-20T02:30:00+02:00"),
        ("Europe/Stockholm", "", "2026-04-20", "2026-04-20T00:00:00+02:00"),
        ("Europe/Stockholm", "", "2026-04-20T02:30:00.5", "2026-04-20T02:30:00.500000+02:00"),
        ("Europe/Stockholm", "", "2026-04-20 02:30Z", "2026-04-20 02:30Z"),
        ("Europe/Stockholm", "", "2026-03-29 02:30", "2026-03-29 02:30"),  # no such time
        ("Europe/Stockholm", "", "2026-10-25 02:30", "2026-10-25 02:30"),  # twice
        ("UTC", "%m/%d/%Y", "04/20/2026", "2026-04-20T00:00:00+00:00"),
        ("UTC", "%m/%d/%Y", "20/04/2026", "20/04/2026"),
        ("", "%m/%d/%Y", "04/20/2026", "2026-04-20T00:00:00"),  # held back for lack of a zone
        ("", "%Y-%m-%d %H:%M %z", "2026-04-20 02:30 +0530", "2026-04-19T21:00:00+00:00"),
        ("", "", "2026-04-20 02:30", "2026-04-20 02:30"),
        ("UTC", "", "soon", "soon"),
        ("UTC", "", None, None),
    ],
)
def test_times_get_the_zone_of_the_map(
    zone: str, time_format: str, written: str | None, read: str | None
) -> None:
    column_map = ColumnMap({"effective_at": "t"}, time_zone=zone, time_format=time_format)
    assert table_of(column_map, t=[written])["effective_at"] == [read]


def test_times_of_one_column_may_have_zones_that_differ() -> None:
    column_map = ColumnMap({"effective_at": "t"}, time_format="%Y-%m-%d %H:%M %z")
    written = ["2026-04-20 02:30 +0530", "2026-04-20 02:30 +0100", "soon"]
    assert table_of(column_map, t=written)["effective_at"] == [
        "2026-04-19T21:00:00+00:00",
        "2026-04-20T01:30:00+00:00",
        "soon",
    ]


def test_times_that_a_file_holds_as_such_get_the_zone_too() -> None:
    column_map = ColumnMap({"effective_at": "t", "observed_at": "u"}, time_zone="Europe/Stockholm")
    naive = pd.Series(pd.to_datetime(["2026-04-20 02:30"]))
    table = table_of(column_map, t=pa.array(naive), u=pa.array(naive.dt.tz_localize("UTC")))
    assert table["effective_at"] == ["2026-04-20T02:30:00+02:00"]
    assert table["observed_at"] == [pd.Timestamp("2026-04-20 02:30Z")]


def test_constants_are_of_every_row() -> None:
    constants = {
        "provider": "aws",
        "offer_count": 3,
        "effective_at": pd.Timestamp("2026-04-20 00:00Z"),
    }
    table = table_of(ColumnMap({"instance_type": "m"}, constants), m=["a", "b"])
    assert table["offer_count"] == ["3"] * 2
    assert table["effective_at"] == ["2026-04-20T00:00:00+00:00"] * 2


def test_the_unit_is_said_by_the_name_of_the_column() -> None:
    column_map = ColumnMap({"price": "p"}, unit="EUR cents per GPU-hour")
    assert table_of(column_map, p=["1"]) == {"price_eur_cents_per_gpu_hour": ["1"]}
    named = ColumnMap({"price_usd_per_month": "p"})
    assert table_of(named, p=["1"]) == {"price_usd_per_month": ["1"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("columns: {}", "names no column"),
        ("columns: {regin: Location}", "did you mean 'region'"),
        ("columns: {price_per_unicorn: P}", "no column of ours. Way out: Write such as"),
        ("columns: {price: P}", "unit is missing"),
        ("columns: {price: P}\nunit: per unicorn", "says no unit"),
        ("columns: {region: P}\nunit: USD per hour", "no column 'price'"),
        ("columns: {region: P}\nconstants: {region: x}", "stands under columns and under const"),
        ("columns: {region: P}\nconstants: {zone: [x]}", "constants.zone is ['x']"),
        ("columns: {region: P}\ntime_zone: Mars/Base", "time_zone 'Mars/Base' is not known"),
        ("columns: {region: P}\ntime_zone: ../../etc/passwd", "is not known"),
        ("colums: {region: P}", "did you mean 'columns'"),
        ("columns: [region]", "columns is"),
        ("columns: {region: 3}", "Write a text"),
    ],
)
def test_a_map_that_does_not_say_how_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as refused:
        read_map(write_text(tmp_path / "map.yaml", text))
    assert words in str(refused.value)


def test_a_map_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no file .*map\.yaml"):
        read_map(tmp_path / "map.yaml")


def test_the_map_of_the_page_is_one(tmp_path: Path) -> None:
    shown = re.findall(r"```yaml\n(columns:.*?)```", PAGE.read_text(), flags=re.S)
    assert len(shown) == 1
    column_map = read_map(write_text(tmp_path / "map.yaml", shown[0]))
    table = table_of(column_map, **{name: values[:1] for name, values in ROWS.items()})
    assert table["price_usd_per_gpu_hour"] == ["0,096"]
    assert table["effective_at"] == ["2026-04-20T02:30:00+02:00"]


def test_a_map_never_makes_objects(tmp_path: Path) -> None:
    evil = write_text(tmp_path / "map.yaml", "columns: !!python/object/apply:os.system ['false']")
    with pytest.raises(ParameterError, match="could not determine a constructor"):
        read_map(evil)


def test_a_column_that_the_file_lacks_is_told(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", "Cloud,Loc\naws,x\n")
    column_map = ColumnMap({"provider": "Cloud", "region": "Location"})
    with pytest.raises(DataError, match=r"'Location' of the map is not in it; it has 'cloud, Loc'"):
        list(registry.read(file, column_map))


@pytest.mark.slow
def test_rows_that_a_map_cannot_mend_are_held_back(tmp_path: Path) -> None:
    text = (
        "Cloud;Location;Machine;Valid from;Price\naws;r;m;soon;1\naws;r;m;20.04.2026 02:30;free\n"
    )
    file = write_text(tmp_path / "t.csv", text)
    batch = Batch(file, mapping=read_map(write_text(tmp_path / "map.yaml", MAP)))
    ingest_files([batch], store_dir=tmp_path / "s", now=INGESTED_AT)
    held_back = quarantine(tmp_path / "s")
    assert held_back[["line", "reason"]].to_numpy().tolist() == [
        [2, "time_unreadable"],
        [3, "price_not_a_number"],
    ]


@pytest.mark.slow
@given(st.lists(st.text(max_size=12), min_size=1, max_size=5), st.sampled_from(["", "%d.%m.%Y"]))
def test_any_text_stays_or_becomes_a_time(written: list[str], time_format: str) -> None:
    column_map = ColumnMap({"effective_at": "t"}, time_zone="UTC", time_format=time_format)
    found = table_of(column_map, t=written)["effective_at"]
    for text, read in zip(written, found, strict=True):
        assert read == text.strip() or pd.Timestamp(read).tzinfo is not None
