"""What catalogues repeat of others counts only where the others are silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudarb_lib.sources import registry
from cloudarb_lib.store import held, open_snapshot
from cloudarb_lib.testing import ingest, write_text

HEADER = (
    "provider,region,zone,instance_type,purchase_option,effective_at,price_usd_per_hour,source\n"
)
FIRST = "aws,us-east-1,use1-az4,p5.48xlarge,spot,2026-03-02T00:00:00Z,20,ec2-spot-price-history\n"
OF_ZONE = "aws,us-east-1,,p5.48xlarge,spot,2026-03-05T00:00:00Z,9,gpuhunt-catalog\n"
ELSEWHERE = "aws,us-west-2,,p5.48xlarge,spot,2026-03-05T00:00:00Z,11,skypilot-catalog\n"


def test_catalogues_are_sources_at_second_hand() -> None:
    second = {source.name for source in registry.registered() if source.second_hand}
    assert second == {"skypilot-catalog", "gpuhunt-catalog", "spotlake"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("as_of", "prices"), [("2026-02-28", []), ("2026-03-03", [20.0]), ("2026-03-06", [20.0, 11.0])]
)
def test_a_price_at_second_hand_counts_where_no_other_is_known(
    as_of: str, prices: list[float], tmp_path: Path
) -> None:
    ingest(tmp_path / "s", write_text(tmp_path / "a.csv", HEADER + FIRST + OF_ZONE + ELSEWHERE))
    with open_snapshot(tmp_path / "s") as snapshot:
        events = snapshot.events(as_of=as_of)
    assert events["price_usd_per_hour"].tolist() == prices


@pytest.mark.slow
def test_a_price_at_second_hand_counts_until_another_comes(tmp_path: Path) -> None:
    late = FIRST.replace("03-02", "03-09")
    ingest(tmp_path / "s", write_text(tmp_path / "a.csv", HEADER + OF_ZONE + late))
    with open_snapshot(tmp_path / "s") as snapshot:
        before = snapshot.events(as_of="2026-03-06")
        after = snapshot.events(as_of="2026-03-10")
    assert before["source"].tolist() == ["gpuhunt-catalog"]
    assert after["source"].tolist() == ["ec2-spot-price-history"]


@pytest.mark.slow
def test_a_flagged_price_that_nobody_reads_keeps_no_offer_out(tmp_path: Path) -> None:
    fallen = [ELSEWHERE.replace("spot", "on_demand"), OF_ZONE.replace("spot", "on_demand")]
    later = [row.replace("03-05", "03-07").replace(",9,", ",3,") for row in fallen]
    later = [row.replace(",11,", ",3,") for row in later]
    first = FIRST.replace("spot,", "on_demand,").replace("use1-az4", "")
    text = HEADER + "".join([*fallen, *later, first])
    ingest(tmp_path / "s", write_text(tmp_path / "a.csv", text))
    with open_snapshot(tmp_path / "s") as snapshot:
        before = held(snapshot, as_of="2026-03-01")
        table = held(snapshot, as_of="2026-03-08").set_index("region")
    assert before.empty
    assert set(table["reason"]) == {"fell_by_half"}
    assert table["unread"].to_dict() == {"us-east-1": True, "us-west-2": False}
    assert table["keeps_out"].to_dict() == {"us-east-1": False, "us-west-2": True}
