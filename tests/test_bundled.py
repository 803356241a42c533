"""data/README.md names the source of every bundled file."""

from cloudarb_lib.handover import PROJECT
from cloudarb_lib.store import BUNDLED


def test_every_bundled_file_has_its_source() -> None:
    text = (PROJECT / "data" / "README.md").read_text()
    for path in BUNDLED.iterdir():
        if path.suffix in (".parquet", ".csv"):
            assert f"| {path.name} |" in text
    assert sum(p.stat().st_size for p in BUNDLED.glob("*.*") if p.is_file()) < 5_000_000
