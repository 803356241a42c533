"""EC2 spot price history as the tools print it that ask AWS for it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.ec2_spot import CUT_SHORT, Ec2SpotHistory
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import EC2_ENTRY, ingest, quarantine, write_text


@pytest.mark.slow
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


@pytest.mark.slow
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


SOURCE = Ec2SpotHistory()
TEXT_ROW = ["us-east-1a", "m5.large", "Linux/UNIX", "0.031200", "2026-03-01T00:00:00+00:00"]


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows without the line."""
    parsed = [piece for piece in registry.read(path) if piece.tables["price_events"].num_rows]
    rows = [row for piece in parsed for row in piece.tables["price_events"].to_pylist()]
    return [{key: value for key, value in row.items() if key != "line_read"} for row in rows]


def faults_of(path: Path) -> dict[int, str]:
    return {row.line: row.reason.name for piece in registry.read(path) for row in piece.unread}


def notices_of(path: Path) -> list[str]:
    return [notice for piece in registry.read(path) for notice in piece.notices]


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        (json.dumps({"SpotPriceHistory": [EC2_ENTRY], "NextToken": "abc"}), True),
        (json.dumps({"NextToken": "abc", "SpotPriceHistory": [EC2_ENTRY]}), True),
        (json.dumps({"nextToken": "abc", "spotPriceHistory": [EC2_ENTRY]}), True),
        (json.dumps({"SpotPriceHistory": [EC2_ENTRY], "NextToken": ""}), False),
        (json.dumps({"SpotPriceHistory": [EC2_ENTRY], "NextToken": None}), False),
        (json.dumps([EC2_ENTRY]), False),
        (
            json.dumps({"SpotPriceHistory": [EC2_ENTRY], "NextToken": "abc"})
            + json.dumps({"SpotPriceHistory": [EC2_ENTRY]}),
            False,
        ),
        ("SPOTPRICEHISTORY\t" + "\t".join(TEXT_ROW) + "\nNEXTTOKEN\tabc\n", True),
        ("abc\nSPOTPRICEHISTORY\t" + "\t".join(TEXT_ROW) + "\n", True),
        ("SPOTPRICEHISTORY\t" + "\t".join(TEXT_ROW) + "\nNEXTTOKEN\tNone\n", False),
        ("\t".join(TEXT_ROW) + "\n\n", False),
    ],
)
def test_a_listing_that_goes_on_is_told(text: str, is_cut: bool, tmp_path: Path) -> None:
    file = write_text(tmp_path / "h", text)
    assert notices_of(file) == ([CUT_SHORT] if is_cut else [])
    assert rows_of(file)


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("use1-az4", "us-east-1"),
        ("usw2-lax1-az1", "us-west-2"),
        ("use1-wl1-bos-wlz1", "us-east-1"),
        ("usgw1-az1", "us-gov-west-1"),
        ("usge1-az3", "us-gov-east-1"),
        ("apne3-az1", "ap-northeast-3"),
        ("aps1-az2", "ap-south-1"),
        ("cnnw1-az2", "cn-northwest-1"),
        ("ilc1-az1", "il-central-1"),
        ("mxc1-az1", "mx-central-1"),
    ],
)
def test_the_id_of_a_zone_tells_its_region(zone: str, region: str, tmp_path: Path) -> None:
    file = write_text(tmp_path / "h", json.dumps([{**EC2_ENTRY, "AvailabilityZone": zone}]))
    assert [(row["region"], row["zone"]) for row in rows_of(file)] == [(region, zone)]


def test_the_id_of_a_zone_stands_for_it_and_its_name_for_the_region(tmp_path: Path) -> None:
    entries = [
        {**EC2_ENTRY, "AvailabilityZone": "eu-isoe-west-1a", "AvailabilityZoneId": "euie1-az1"},
        {**EC2_ENTRY, "AvailabilityZone": "", "AvailabilityZoneId": "use1-az1"},
        {**EC2_ENTRY, "AvailabilityZoneId": ""},
        {**EC2_ENTRY, "AvailabilityZone": "somewhere"},
        {**EC2_ENTRY, "AvailabilityZone": None},
    ]
    file = write_text(tmp_path / "h", "\n".join(map(json.dumps, entries)))
    assert [(row["region"], row["zone"]) for row in rows_of(file)] == [
        ("eu-isoe-west-1", "euie1-az1"),
        ("us-east-1", "use1-az1"),
        ("us-east-1", "us-east-1a"),
    ]
    assert faults_of(file) == {4: "zone_unknown", 5: "missing_column"}


@pytest.mark.slow
@given(st.permutations(range(5)), st.sampled_from("\t,;"))
def test_fields_without_a_header_go_by_what_they_look_like(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], delimiter: str
) -> None:
    line = delimiter.join(TEXT_ROW[place] for place in order)
    file = write_text(tmp_path_factory.mktemp("t") / "h.txt", f"{line}\n{line}\n")
    assert [(row["zone"], row["price_usd_per_hour"]) for row in rows_of(file)] == [
        ("us-east-1a", "0.031200")
    ] * 2


@pytest.mark.parametrize("header", [",{}", "{}", "#TYPE Amazon.EC2.Model.SpotPrice\n{}"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_with_a_header(header: str, delimiter: str, tmp_path: Path) -> None:
    names = delimiter.join(EC2_ENTRY).replace("SpotPrice", "Price")
    values = delimiter.join(EC2_ENTRY.values())
    is_indexed = header.startswith(",")
    text = header.replace(",", delimiter).format(names) + "\n"
    text += f"0{delimiter}{values}\n" if is_indexed else f"{values}\n"
    (row,) = rows_of(write_text(tmp_path / "h.csv", text))
    assert row["price_usd_per_hour"] == EC2_ENTRY["SpotPrice"]
    assert row["effective_at"] == EC2_ENTRY["Timestamp"]


def test_rows_of_a_table_that_do_not_fit_are_held_back(tmp_path: Path) -> None:
    lines = ["\t".join(TEXT_ROW), "\t".join(TEXT_ROW[:4]), "\t".join([*TEXT_ROW, "extra"])]
    file = write_text(tmp_path / "h.tsv", "\n".join(lines))
    assert faults_of(file) == {2: "missing_column"}
    assert len(rows_of(file)) == 2


@pytest.mark.slow
def test_odd_values_are_held_back_one_by_one(tmp_path: Path) -> None:
    entries = [
        EC2_ENTRY,
        {**EC2_ENTRY, "SpotPrice": True},
        {**EC2_ENTRY, "SpotPrice": {"amount": 1}},
        {**EC2_ENTRY, "InstanceType": "m5.\ud800"},
        {**EC2_ENTRY, "Timestamp": "/Date(99999999999999999)/"},
    ]
    file = write_text(tmp_path / "h.json", json.dumps(entries))
    assert dict(ingest(tmp_path / "s", file).quarantined) == {
        "price_not_a_number": 1,
        "missing_column": 1,
        "key_not_plain": 1,
        "time_unreadable": 1,
    }


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int
) -> None:
    texts = [json.dumps({"SpotPriceHistory": [EC2_ENTRY] * 2}), "\t".join(TEXT_ROW) + "\n"]
    for text in texts:
        file = tmp_path_factory.mktemp("noise") / "h"
        file.write_bytes(text.encode()[:place] + noise + text.encode()[place:])
        with contextlib.suppress(DataError):
            for piece in SOURCE.fetch(file):
                assert SOURCE.parse(piece) == SOURCE.parse(piece)
