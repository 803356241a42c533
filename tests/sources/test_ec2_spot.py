"""EC2 spot price history as the AWS command line prints it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import EC2_ENTRY, ingest, quarantine, write_text


def test_ec2_history_as_the_aws_cli_prints_it(tmp_path: Path) -> None:
    later = {
        **EC2_ENTRY,
        "Timestamp": "2026-03-05T10:00:00.000Z",
        "SpotPrice": "0.04",
        "AvailabilityZoneId": "use1-az4",
    }
    zones = [{**EC2_ENTRY, "AvailabilityZone": z} for z in ("us-west-2-lax-1a", "ap-southeast-2b")]
    odd = [
        {**EC2_ENTRY, "ProductDescription": "Windows"},
        {**EC2_ENTRY, "SpotPrice": "free"},
        {**EC2_ENTRY, "SpotPrice": ""},
        {k: v for k, v in EC2_ENTRY.items() if k != "InstanceType"},
    ]
    pages = [
        {"SpotPriceHistory": [EC2_ENTRY, *zones, *odd], "NextToken": "abc="},
        {"SpotPriceHistory": [later, EC2_ENTRY]},
        {"NextToken": "", "SpotPriceHistory": []},
    ]
    file = write_text(tmp_path / "h.json", "\n".join(json.dumps(p, indent=4) for p in pages))
    report = ingest(tmp_path / "s", file)
    assert (report.read, report.new, report.unchanged) == (9, 4, 1)
    assert dict(report.quarantined) == {
        "product_not_linux": 1,
        "price_not_a_number": 2,
        "missing_column": 1,
    }
    lines = file.read_text().splitlines()
    for row in quarantine(tmp_path / "s").itertuples():
        assert lines[row.line - 1].strip() == "{"
    with open_snapshot(tmp_path / "s") as snapshot:
        events, looks = snapshot.events(as_of="2026-05-01"), snapshot.looks(as_of="2026-05-01")
    assert set(events["region"]) == {"us-east-1", "us-west-2", "ap-southeast-2"}
    assert set(events["price_kind"]) == {"market"}
    assert looks.empty  # a history vouches for its own rows alone
    assert ingest(tmp_path / "s", file).published is False


def test_ec2_history_longer_than_a_block(tmp_path: Path) -> None:
    times = pd.date_range("2026-01-01", periods=9000, freq="1min", tz="UTC").strftime(
        "%Y-%m-%dT%H:%M:%S.000Z"
    )
    page = {
        "SpotPriceHistory": [
            {**EC2_ENTRY, "Timestamp": t, "SpotPrice": f"{1 + i / 1e4:.6f}"}
            for i, t in enumerate(times)
        ]
    }
    report = ingest(tmp_path / "s", write_text(tmp_path / "h.json", json.dumps(page, indent=2)))
    assert (report.new, report.quarantined.total()) == (9000, 0)
