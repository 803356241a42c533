"""What catalogues repeat of others counts only where the others are silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudarb_lib.sources import registry
from cloudarb_lib.store import open_snapshot
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


def test_a_price_at_second_hand_counts_until_another_comes(tmp_path: Path) -> None:
    late = FIRST.replace("03-02", "03-09")
    ingest(tmp_path / "s", write_text(tmp_path / "a.csv", HEADER + OF_ZONE + late))
    with open_snapshot(tmp_path / "s") as snapshot:
        before = snapshot.events(as_of="2026-03-06")
        after = snapshot.events(as_of="2026-03-10")
    assert before["source"].tolist() == ["gpuhunt-catalog"]
    assert after["source"].tolist() == ["ec2-spot-price-history"]
