"""What a snapshot says last of each offer: of some providers, and of some regions."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import INGESTED_AT, PRICE_HEADER, ingest, write_text

ROWS = (
    "gcp,us-east1,n2,spot,2026-01-01T00:00:00Z,0.05",
    "gcp,us-east1,n2,spot,2026-01-02T00:00:00Z,0.06",
    "gcp,europe-west4,n2,spot,2026-01-01T00:00:00Z,0.07",
    "acme,US-East-1,gpu,on_demand,2026-01-01T00:00:00Z,2.0",
)


@pytest.mark.slow
def test_the_newest_price_of_each_offer(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", PRICE_HEADER + "\n".join(ROWS) + "\n")
    ingest(tmp_path / "store", path)
    with open_snapshot(tmp_path / "store") as snapshot:

        def prices(*providers: str, regions: tuple[str, ...] = ()) -> list[float]:
            last = snapshot.last_prices(as_of=INGESTED_AT, providers=providers, regions=regions)
            return sorted(last["price_usd_per_hour"])

        assert prices("gcp", "acme") == [0.06, 0.07, 2.0]
        assert prices("gcp") == [0.06, 0.07]
        assert prices("gcp", "acme", regions=("us-east1",)) == [0.06]
        assert prices("gcp", "acme", regions=("us-east-1",)) == [2.0]
        assert prices("gcp", regions=("us-east-1",)) == []
