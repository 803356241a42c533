"""Parts of Google's billing catalogue, by the words of their descriptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloudarb_lib.sources.gcp_skus import GcpSkus
from cloudarb_lib.testing import write_text


def sku(description: str, usage: str = "OnDemand", nanos: int = 10_000_000) -> dict[str, object]:
    """Return a SKU of one region that costs so much an hour."""
    rate = {"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": "0"}}
    rate["unitPrice"]["nanos"] = nanos
    return {
        "skuId": description,
        "description": description,
        "category": {"resourceFamily": "Compute", "usageType": usage},
        "serviceRegions": ["us-central1"],
        "pricingInfo": [{"pricingExpression": {"usageUnit": "h", "tieredRates": [rate]}}],
    }


def prices_of(path: Path, skus: list[dict[str, object]]) -> dict[str, str]:
    """Return the prices that SKUs come to, by machine and option."""
    file = write_text(path / "skus.json", json.dumps({"skus": skus}))
    (piece,) = GcpSkus().fetch(file)
    rows = GcpSkus().parse(piece).tables["price_events"].to_pylist()
    return {
        f"{row['instance_type']} {row['purchase_option']}{row['term']}": row["price_usd_per_hour"]
        for row in rows
    }


@pytest.mark.parametrize(
    ("core", "memory", "usage", "machine"),
    [
        ("N1 Predefined Instance Core", "N1 Predefined Instance Ram", "OnDemand", "n1-standard-1"),
        ("N2D AMD Instance Core", "N2D AMD Instance Ram", "OnDemand", "n2d-standard-2"),
        ("Compute optimized Core", "Compute optimized Ram", "OnDemand", "c2-standard-4"),
        ("Commitment v1: Cpu", "Commitment v1: Ram", "Commit1Yr", "n1-standard-1"),
        ("Spot Preemptible C4A Arm Instance Core", "Spot Preemptible C4A Arm Instance Ram",
         "Preemptible", "c4a-standard-1"),
        ("M3 Memory-optimized Instance Core", "M3 Memory-optimized Instance Ram", "OnDemand",
         "m3-ultramem-32"),
    ],
)  # fmt: skip
def test_the_words_of_a_sku_tell_its_family(
    core: str, memory: str, usage: str, machine: str, tmp_path: Path
) -> None:
    skus = [sku(f"{words} running in Americas", usage) for words in (core, memory)]
    families = {name.split("-")[0] for name in prices_of(tmp_path, skus)}
    assert families == {machine.split("-")[0]}
    assert any(name.startswith(machine) for name in prices_of(tmp_path, skus))


@pytest.mark.parametrize(
    "words",
    [
        "N2 Custom Instance Core",
        "N2 Instance Core Sole Tenancy",
        "Reserved N2 Instance Core",
        "DWS Calendar Mode N2 Instance Core",
        "Licensing Fee for Windows on Core",
    ],
)
def test_other_skus_are_no_part_of_a_machine(words: str, tmp_path: Path) -> None:
    skus = [sku("N2 Instance Core"), sku("N2 Instance Ram"), sku(words, nanos=1)]
    assert prices_of(tmp_path, skus) == prices_of(tmp_path, skus[:2])


def test_a_machine_without_the_price_of_its_gpu_is_left_out(tmp_path: Path) -> None:
    parts = [sku("G2 Instance Core"), sku("G2 Instance Ram")]
    assert prices_of(tmp_path, parts) == {}
    priced = prices_of(tmp_path, [*parts, sku("Nvidia L4 GPU running in Americas")])
    assert priced["g2-standard-4 on_demand"] == "0.210000000"  # 4 cores, 16 GiB and a GPU
