"""Lists of what is sold that are whole: what they lack was not listed any more, as of then."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.sources.base import Scope
from cloudarb_lib.store import Batch, IngestReport, ingest_files, open_snapshot
from cloudarb_lib.store.listings import NOT_LISTED
from cloudarb_lib.testing import INGESTED_AT, write_text

pytestmark = pytest.mark.slow

HEADER = "provider,region,zone,instance_type,purchase_option,kind,source,seen_at,sold,note\n"
US = Scope("aws", "us-east-1")


def day(number: int) -> pd.Timestamp:
    return pd.Timestamp(f"2026-04-{number:02}", tz="UTC")


def listing(path: Path, on: int, *places: str, source: str = "aws-offerings") -> Path:
    """Write a list of zone/machine pairs in us-east-1, as of a day."""
    rows = []
    for place in places:
        zone, machine = place.split("/")
        rows.append(
            f"aws,us-east-1,{zone},{machine},,offering,{source},{day(on):%Y-%m-%d}T00:00:00Z,true,\n"
        )
    return write_text(path / f"{source}-{on}.csv", HEADER + "".join(rows))


def take(store: Path, *files: Path, whole: tuple[Scope, ...] = (US,), **more: bool) -> IngestReport:
    batches = [Batch(file, whole=whole, **more) for file in files]
    return ingest_files(batches, store_dir=store, now=INGESTED_AT)


def sold(store: Path, on: int) -> dict[str, bool]:
    """Return the last word on each place of each machine as of a day."""
    with open_snapshot(store) as snapshot:
        rows = snapshot.evidence(as_of=day(on))
    last = rows.sort_values("seen_at").drop_duplicates(["zone", "instance_type"], keep="last")
    places = last["zone"] + "/" + last["instance_type"]
    return dict(zip(places, last["sold"].tolist(), strict=True))


def test_a_machine_that_leaves_a_whole_list_is_not_sold_from_then_on(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "use1-az1/p3", "use1-az2/p3", "use1-az1/m5"))
    report = take(store, listing(tmp_path, 9, "use1-az1/p3", "use1-az1/m5"))
    assert sold(store, 8)["use1-az2/p3"]
    assert sold(store, 9) == {"use1-az1/p3": True, "use1-az2/p3": False, "use1-az1/m5": True}
    assert report.not_listed == 1
    assert "not listed any more 1" in str(report)
    with open_snapshot(store) as snapshot:
        (denial,) = snapshot.evidence(as_of=day(9)).query("not sold").to_dict("records")
    assert (denial["source"], denial["kind"]) == ("aws-offerings", "offering")
    assert denial["note"] == NOT_LISTED


def test_a_file_that_vouches_for_its_own_rows_alone_denies_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "use1-az1/p3", "use1-az1/m5"), whole=())
    report = take(store, listing(tmp_path, 9, "use1-az1/m5"), whole=())
    assert all(sold(store, 9).values())
    assert not report.not_listed


def test_a_list_of_one_region_says_nothing_of_another(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "use1-az1/p3"))
    here = listing(tmp_path, 9, "use1-az1/m5")
    elsewhere = write_text(
        tmp_path / "eu.csv", here.read_text().replace("us-east-1,use1", "eu-west-1,euw1")
    )
    take(store, elsewhere, whole=(Scope("aws", "eu-west-1"),))
    assert sold(store, 9)["use1-az1/p3"]


def test_an_earlier_list_that_comes_late_is_denied_by_the_later_one(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "use1-az1/m5"))
    take(store, listing(tmp_path, 9, "use1-az1/m5"))
    take(store, listing(tmp_path, 5, "use1-az1/m5", "use1-az1/p3"))
    assert sold(store, 6)["use1-az1/p3"]
    assert not sold(store, 9)["use1-az1/p3"]


def test_the_same_list_again_changes_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "use1-az1/m5", "use1-az1/p3"))
    first = take(store, listing(tmp_path, 9, "use1-az1/m5"))
    again = take(store, listing(tmp_path, 9, "use1-az1/m5"))
    assert (again.digest, again.not_listed) == (first.digest, 0)


def test_a_list_by_ids_of_zones_denies_no_zone_by_its_name(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "us-east-1a/p5", "/m5", "us-east-1a/p3", "/p3"))
    take(store, listing(tmp_path, 9, "use1-az6/p5", "use1-az6/m5"))
    last = sold(store, 9)
    assert last["us-east-1a/p5"]  # of which id nobody knows
    assert last["/m5"]
    assert not last["us-east-1a/p3"]  # it has the machine nowhere
    assert not last["/p3"]


def test_a_list_of_machines_denies_no_gpu_to_attach(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "a/n1-*+T4", "a/n1-8", "a/n2-8"))
    take(store, listing(tmp_path, 9, "a/n1-8"))
    assert sold(store, 9) == {"a/n1-*+T4": True, "a/n1-8": True, "a/n2-8": False}


@pytest.mark.parametrize(("source", "is_sold"), [("aws-offerings", False), ("spotlake", True)])
def test_the_providers_own_list_overrules_another_source_and_no_catalogue_does(
    source: str, is_sold: bool, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "us-east-1a/p3", source="mine"), whole=())
    take(store, listing(tmp_path, 9, "use1-az1/m5", source=source))
    assert sold(store, 9)["us-east-1a/p3"] is is_sold


def test_a_list_that_lacks_most_of_the_last_one_must_be_confirmed(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, *[f"use1-az1/m{n}" for n in range(12)]))
    short = listing(tmp_path, 9, "use1-az1/m0")
    report = take(store, short)
    assert not report.not_listed
    assert "11 of 12 listed places are missing" in str(report)
    assert all(sold(store, 9).values())
    assert take(store, short, confirmed=True).not_listed == 11


def test_a_refused_page_keeps_its_list_from_denying(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "use1-az1/m5", "use1-az1/p3"))
    broken = write_text(tmp_path / "broken.json", '{"InstanceTypeOfferings": [')
    with pytest.raises(Exception, match="refused"):
        take(store, listing(tmp_path, 9, "use1-az1/m5"), broken)
    assert sold(store, 9)["use1-az1/p3"]


def test_pages_of_one_call_are_one_list(tmp_path: Path) -> None:
    store = tmp_path / "store"
    take(store, listing(tmp_path, 1, "use1-az1/m5", "use1-az1/p3", "use1-az1/p4"))
    first = listing(tmp_path, 9, "use1-az1/m5")
    text = HEADER + "aws,us-east-1,use1-az1,p3,,offering,aws-offerings,2026-04-09T01:00:00Z,true,\n"
    take(store, first, write_text(tmp_path / "second.csv", text))
    assert sold(store, 10) == {"use1-az1/m5": True, "use1-az1/p3": True, "use1-az1/p4": False}


def test_the_bundled_record_denies_only_what_it_says_itself() -> None:
    with open_snapshot() as snapshot:
        evidence = snapshot.table("evidence")
        listings = snapshot.table("listings")
    assert len(evidence)
    assert listings.empty
    assert NOT_LISTED not in evidence["note"].tolist()
