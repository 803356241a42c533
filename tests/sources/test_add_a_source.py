"""docs/add-a-source.md as it stands: one file more, and its prices are in the store."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cloudarb_lib.sources as package
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import registry
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import check_source, ingest

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "add-a-source.md"
FILE_OF_THE_PAGE = re.compile(r"^`([\w/.-]+)`:\n\n```\w+\n(.*?)^```$", flags=re.M | re.S)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with the files that the page shows."""
    files = dict(FILE_OF_THE_PAGE.findall(PAGE.read_text()))
    assert [name for name in files if name.startswith("cloudarb_lib/")] == [
        "cloudarb_lib/sources/hangar.py"
    ]
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def added(written: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, with its source in the package."""
    folder = written / "cloudarb_lib" / "sources"
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield written
    sys.modules.pop("cloudarb_lib.sources.hangar", None)


def test_without_the_file_its_prices_are_refused(written: Path) -> None:
    sheet = written / "tests/sources/fixtures/hangar/good.txt"
    assert "hangar" not in [source.name for source in registry.registered()]
    with pytest.raises(DataError, match="no table of ours"):
        ingest(written / "store", sheet)


@pytest.mark.slow
def test_with_the_file_they_are_in_the_store(added: Path) -> None:
    sheet = added / "tests/sources/fixtures/hangar/good.txt"
    assert ingest(added / "store", sheet).new == 2
    with open_snapshot(added / "store") as snapshot:
        events = snapshot.events(as_of="2026-05-01")
    assert events["offer_id"].tolist() == [
        "hangar/us-ut-1//h100-8/spot/",
        "hangar/us-ut-1//l4-1/spot/",
    ]
    assert events["source"].tolist() == ["hangar"] * 2


@pytest.mark.slow
def test_its_fixtures_come_out_as_the_page_says(added: Path) -> None:
    source = {source.name: source for source in registry.registered()}["hangar"]
    check_source(source, added / "tests/sources/fixtures/hangar", added / "stores")


@pytest.mark.slow
def test_the_page_tells_the_reason_of_a_row_held_back(added: Path) -> None:
    sheet = added / "tests/sources/fixtures/hangar/broken.txt"
    ingest(added / "store", sheet)
    with open_snapshot(added / "store") as snapshot:
        details = snapshot.table("quarantine").set_index("line")["detail"]
    assert details[3] == "line 3 does not have four fields; download the sheet again."
