"""Files of catalogues with something wrong anywhere: it is told, and every row is accounted."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.base import LINE, Source
from cloudarb_lib.sources.csv_catalogue import CsvCatalogue
from cloudarb_lib.sources.numbers import divided, number_of, sum_of

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = (
    "aws",
    "azure",
    "azure-retail-prices",
    "focus-export",
    "gcp",
    "gcp-skus",
    "gpuhunt-catalog",
    "opencost-prices",
    "skypilot-catalog",
    "spotlake",
)
SOURCES = {source.name: source for source in registry.registered()}
GOOD = [
    path
    for name in NAMES
    for path in sorted((FIXTURES / name).glob("good*"))
    if path.suffix != ".zip"
]
ODD = ("", "nan", "-1", "0", "1e999", "\u0000", '"', "{", "[]", "null", "\ud83d", ",", "NaN", "é")


def lines_of(source: Source, path: Path) -> list[int]:
    """Return the lines of the rows that a file comes to, held back or not."""
    lines = []
    for piece in source.fetch(path):
        parsed = source.parse(piece)
        assert parsed == source.parse(piece)
        for rows in parsed.tables.values():
            lines += rows[LINE].to_pylist()
        lines += [row.line for row in parsed.unread]
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}/{path.name}")
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_file_with_a_fault_anywhere_is_read_or_refused(
    path: Path, data: st.DataObject, tmp_path: Path
) -> None:
    text = path.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 40, len(text))))
    put = data.draw(st.sampled_from(ODD) | st.text(max_size=5))
    changed = tmp_path / "changed"
    changed.write_text(text[:start] + put + text[end:], errors="replace")
    source = SOURCES[path.parent.name]
    lines = []
    with suppress(DataError):  # refused: anything else would be a crash
        lines = lines_of(source, changed)
    assert set(lines) <= set(range(len(changed.read_text().splitlines()) + 10))


@pytest.mark.slow
@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_file_cut_off_anywhere_vouches_for_nothing_more(path: Path, tmp_path: Path) -> None:
    source = SOURCES[path.parent.name]
    text = path.read_text()
    for length in range(0, len(text) - 2, max(len(text) // 40, 1)):
        cut = tmp_path / "cut"
        cut.write_text(text[:length])
        try:
            pieces = [source.parse(piece) for piece in source.fetch(cut)]
        except DataError:
            continue
        if source.name in ("aws", "azure"):
            assert not any(piece.whole for piece in pieces)


@given(st.lists(st.sampled_from(["p5.48xlarge", "m5.large", "odd", ""]), min_size=1, max_size=5))
def test_every_row_of_a_catalogue_is_a_price_or_held_back(machines: list[str]) -> None:
    source = SOURCES["gpuhunt-catalog"]
    assert isinstance(source, CsvCatalogue)
    header = "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size"
    rows = [f"{name},r{i},1.5,8,32,0,,,False," for i, name in enumerate(machines)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.csv"
        path.write_text("\n".join([header, *rows]))
        assert set(lines_of(source, path)) == set(range(2, len(machines) + 2))


@given(st.decimals(-(10**9), 10**9, places=6), st.integers(1, 30_000))
def test_a_price_divided_is_the_price_of_an_hour(price: object, hours: int) -> None:
    quotient = number_of(divided(str(price), hours))
    assert quotient == pytest.approx(float(str(price)) / hours, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("written", ["", "free", "nan", "inf", "1,25"])
def test_what_is_no_number_is_left_for_the_store_to_judge(written: str) -> None:
    assert number_of(written) is None
    assert divided(written, 10) == written
    assert sum_of(["1.5", written]) == written
