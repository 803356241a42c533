"""Our own tables as people save them: separators, decimals, titles, names in any case."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.sources import own_csv
from cloudarb_lib.sources.base import OWN_COLUMNS
from cloudarb_lib.sources.own_csv import OwnCsv, TableLines, parsed_by_line
from cloudarb_lib.sources.text import DELIMITERS, fields_of, layout_of
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, ingest, quarantine, write_text

NAMES = PRICE_HEADER.strip().split(",")
MACHINE = ["gcp", "us-east1", "n2-standard-4", "spot", "2026-01-05T00:00:00Z"]


def table(delimiter: str, *prices: str) -> str:
    rows = [NAMES, *[[*MACHINE, price] for price in prices]]
    return "".join(delimiter.join(row) + "\n" for row in rows)


def prices_of(text: str, path: Path) -> list[str]:
    pieces = list(OwnCsv().fetch(write_text(path, text)))
    tables = [OwnCsv().parse(piece).tables[OWN_COLUMNS] for piece in pieces]
    return [price for rows in tables for price in rows["price_usd_per_hour"].to_pylist()]


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_each_separator_is_told(delimiter: str, tmp_path: Path) -> None:
    assert prices_of(table(delimiter, "1.25", "2"), tmp_path / "t") == ["1.25", "2"]


@pytest.mark.parametrize(
    ("delimiter", "written", "read"),
    [
        (";", ["0,096", "12"], ["0.096", "12"]),
        (";", ["1,234"], ["1.234"]),
        (";", ["1,234", "0.5"], ["1,234", "0.5"]),  # a point: the comma may part thousands
        (";", ["1,234.56"], ["1,234.56"]),
        ("\t", ["0,096", "1,234"], ["0.096", "1.234"]),
        ("\t", ["1,234", "2,500"], ["1,234", "2,500"]),  # thousands, or decimals?
        (";", ["1,2,3", "1,5"], ["1,2,3", "1.5"]),
    ],
)
def test_a_decimal_comma_is_read_where_nothing_speaks_against_it(
    delimiter: str, written: list[str], read: list[str], tmp_path: Path
) -> None:
    assert prices_of(table(delimiter, *written), tmp_path / "t") == read


@pytest.mark.slow
def test_a_comma_in_quotes_is_no_decimal_comma_in_a_file_with_commas(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", table(",", '"1,25"'))
    assert dict(ingest(tmp_path / "s", file).quarantined) == {"price_not_a_number": 1}


def test_what_stands_above_the_header_is_passed_over_and_told(tmp_path: Path) -> None:
    text = "Prices of April; final\n\n" + table(";", "0,5") + ";;;;;;;\n\n"
    (piece,) = OwnCsv().fetch(write_text(tmp_path / "t.csv", text))
    parsed = OwnCsv().parse(piece)
    assert parsed.notices == ("the header is line 3: lines 1 to 2 above it passed over",)
    assert parsed.tables[OWN_COLUMNS]["line_read"].to_pylist() == [4]
    assert [row.line for row in parsed.unread] == []


@pytest.mark.slow
def test_lines_of_what_is_held_back_count_from_the_top_of_the_file(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", "A title\n" + PRICE_HEADER + PRICE_ROW + "a,b\n")
    ingest(tmp_path / "s", file)
    assert quarantine(tmp_path / "s")["line"].tolist() == [4]


@pytest.mark.parametrize("name", ["Price_USD_per_hour", "price usd per hour", "Price-USD-per-Hour"])
def test_names_go_in_any_case(name: str) -> None:
    layout = layout_of([f"Provider,REGION,{name},Remark"])
    assert layout is not None
    assert layout.names == ("provider", "region", "price_usd_per_hour", "Remark")


@pytest.mark.slow
def test_separators_beyond_the_header_may_be_empty_only(tmp_path: Path) -> None:
    header, row = PRICE_HEADER.strip(), PRICE_ROW.strip()
    file = write_text(tmp_path / "t.csv", f"{header},,\n{row},,\n{row}\n{row},,1\n{row},,,,\n")
    report = ingest(tmp_path / "s", file)
    assert dict(report.quarantined) == {"unknown_column": 1}
    assert report.new + report.unchanged == 3


LINES = st.lists(
    st.sampled_from(
        [
            "a,b,2026-01-05,1.5",
            "a,b,2026-01-05,1,5",
            "a,b",
            ",,,",
            " ,b,c,d",
            "",
            'a,"b,c",d,1',
            'a,"b,c,1',
            "a,b,c,d,",
            "é,\u2028,c,NULL",
            "a\0,b,c,d",
            "a,b\rc,d,e",
        ]
    ),
    max_size=12,
)


@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([1, 7, 30, 2**23]))
def test_rows_read_at_once_are_those_read_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, block: int
) -> None:
    header = "provider,region,effective_at,price_usd_per_hour"
    text = end.join([header, *lines])
    file = write_text(tmp_path_factory.mktemp("t") / "t.csv", text)
    layout = layout_of([header])
    assert layout is not None
    expected = parsed_by_line(TableLines(layout, 1, file.read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_csv, "BLOCK_BYTES", block)
        pieces = [OwnCsv().parse(piece) for piece in OwnCsv().fetch(file)]
    rows = [row for piece in pieces for row in piece.tables[OWN_COLUMNS].to_pylist()]
    assert rows == expected.tables[OWN_COLUMNS].to_pylist()
    assert [row for piece in pieces for row in piece.unread] == expected.unread


def test_a_file_without_quotes_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_csv, "parsed_by_line", None)
    assert prices_of(table(";", "1.5", ""), tmp_path / "t") == ["1.5", ""]
    with pytest.raises(TypeError):  # line by line
        prices_of(table(";", '"1.5"'), tmp_path / "t")


@given(st.lists(st.text(alphabet="ab ,;\t\"|'é", max_size=6), min_size=1, max_size=5))
def test_fields_come_back_as_they_were_quoted(fields: list[str]) -> None:
    line = ",".join('"' + field.replace('"', '""') + '"' for field in fields)
    assert fields_of(line) == fields


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    file = tmp_path_factory.mktemp("noise") / "t.csv"
    file.write_bytes(PRICE_HEADER.encode() + noise)
    lines = 0
    for piece in OwnCsv().fetch(file):
        parsed = OwnCsv().parse(piece)
        lines += len(parsed.tables[OWN_COLUMNS]) + len(parsed.unread)
    assert lines <= len(noise) + 1
