"""Carbon intensity, once a month."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.live.feed import Pull
from cloudarb_lib.live.feeds.carbon import CcfGridFactors, GcpRegionCarbon
from cloudarb_lib.testing.feeds import COLLECTED_AT, collect
from cloudarb_lib.testing.services import Files

FACTORS = "/cloud-carbon-footprint/ccf-coefficients/main/data/grid-emissions-factors"
SERVICE = Files(
    {
        "/GoogleCloudPlatform/region-carbon-info/main/data/yearly/latest.csv": (
            "Google Cloud Region,Grid carbon intensity (gCO2eq / kWh)\nus-west4,360\n"
        ),
        f"{FACTORS}-azure.csv": "Region,CO2e (metric ton/kWh)\nEast US,0.0004\n",
        f"{FACTORS}-aws.csv": "Region,CO2e (metric ton/kWh)\nus-east-1,0.0004\n",
    }
)


@pytest.mark.parametrize(
    ("feed", "names"), [(GcpRegionCarbon(), ["latest"]), (CcfGridFactors(), ["aws", "azure"])]
)
def test_files_come_as_they_are_once_a_month(feed, names, tmp_path):
    collected = collect(feed, SERVICE, tmp_path)
    assert list(collected.bodies) == names
    assert collected.faults == {}
    last = dict.fromkeys(names, COLLECTED_AT - pd.Timedelta(days=20))
    assert collect(feed, SERVICE, tmp_path, Pull(COLLECTED_AT, last_done=last)).parts == []
    assert "1 regions" in collect(feed, SERVICE, tmp_path, probe=True).found


def test_one_file_that_is_gone_fails_apart(tmp_path):
    service = Files({f"{FACTORS}-azure.csv": "Region\nEast US\n"})
    collected = collect(CcfGridFactors(), service, tmp_path)
    assert set(collected.faults) == {"aws"}
    assert (
        "not as it was"
        in collect(
            CcfGridFactors(), lambda a: SERVICE(a).__class__(b"<html>"), tmp_path, probe=True
        ).found
    )
