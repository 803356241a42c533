"""Marketplaces through the gpuhunt library, in processes of its own, over real HTTP."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace

import pytest

from cloudarb_lib.live.feeds.gpu_markets import GpuMarkets
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.testing import feeds
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect, stored
from cloudarb_lib.testing.http import Reply

BUNDLES = {
    "offers": [
        {
            "id": 101,
            "cpu_cores": 64,
            "cpu_cores_effective": 32.0,
            "cpu_ram": 257000,
            "disk_space": 100.0,
            "storage_cost": 0.1,
            "dph_base": 2.5,
            "min_bid": 1.2,
            "gpu_name": "H100 SXM",
            "gpu_ram": 81559,
            "num_gpus": 1,
            "geolocation": "Texas, US",
        },
        {"id": 102, "cpu_cores": None},
    ]
}
PLANS = {
    "plans": [
        {
            "id": "vc2-1c-1gb",
            "vcpu_count": 1,
            "ram": 1024,
            "disk": 25,
            "hourly_cost": 0.007,
            "monthly_cost": 5,
            "type": "vc2",
            "locations": ["ewr"],
        }
    ]
}
NODES = {
    "nodes": [
        {
            "id": "node-1",
            "rent_url": "http://127.0.0.1/",
            "gpu_model": "NVIDIA H100 80GB HBM3",
            "gpu_count": 2,
            "available_gpu_count": 2,
            "min_rentable_gpu_count": 1,
            "price_per_gpu_hour": 1.9,
            "gpu_memory_gb": 80,
            "cpu_count": 64,
            "ram_gb": 512,
            "disk_free_gb": 1000,
            "country_code": "US",
        }
    ]
}
ANSWERS = {
    "/api/v0/bundles/": BUNDLES,
    "/v2/plans-metal": {"plans_metal": []},
    "/v2/plans": PLANS,
    "/api/public/v1/nodes": NODES,
}


def markets(asked):
    if asked.path not in ANSWERS:
        return Reply(b"{}", 404)
    return Reply(
        json.dumps(ANSWERS[asked.path]).encode(), headers={"content-type": "application/json"}
    )


def rows(collected, name):
    with zipfile.ZipFile(io.BytesIO(collected.bodies[name][0])) as archive:
        assert archive.namelist() == [f"{name}.csv"]
        return list(csv.DictReader(io.StringIO(archive.read(f"{name}.csv").decode())))


@pytest.mark.slow
def test_each_marketplace_is_listed_as_the_library_has_it(tmp_path):
    collected = collect(GpuMarkets(), markets, tmp_path)
    assert collected.faults == {}
    assert {row["instance_name"] for row in rows(collected, "vastai")} == {"101"}
    assert {row["spot"] for row in rows(collected, "vastai")} == {"True", "False"}
    assert {row["price"] for row in rows(collected, "vultr")} == {"0.007"}
    assert {row["gpu_count"] for row in rows(collected, "lium")} == {"1", "2"}
    assert collected.part("vultr").whole == (Scope("vultr"),)
    assert collected.part("vastai").whole == ()  # it lists its best offers alone


@pytest.mark.slow
def test_offers_reach_the_store_with_their_machines(tmp_path):
    collected = collect(GpuMarkets(), markets, tmp_path)
    events = stored(tmp_path, collected, "price_events")
    assert set(events["provider"]) == {"lium", "vast.ai", "vultr"}
    of_vast = events[events.provider == "vast.ai"]
    assert list(of_vast["price_kind"]) == ["market"]
    # spot is listed at the least bid that is taken: no price
    assert list(of_vast["purchase_option"]) == ["on_demand"]
    assert set(events["observed_at"]) == {COLLECTED_AT}
    machines = stored(tmp_path, collected, "instances")
    assert set(events["instance_type"]) <= set(machines["instance_type"])
    assert set(machines[machines.provider == "vast.ai"]["gpu_model"]) == {"H100"}


@pytest.mark.slow
def test_a_marketplace_that_fails_or_says_nothing_fails_apart(tmp_path, monkeypatch):
    quick = replace(feeds.QUICK, timeout_s=4.0, attempts=1)
    monkeypatch.setattr(feeds, "QUICK", quick)

    def answer(asked):
        if asked.path == "/api/v0/bundles/":
            return Reply(b"", wait_s=30)
        if asked.path == "/api/public/v1/nodes":
            return Reply(b'{"nodes": []}')
        return markets(asked)

    collected = collect(GpuMarkets(), answer, tmp_path)
    assert "did not answer within" in collected.faults["vastai"]
    assert "lists no offer" in collected.faults["lium"]
    assert len(rows(collected, "vultr")) == 1
