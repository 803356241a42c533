"""Our own tables in workbooks."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path

import openpyxl
import pytest

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import OWN_COLUMNS
from cloudarb_lib.sources.own_xlsx import OwnXlsx
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW

NAMES = PRICE_HEADER.strip().split(",")
ROW = PRICE_ROW.strip().split(",")


def workbook(path: Path, sheets: dict[str, list[list[object]]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_the_sheet_with_the_header_is_read_and_others_told(tmp_path: Path) -> None:
    sheets = {"Notes": [["By hand"]], "Prices": [["April"], [], NAMES, ROW], "Empty": []}
    (piece,) = OwnXlsx().fetch(workbook(tmp_path / "t.xlsx", sheets))
    parsed = OwnXlsx().parse(piece)
    assert parsed.tables[OWN_COLUMNS].to_pylist() == [
        dict(zip([*NAMES, "line_read"], [*ROW, 4], strict=True))
    ]
    assert parsed.notices == (
        "the header is line 3: lines 1 to 2 above it passed over",
        "sheet 'Prices' is read, and not Notes",
    )


def test_values_come_as_the_workbook_holds_them(tmp_path: Path) -> None:
    cells = [1, 0.1, True, None, datetime.datetime(2026, 4, 20, 2, 30), datetime.date(2026, 4, 20)]
    (piece,) = OwnXlsx().fetch(workbook(tmp_path / "t.xlsx", {"a": [NAMES, cells]}))
    (row,) = OwnXlsx().parse(piece).tables[OWN_COLUMNS].to_pylist()
    assert list(row.values())[:5] == ["1", "0.1", "True", None, "2026-04-20T02:30:00"]


def test_a_workbook_goes_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    file = workbook(tmp_path / "t.xlsx", {"a": [NAMES, ROW]}).rename(tmp_path / "t.dat")
    assert len(list(OwnXlsx().fetch(file))) == 1


def test_a_workbook_without_rows_gives_none(tmp_path: Path) -> None:
    assert list(OwnXlsx().fetch(workbook(tmp_path / "t.xlsx", {"a": []}))) == []


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/workbook.xml"])
@pytest.mark.parametrize("content", [b"", b"<worksheet", b"\xff\xfe"])
def test_a_broken_workbook_is_refused(part: str, content: bytes, tmp_path: Path) -> None:
    whole = workbook(tmp_path / "t.xlsx", {"a": [NAMES, ROW]})
    broken = tmp_path / "broken.xlsx"
    with zipfile.ZipFile(whole) as parts, zipfile.ZipFile(broken, "w") as copy:
        for name in parts.namelist():
            copy.writestr(name, content if name == part else parts.read(name))
    with pytest.raises(DataError, match="not readable as a workbook"):
        list(OwnXlsx().fetch(broken))


def test_a_zip_that_is_no_workbook_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(DataError, match="not readable as a workbook"):
        list(OwnXlsx().fetch(tmp_path / "t.xlsx"))


def test_damage_inside_a_packed_part_is_told(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", {"Prices": [NAMES, ROW]})
    with zipfile.ZipFile(path) as archive:
        part = archive.getinfo("xl/workbook.xml")
    data = bytearray(path.read_bytes())
    start = part.header_offset + 30 + len(part.filename)
    data[start] = 0xFF  # a block of no known kind
    path.write_bytes(data)
    with pytest.raises(DataError, match="not readable as a workbook"):
        list(OwnXlsx().fetch(path))
