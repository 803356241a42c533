"""Files into the store: what lands, what is held back, and what survives a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib import store
from cloudarb_lib.base.errors import DataError, StoreError
from cloudarb_lib.base.files import locked
from cloudarb_lib.store import glitches, open_snapshot
from cloudarb_lib.store.ingest import ingest_files

NOW = pd.Timestamp("2026-06-01", tz="UTC")
HEADER = "provider,region,instance_type,purchase_option,effective_at,price_usd_per_hour\n"
GOOD = "gcp,us-east1,n2-standard-4,spot,2026-01-05T00:00:00Z,0.05\n"


def put(path: Path, text: str) -> Path:
    path.write_text(text, newline="")
    return path


def take(store: Path, *paths: Path, now: pd.Timestamp = NOW):
    return ingest_files(paths, store_dir=store, now=now)


def held_back(store: Path) -> pd.DataFrame:
    with open_snapshot(store) as snapshot:
        return snapshot.table("quarantine").sort_values("line", ignore_index=True)


BAD = {
    "gcp,r,m,spot,2026-01-05T00:00:00Z,cheap": "price_not_a_number",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,NaN": "price_not_a_number",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,1_0": "price_not_a_number",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,-0.1": "price_negative",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,0": "price_zero",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,inf": "price_infinite",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,1e999": "price_infinite",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,100000.01": "price_beyond_reason",
    "gcp,r,m,spot,2026-01-05T00:00:00,1": "time_naive",
    "gcp,r,m,spot,2026-01-05,1": "time_naive",
    "gcp,r,m,spot,soon,1": "time_unreadable",
    "gcp,r,m,spot,2026-13-05T00:00:00Z,1": "time_unreadable",
    "gcp,r,m,spot,,1": "time_unreadable",
    "gcp,r,m,spot,2026-06-01T00:00:01Z,1": "time_future",
    "gcp,r,m,sp0t,2026-01-05T00:00:00Z,1": "unknown_purchase_option",
    "gcp,r,m,reserved,2026-01-05T00:00:00Z,1": "unknown_term",
    ",r,m,spot,2026-01-05T00:00:00Z,1": "empty_key",
    "gcp,r,,spot,2026-01-05T00:00:00Z,1": "empty_key",
    "gcp,r,m/x,spot,2026-01-05T00:00:00Z,1": "key_not_plain",
    "gcp,r,m\x00,spot,2026-01-05T00:00:00Z,1": "key_not_plain",
    "gcp,r,m,spot,2026-01-05T00:00:00Z": "missing_column",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,1,2": "unknown_column",
    'gcp,r,"m,spot,2026-01-05T00:00:00Z,1': "row_unreadable",
}


def test_each_bad_row_is_held_back_with_line_and_reason(tmp_path: Path) -> None:
    file = put(tmp_path / "prices.csv", HEADER + "".join(f"{row}\n{GOOD}" for row in BAD))
    report = take(tmp_path / "s", file)
    held = held_back(tmp_path / "s")
    assert dict(zip(held["line"], held["reason"], strict=True)) == {
        2 + 2 * i: reason for i, reason in enumerate(BAD.values())
    }
    assert held["detail"].str.len().min() > 10
    assert set(held["file"]) == {"prices.csv"}
    assert held.loc[0, "row_text"] == next(iter(BAD))
    assert (report.new, report.unchanged) == (1, len(BAD) - 1)
    assert (
        report.read
        == report.new + report.unchanged + report.superseded + report.quarantined.total()
    )


def test_other_columns_are_checked_too(tmp_path: Path) -> None:
    more = HEADER.strip() + ",term,currency,observed_at,price_kind,offer_count,quality\n"
    rows = [
        "2y,USD,2026-01-05T00:00:00Z,,,ok",
        "1y,EUR,2026-01-05T00:00:00Z,,,ok",
        "1y,,2026-01-05T00:00:00Z,bid,,ok",
        "1y,,2026-01-05T00:00:00Z,,-1,ok",
        "1y,,2026-01-05T00:00:00Z,,2.5,ok",
        "1y,,2027-01-05T00:00:00Z,,,ok",
        "1y,usd,2026-01-06T00:00:00Z,market,3,odd",
    ]
    begin = "gcp,r,m,reserved,2026-01-05T00:00:00Z,1,"
    report = take(
        tmp_path / "s", put(tmp_path / "p.csv", more + "".join(f"{begin}{row}\n" for row in rows))
    )
    assert held_back(tmp_path / "s")["reason"].tolist() == [
        "unknown_term",
        "currency_not_usd",
        "unknown_price_kind",
        "value_not_a_number",
        "value_not_a_number",
        "time_future",
    ]
    assert report.new == 1
    with open_snapshot(tmp_path / "s") as snapshot:
        row = snapshot.table("price_events").iloc[0]
    assert (row["term"], row["price_kind"], row["offer_count"], row["quality"]) == (
        "1y",
        "market",
        3,
        "ok",
    )


def test_defaults_and_raw_names(tmp_path: Path) -> None:
    text = (
        "provider,region,instance_type,purchase_option,effective_at,price_usd_hour\r\n"
        '"AWS",us-east-1,m5.large,spot,2026-01-05T01:00:00+02:00,0.03\r\n'
        "gcp,,n2-standard-4,reserved_3y,2026-01-05 00:00:00Z,\r\n\r\n"
        '"az\nure",x,y,on_demand,2026-01-05T00:00:00Z,1\r\n'
        "azure,x,y,on_demand,2026-01-05T00:00:00Z,2\r\n"
    )
    file = tmp_path / "mine.csv"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    take(tmp_path / "s", file)
    with open_snapshot(tmp_path / "s") as snapshot:
        table = snapshot.table("price_events").set_index("provider")
    assert table.loc["aws", ["price_kind", "source", "zone"]].tolist() == ["market", "mine", ""]
    assert table.loc["aws", "effective_at"] == pd.Timestamp("2026-01-04T23:00Z")
    assert (table["observed_at"] == table["effective_at"]).all()
    gcp = table.loc["gcp"]
    assert gcp[["region", "purchase_option", "term", "price_kind"]].tolist() == [
        "unstated",
        "reserved",
        "3y",
        "administered",
    ]
    assert np.isnan(gcp["price_usd_per_hour"])
    assert table.loc["azure", "price_usd_per_hour"] == 2
    held = held_back(tmp_path / "s")
    assert held[["line", "reason"]].to_numpy().tolist() == [
        [5, "row_unreadable"],
        [6, "row_unreadable"],
    ]


def test_a_header_that_does_not_fit_holds_back_every_row(tmp_path: Path) -> None:
    wrong = put(tmp_path / "a.csv", HEADER.replace("region", "regin") + GOOD + GOOD)
    assert dict(take(tmp_path / "s", wrong).quarantined) == {"unknown_column": 2}
    assert "did you mean 'region'" in held_back(tmp_path / "s")["detail"][0]
    short = put(
        tmp_path / "b.csv",
        HEADER.replace(",price_usd_per_hour", "") + GOOD.rsplit(",", 1)[0] + "\n",
    )
    assert dict(take(tmp_path / "s", short).quarantined) == {"missing_column": 1}
    twice = put(tmp_path / "c.csv", HEADER.replace("region", "provider") + GOOD)
    assert dict(take(tmp_path / "s", twice).quarantined) == {"unknown_column": 1}
    for odd in ("", '"a""b"', "a\x00b", "line_read", "c0"):
        file = put(tmp_path / "d.csv", HEADER.strip() + f",{odd}\n" + GOOD.strip() + ",1\n")
        assert dict(take(tmp_path / "s", file).quarantined) == {"unknown_column": 1}, odd


def test_unreadable_files_change_nothing(tmp_path: Path) -> None:
    store = tmp_path / "s"
    before = take(store, put(tmp_path / "good.csv", HEADER + GOOD)).digest
    page = json.dumps({"SpotPriceHistory": [EC2, EC2]})
    files = {
        "empty.csv": b"",
        "noise.bin": os.urandom(5000),
        "other.csv": b"a,b,c\n1,2,3\n",
        "cut.parquet": b"PAR1abc",
        "wide.csv": (HEADER + GOOD).encode("utf-16"),
        "cut.json": page[:-3].encode(),
        "more.json": page.encode() + b"]",
        "other.json": b'{"Prices": []}',
        "list.json": b"[1, 2]",
        "broken.json": page.replace(": ", "", 2).encode(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name in [*files, "missing.csv", "s"]:
        with pytest.raises(DataError):
            take(store, tmp_path / name)
        with open_snapshot(store) as snapshot:
            assert snapshot.digest == before
    assert not list(store.glob("work*"))
    with pytest.raises(DataError, match="taken in: read 1"):
        take(
            store,
            tmp_path / "cut.json",
            put(tmp_path / "next.csv", HEADER + GOOD.replace("0.05", "0.06")),
        )


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    file = put(tmp_path / "p.csv", HEADER + GOOD + "gcp,r,m,spot,2026-01-05T00:00:00Z,-1\n" + GOOD)
    first = take(tmp_path / "s", file)
    again = take(tmp_path / "s", file, now=NOW + pd.Timedelta(days=1))
    assert (first.new, first.unchanged, again.new, again.unchanged) == (1, 1, 0, 2)
    assert again.digest == first.digest
    assert (first.published, again.published) == (True, False)
    assert len(held_back(tmp_path / "s")) == 1


def test_parquet_and_csv_of_the_same_rows_are_the_same_store(tmp_path: Path) -> None:
    times = pd.date_range("2026-01-01", periods=40, freq="6h", tz="UTC")
    frame = pd.DataFrame(
        {
            "provider": "gcp",
            "region": "r",
            "instance_type": "m",
            "purchase_option": "on_demand",
            "effective_at": times,
            "price_usd_per_hour": np.linspace(1.0, 1.3, 40),
        }
    )
    frame.loc[7, "price_usd_per_hour"] = None
    (tmp_path / "a").mkdir()
    frame.to_parquet(tmp_path / "a" / "p.parquet")
    frame.sample(frac=1, random_state=1).to_csv(tmp_path / "p.csv", index=False)
    digests = {
        take(tmp_path / s, tmp_path / f).digest for s, f in (("1", "a/p.parquet"), ("2", "p.csv"))
    }
    assert len(digests) == 1


def test_parquet_with_odd_types(tmp_path: Path) -> None:
    base = {"provider": ["gcp"] * 3, "region": "r", "instance_type": "m", "purchase_option": "spot"}
    times = pd.date_range("2026-01-01", periods=3, tz="UTC")
    naive = pd.DataFrame(
        {**base, "effective_at": times.tz_localize(None), "price_usd_per_hour": 1.0}
    )
    naive.to_parquet(tmp_path / "naive.parquet")
    assert dict(take(tmp_path / "s", tmp_path / "naive.parquet").quarantined) == {"time_naive": 3}
    odd = pd.DataFrame({**base, "effective_at": times, "price_usd_per_hour": [1, 2, -3]})
    odd.to_parquet(tmp_path / "int.parquet")
    report = take(tmp_path / "s", tmp_path / "int.parquet")
    assert (report.new, dict(report.quarantined)) == (2, {"price_negative": 1})
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            **{k: [v[0] if isinstance(v, list) else v] * 2 for k, v in base.items()},
            "effective_at": pa.array(times[:2] + pd.Timedelta("1h")),
            "price_usd_per_hour": pa.array([float("nan"), None]),
        }
    )
    pq.write_table(table, tmp_path / "nan.parquet")
    report = take(tmp_path / "s", tmp_path / "nan.parquet")
    assert (report.new, dict(report.quarantined)) == (1, {"price_not_a_number": 1})
    lists = table.set_column(5, "price_usd_per_hour", pa.array([[1.0], None]))
    pq.write_table(lists.append_column("zone", pa.array([True, False])), tmp_path / "list.parquet")
    assert dict(take(tmp_path / "s", tmp_path / "list.parquet").quarantined) == {
        "price_not_a_number": 2
    }


def test_parquet_whose_text_is_no_utf8_changes_nothing(tmp_path: Path) -> None:
    before = take(tmp_path / "s", put(tmp_path / "good.csv", HEADER + GOOD)).digest
    frame = pd.DataFrame(
        dict(zip(HEADER.strip().split(","), GOOD.strip().split(","), strict=True)), index=[0]
    )
    frame.to_parquet(tmp_path / "p.parquet", compression=None)
    whole = (tmp_path / "p.parquet").read_bytes()
    for text in (b"us-east1", b"instance_type"):  # a value, a name
        (tmp_path / "p.parquet").write_bytes(whole.replace(text, b"\xff" + text[1:]))
        with pytest.raises(DataError, match="not readable as Parquet"):
            take(tmp_path / "s", tmp_path / "p.parquet")
        with open_snapshot(tmp_path / "s") as snapshot:
            assert snapshot.digest == before


def seen(price: float, observed: str, effective: str = "2026-01-05") -> str:
    return f"gcp,us-east1,n2,spot,{effective}T00:00:00Z,{price},{observed}T00:00:00Z\n"


def test_later_looks_supersede_and_disagreeing_rows_are_held_back(tmp_path: Path) -> None:
    store, head = tmp_path / "s", HEADER.strip() + ",observed_at\n"
    one = put(
        tmp_path / "1.csv",
        head + seen(1, "2026-01-06") + seen(1, "2026-01-09") + seen(2, "2026-01-12"),
    )
    report = take(store, one)
    assert (report.new, report.unchanged, report.superseded) == (1, 1, 1)
    two = put(
        tmp_path / "2.csv",
        head + seen(3, "2026-01-06") + seen(4, "2026-01-20") + seen(5, "2026-01-20"),
    )
    report = take(store, two)
    assert (report.new, dict(report.quarantined)) == (0, {"duplicate_disagrees": 3})
    three = put(
        tmp_path / "3.csv", head + seen(2, "2026-01-25") + seen(7, "2026-01-25", "2026-01-20")
    )
    report = take(store, three)
    assert (report.new, report.unchanged, report.superseded) == (1, 1, 0)
    with open_snapshot(store) as snapshot:
        for day, prices in (
            ("2026-01-04", []),
            ("2026-01-07", [1]),
            ("2026-01-13", [2]),
            ("2026-01-26", [2, 7]),
        ):
            assert snapshot.events(as_of=day)["price_usd_per_hour"].tolist() == prices


def test_machine_tables_are_corrected_and_named_alike(tmp_path: Path) -> None:
    head = "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"
    a = put(
        tmp_path / "a.csv",
        head + "gcp,x,8,32,NVIDIA A100,1,80\ngcp,y,8,,,0,\ngcp,z,8,1,,0,\ngcp,z,9,1,,0,\n",
    )
    report = take(tmp_path / "s", a)
    assert (report.new, dict(report.quarantined)) == (2, {"duplicate_disagrees": 2})
    b = put(
        tmp_path / "b.csv",
        head + "gcp,x,8,64,A100-SXM4-80GB,1,80\ngcp,y,8,,,0,\ngcp,q,eight,,,0,\n",
    )
    report = take(tmp_path / "s", b)
    assert (report.superseded, report.unchanged) == (1, 1)
    assert dict(report.quarantined) == {"value_not_a_number": 1}
    with open_snapshot(tmp_path / "s") as snapshot:
        table = snapshot.table("instances").set_index("instance_type")
    assert table.loc["x", ["gpu_model", "memory_gib"]].tolist() == ["A100-80GB", 64]
    assert table.loc["y", "gpu_model"] is None


EC2 = {
    "AvailabilityZone": "us-east-1a",
    "InstanceType": "m5.large",
    "ProductDescription": "Linux/UNIX",
    "SpotPrice": "0.034500",
    "Timestamp": "2026-03-01T10:00:00+00:00",
}


def test_ec2_history_as_the_aws_cli_prints_it(tmp_path: Path) -> None:
    later = {
        **EC2,
        "Timestamp": "2026-03-05T10:00:00.000Z",
        "SpotPrice": "0.04",
        "AvailabilityZoneId": "use1-az4",
    }
    zones = [{**EC2, "AvailabilityZone": z} for z in ("us-west-2-lax-1a", "ap-southeast-2b")]
    odd = [
        {**EC2, "ProductDescription": "Windows"},
        {**EC2, "SpotPrice": "free"},
        {**EC2, "SpotPrice": ""},
        {k: v for k, v in EC2.items() if k != "InstanceType"},
    ]
    pages = [
        {"SpotPriceHistory": [EC2, *zones, *odd], "NextToken": "abc="},
        {"SpotPriceHistory": [later, EC2]},
        {"NextToken": "", "SpotPriceHistory": []},
    ]
    file = put(tmp_path / "h.json", "\n".join(json.dumps(p, indent=4) for p in pages))
    report = take(tmp_path / "s", file)
    assert (report.read, report.new, report.unchanged) == (9, 4, 1)
    assert dict(report.quarantined) == {
        "product_not_linux": 1,
        "price_not_a_number": 2,
        "missing_column": 1,
    }
    lines = file.read_text().splitlines()
    for row in held_back(tmp_path / "s").itertuples():
        assert lines[row.line - 1].strip() == "{"
    with open_snapshot(tmp_path / "s") as snapshot:
        events, looks = snapshot.events(as_of="2026-05-01"), snapshot.looks(as_of="2026-05-01")
    assert set(events["region"]) == {"us-east-1", "us-west-2", "ap-southeast-2"}
    assert set(events["price_kind"]) == {"market"}
    assert (looks["covers_from"][0], looks["looked_at"][0]) == (
        pd.Timestamp("2026-03-01T10:00Z"),
        pd.Timestamp("2026-03-05T10:00Z"),
    )
    assert take(tmp_path / "s", file).published is False


def test_ec2_history_longer_than_a_block(tmp_path: Path) -> None:
    times = pd.date_range("2026-01-01", periods=9000, freq="1min", tz="UTC").strftime(
        "%Y-%m-%dT%H:%M:%S.000Z"
    )
    page = {
        "SpotPriceHistory": [
            {**EC2, "Timestamp": t, "SpotPrice": f"{1 + i / 1e4:.6f}"} for i, t in enumerate(times)
        ]
    }
    report = take(tmp_path / "s", put(tmp_path / "h.json", json.dumps(page, indent=2)))
    assert (report.new, report.quarantined.total()) == (9000, 0)


def test_many_pieces_are_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudarb_lib.sources.files.PIECE", 7)
    times = pd.date_range("2026-01-01", periods=50, freq="1h", tz="UTC").strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    rows = [f"gcp,r,m,spot,{t},{1 + i / 100}\n" for i, t in enumerate(times)]
    rows[20:20] = ["short\n"]
    report = take(tmp_path / "s", put(tmp_path / "p.csv", HEADER + "".join(rows)))
    assert (report.read, report.new, dict(report.quarantined)) == (51, 50, {"missing_column": 1})
    assert held_back(tmp_path / "s")["line"].tolist() == [22]


# Writers that stop half-way

WRITER = """
import sys, pandas as pd
from cloudarb_lib.store.ingest import ingest_files
ingest_files([sys.argv[2]], store_dir=sys.argv[1], now=pd.Timestamp("2026-06-01", tz="UTC"))
"""


def big_file(path: Path, level: float) -> Path:
    times = pd.date_range("2026-01-01", periods=3000, freq="1h", tz="UTC").strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    rows = [
        f"gcp,r,m{k},spot,{t},{level + i / 1e5:.5f}\n"
        for k in range(10)
        for i, t in enumerate(times)
    ]
    return put(path, HEADER + "".join(rows))


def test_killed_writers_leave_the_last_snapshot_and_the_next_one_finishes(tmp_path: Path) -> None:
    store = tmp_path / "s"
    first = take(store, put(tmp_path / "good.csv", HEADER + GOOD)).digest
    big = big_file(tmp_path / "big.csv", 1.0)
    killed = 0
    for wait in (0.0, 0.1, 0.25):  # after the lock is taken
        (store / "lock").write_text("")
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(store), str(big)])
        while not (store / "lock").read_text() and writer.poll() is None:
            time.sleep(0.005)
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        killed += writer.wait() == -signal.SIGKILL
        with open_snapshot(store) as snapshot:
            if (store / "current").read_text().strip() != first:
                break  # it was quicker than the kill
            assert len(snapshot.events(as_of="2026-05-01")) == 1
    assert killed >= 1
    report = take(store, big)
    assert report.new + report.unchanged == 30_000
    assert not list(store.glob("work*"))
    clean = take(tmp_path / "clean", tmp_path / "good.csv", big)
    assert report.digest == clean.digest


def test_a_full_disk_is_an_error_and_keeps_the_old_snapshot(tmp_path: Path) -> None:
    store = tmp_path / "s"
    first = take(store, put(tmp_path / "good.csv", HEADER + GOOD)).digest
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000,) * 2)\n" + WRITER
    )
    big = big_file(tmp_path / "big.csv", 2.0)
    done = subprocess.run(
        [sys.executable, "-c", limited, str(store), str(big)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "StoreError" in done.stderr
    assert "last snapshot is untouched" in done.stderr
    with open_snapshot(store) as snapshot:
        assert snapshot.digest == first
    assert take(store, big).new == 30_000


def test_readers_and_the_writer_do_not_wait_for_each_other(tmp_path: Path) -> None:
    store = tmp_path / "s"
    take(store, put(tmp_path / "1.csv", HEADER + GOOD))
    with open_snapshot(store) as old:
        take(
            store,
            put(
                tmp_path / "2.csv", HEADER + GOOD.replace("0.05", "0.06").replace("01-05", "01-06")
            ),
        )
        assert len(old.events(as_of="2026-05-01")) == 1
        with open_snapshot(store) as new:
            assert len(new.events(as_of="2026-05-01")) == 2
        for day in range(10, 15):  # older snapshots are cleared away, but not from under a reader
            take(
                store,
                put(
                    tmp_path / "3.csv",
                    HEADER + GOOD.replace("01-05", f"01-{day}").replace("5\n", f"{day}\n"),
                ),
            )
        assert len(old.looks(as_of="2026-05-01")) == 0
        assert len(old.events(as_of="2026-05-01")) == 1
    assert len(list((store / "snapshots").iterdir())) == 3


def test_a_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    file = put(tmp_path / "1.csv", HEADER + GOOD)
    with (
        locked(tmp_path / "s" / "lock", StoreError, "it"),
        pytest.raises(StoreError, match=f"process {os.getpid()}"),
    ):
        take(tmp_path / "s", file)
    assert take(tmp_path / "s", file).new == 1


def test_a_store_of_an_older_version_is_read_but_not_written(tmp_path: Path) -> None:
    file = put(tmp_path / "1.csv", HEADER + GOOD)
    digest = take(tmp_path / "s", file).digest
    con = store.connect(tmp_path / "s" / "snapshots" / f"{digest}.duckdb")
    con.execute(
        "ALTER TABLE price_events RENAME TO price_rows; CREATE VIEW price_events AS FROM price_rows"
    )
    con.close()
    with open_snapshot(tmp_path / "s") as snapshot:
        assert len(snapshot.events(as_of="2026-05-01")) == 1
    with pytest.raises(StoreError, match=r"older version.*ingest again"):
        take(tmp_path / "s", file)


# Glitches


def hours(*pairs: tuple[float, float], offer: int = 0) -> pd.DataFrame:
    """(day, price) pairs of one offer as rows for ``glitches.flag``."""
    day = int(86_400e6)
    return pd.DataFrame(
        {
            "offer": offer,
            "effective": [int(d * day) for d, _ in pairs],
            "observed": [int(d * day) for d, _ in pairs],
            "price": [float(p) for _, p in pairs],
        }
    )


PARTS = [
    "provider",
    "region",
    "instance_type",
    "gpu_model",
    "purchase_option",
    "term",
    "gpu_count",
    "vcpus",
]
NO_GPUS = pd.DataFrame(columns=PARTS)


@pytest.mark.parametrize(
    ("pairs", "flagged"),
    [
        ([(0, 10), (1, 2), (2, 10)], {1: 2}),  # down and back
        ([(0, 10), (1, 16), (2, 10.5)], {1: 2}),  # up and back, nearly
        ([(0, 10), (1, 5.1), (2, 10)], {}),  # not by more than half
        ([(0, 10), (1, 2), (4.1, 10)], {}),  # back too late
        ([(0, 10), (1, 2), (2, 8.9)], {}),  # back not near enough
        ([(0, 10), (1, 2), (1.5, 3), (2, 10)], {1: 2, 2: 2}),  # in several steps
        ([(0, 10), (1, 2), (2, 10), (2.5, 2), (3, 10)], {1: 2, 3: 3}),  # the good one between stays
        ([(0, 10), (1, float("nan")), (2, 10)], {}),  # withdrawn is no jump
        ([(0, 10), (1, 2), (1.5, float("nan")), (2, 10)], {1: 2}),
        ([(0, 2), (1, 10), (2, 10.1)], {}),  # a step stays
    ],
)
def test_a_jump_that_reverts_is_flagged_from_its_return_on(pairs, flagged) -> None:
    quality, at = glitches.flag(hours(*pairs), NO_GPUS)
    assert {
        int(i): at[i] / 86_400e6 for i in np.flatnonzero(quality == glitches.REVERTED)
    } == flagged


def gpu_fleet(
    prices: list[float], option: str = "on_demand", vcpus: float = 8.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = pd.concat([hours((0, p), offer=i) for i, p in enumerate(prices)], ignore_index=True)
    gpus = pd.DataFrame(
        {
            "provider": "gcp",
            "region": [f"r{i // 2}" for i in range(len(prices))],
            "instance_type": [f"m{i % 2}" for i in range(len(prices))],
            "gpu_model": "H100",
            "purchase_option": option,
            "term": "",
            "gpu_count": 1.0,
            "vcpus": vcpus,
        }
    )
    return rows, gpus


def test_a_machine_under_half_of_its_model_is_flagged() -> None:
    rows, gpus = gpu_fleet([10, 10, 10, 4.9])
    quality, at = glitches.flag(rows, gpus)
    assert quality.tolist() == [0, 0, 0, glitches.LOW_FOR_GPU]
    assert at[3] == rows["observed"][3]
    assert not glitches.flag(*gpu_fleet([10, 10, 10, 5.1]))[0].any()
    assert not glitches.flag(*gpu_fleet([10, 10, 4.9]))[0].any()  # too few to judge
    other = gpus.assign(vcpus=[8.0, 8.0, 8.0, 2.0])
    assert not glitches.flag(rows, other)[0].any()  # fewer vCPUs: rightly cheaper
    assert glitches.flag(rows, gpus.assign(vcpus=[8.0, 8.0, 8.0, 4.0]))[0].any()  # not by so much


SIZES = [[1, 1, 1, 1], [1, 2, 4, 8], [8, 1, 1, 1, 1], [1, 8, 8, 8, 8, 8], [4, 1, 2, 8, 8]]


@pytest.mark.parametrize("counts", SIZES)
@pytest.mark.parametrize("vcpus", ["in step", "alike", "unknown", "doubling"])
def test_the_cheap_one_of_a_handful_is_flagged_whatever_its_size(
    tmp_path: Path, counts, vcpus
) -> None:
    """The first of a few machines of one model is listed at 40 % of what the others ask per GPU."""
    of = {
        "in step": lambda i, n: 12 * n,
        "alike": lambda i, n: 8,
        "unknown": lambda i, n: "",
        "doubling": lambda i, n: 64 / 2**i,
    }[vcpus]
    machines = "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"
    prices = HEADER
    for i, n in enumerate(counts):
        machines += f"aws,m{i},{of(i, n)},64,H100,{n},80\n"
        prices += f"aws,us-east-1,m{i},on_demand,2026-01-05T00:00:00Z,{n * (4 if i == 0 else 10 + i / 10)}\n"
    take(tmp_path / "s", put(tmp_path / "i.csv", machines), put(tmp_path / "p.csv", prices))
    with open_snapshot(tmp_path / "s") as snapshot:
        shown = snapshot.events(as_of="2026-02-01", include_flagged=True)
        kept = snapshot.events(as_of="2026-02-01")
    assert shown["quality"].tolist() == ["glitch_low_for_gpu"] + ["ok"] * (len(counts) - 1)
    assert kept["instance_type"].tolist() == [f"m{i}" for i in range(1, len(counts))]


def test_a_spot_region_that_falls_as_a_whole_is_a_move() -> None:
    assert not glitches.flag(*gpu_fleet([10, 10, 10, 10, 10, 10, 4, 4], option="spot"))[0].any()
    alone = glitches.flag(*gpu_fleet([10, 10, 10, 10, 10, 10, 10, 4], option="spot"))[0]
    assert np.flatnonzero(alone).tolist() == [7]
    listed = glitches.flag(*gpu_fleet([10, 10, 10, 10, 10, 10, 4, 4], option="on_demand"))[0]
    assert np.flatnonzero(listed).tolist() == [6, 7]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 12),
            st.sampled_from([0, 0, 0, 2]),
            st.sampled_from([1.0, 4, 5, 9, 10, 20]),
        ),
        min_size=1,
        max_size=30,
        unique_by=lambda r: r[:3],
    ),
    st.integers(0, 14),
    st.sampled_from(["spot", "on_demand"]),
)
def test_flags_never_change_with_what_comes_later(raw, cut, option) -> None:
    rows = pd.concat([hours((e / 2, p), offer=o) for o, e, _, p in raw], ignore_index=True)
    rows["observed"] += np.array([lag for *_, lag, _ in raw]) * int(43_200e6)
    _, gpus = gpu_fleet([1.0] * 6, option)
    quality, at = glitches.flag(rows, gpus)
    now = cut * int(43_200e6)
    early = rows["observed"] <= now
    then_quality, then_at = glitches.flag(rows[early].reset_index(drop=True), gpus)
    known = (at[early] >= 0) & (at[early] <= now)
    assert then_quality.tolist() == np.where(known, quality[early], 0).tolist()
    assert then_at.tolist() == np.where(known, at[early], -1).tolist()


def test_market_prices_are_never_flagged(tmp_path: Path) -> None:
    spikes = "".join(
        f"aws,r,m,spot,2026-01-0{d}T00:00:00Z,{p}\n" for d, p in ((1, 1), (2, 80), (3, 1))
    )
    market, listed = (
        put(tmp_path / f"{name}.csv", HEADER + spikes.replace("aws", provider))
        for name, provider in (("p", "aws"), ("q", "gcp"))
    )
    report = take(tmp_path / "s", market, listed)
    assert dict(report.flagged) == {"q": 1}
    assert "flagged as errors of a list: q 1" in str(report)
    assert not take(tmp_path / "s", market).flagged, (
        "what another file brought is not counted again"
    )
    with open_snapshot(tmp_path / "s") as snapshot:
        events = snapshot.events(as_of="2026-02-01", include_flagged=True)
    assert events["provider"].tolist() == ["aws"] * 3 + ["gcp"] * 3
    assert events["quality"].tolist() == ["ok"] * 4 + ["glitch_reverted", "ok"]


def test_files_without_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({name: pd.Series(dtype=str) for name in HEADER.strip().split(",")})
    frame.to_parquet(tmp_path / "none.parquet")
    for file in (tmp_path / "none.parquet", put(tmp_path / "none.csv", HEADER)):
        with pytest.raises(DataError, match="no row"):
            take(tmp_path / "s", file)


def test_a_file_is_added_to_the_bundled_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = put(
        tmp_path / "own.csv",
        "provider,region,instance_type,purchase_option,effective_at,price_usd_per_hour\n"
        "mine,here,m-1,spot,2026-01-05T00:00:00Z,1.5\n",
    )
    monkeypatch.setattr("cloudarb_lib.store.ingest.store_folder", lambda name: tmp_path / "store")
    report = ingest_files([own], store_dir="", now=NOW)
    assert report.new == 1
    with open_snapshot(tmp_path / "store") as snapshot:
        providers = set(snapshot.table("price_events")["provider"])
    assert {"mine", "gcp", "azure", "aws"} <= providers
