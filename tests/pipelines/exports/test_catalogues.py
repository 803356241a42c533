"""Catalogues in the shapes of SkyPilot and gpuhunt: what their readers make of them is right."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from gpuhunt import CatalogItem
from gpuhunt._internal.constraints import KNOWN_NVIDIA_GPUS

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import ingest, offers
from pipelines.exports import gpuhunt, skypilot
from pipelines.exports.gpu_names import name_and_size, vendor

AS_OF = "2026-06-01"


def table(*rows):
    found = offers(*rows).assign(zone="", vcpus=96.0)
    reserved = found["purchase_option"] == "reserved"
    return found.assign(term=np.where(reserved, "1y", ""))


AWS = table(
    ("aws", "us-east-1", "p5.48xlarge", "on_demand", "H100", 8.0, 55.04),
    ("aws", "us-east-1", "p5.48xlarge", "spot", "H100", 8.0, 27.5),
    ("aws", "us-east-1", "p4d.24xlarge", "on_demand", "A100-40GB", 8.0, 21.9),
    ("aws", "us-east-1", "p5.48xlarge", "reserved", "H100", 8.0, 30.0),
)
GCP = table(
    ("gcp", "us-east4", "g2-standard-4", "on_demand", "L4", 1.0, 0.70),
    ("gcp", "us-east4", "g2-standard-8", "on_demand", "L4", 1.0, 0.85),
    ("gcp", "us-east4", "g2-standard-8", "spot", "L4", 1.0, 0.30),
    ("gcp", "us-east4", "a3-megagpu-8g", "on_demand", "H100", 8.0, 92.0),
)


def read_back(frame, path):
    """Return what our own reader of such a file makes of it: machine, option, USD per hour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    ingest(path.parent / "store", path)
    with open_snapshot(path.parent / "store") as snapshot:
        prices = snapshot.table("price_events")
    columns = ["instance_type", "purchase_option", "price_usd_per_hour"]
    return sorted(prices[columns].itertuples(index=False, name=None))


HOURLY = [
    ("p4d.24xlarge", "on_demand", 21.9),
    ("p5.48xlarge", "on_demand", 55.04),
    ("p5.48xlarge", "spot", 27.5),
]


@pytest.mark.slow
def test_our_reader_of_skypilots_catalogue_reads_ours(tmp_path):
    catalogue = skypilot.catalogue(AWS, "aws")
    assert tuple(catalogue.columns) == skypilot.CATALOGUE_COLUMNS
    assert read_back(catalogue, tmp_path / "aws" / "vms.csv") == HOURLY
    assert set(catalogue["AcceleratorName"]) == {"H100", "A100"}


@pytest.mark.slow
def test_our_reader_of_gpuhunts_catalogue_reads_ours(tmp_path):
    assert read_back(gpuhunt.catalogue(AWS, "aws"), tmp_path / "aws.csv") == HOURLY


def test_a_size_that_the_model_names_is_told_where_no_other_is_known():
    unknown = AWS.assign(gpu_memory_gib=np.nan)
    made = gpuhunt.catalogue(unknown, "aws").drop_duplicates("gpu_name").set_index("gpu_name")
    assert made["gpu_memory"].to_dict() == pytest.approx(
        {"H100": np.nan, "A100": 40.0}, nan_ok=True
    )


def test_gpuhunt_itself_takes_the_columns():
    known = {field.name for field in dataclasses.fields(CatalogItem)}
    catalogue = gpuhunt.catalogue(AWS, "aws")
    assert set(catalogue.columns) <= known
    for row in catalogue.to_dict("records"):
        item = CatalogItem(provider="aws", **row)
        assert item.gpu_name in ("H100", "A100")


def test_of_google_cloud_host_and_gpus_sum_to_the_machine():
    catalogue = skypilot.catalogue(GCP, "gcp")
    hosts = catalogue[catalogue["InstanceType"].notna()].set_index("InstanceType")
    gpus = catalogue[catalogue["InstanceType"].isna()].set_index("AcceleratorName")
    assert hosts["AcceleratorName"].isna().all()
    assert hosts.loc["g2-standard-4", "Price"] + gpus.loc["L4", "Price"] == pytest.approx(0.70)
    assert hosts.loc["g2-standard-8", "Price"] + gpus.loc["L4", "Price"] == pytest.approx(0.85)
    assert hosts.loc["a3-megagpu-8g", "Price"] + gpus.loc["H100-MEGA", "Price"] == 92.0
    assert pd.isna(hosts.loc["g2-standard-4", "SpotPrice"]), "not sold as spot"


@pytest.mark.parametrize("make", [skypilot.catalogue, gpuhunt.catalogue])
def test_a_provider_without_offers_is_refused(make):
    with pytest.raises(ParameterError, match="azure"):
        make(AWS, "azure")


def test_a_cloud_that_skypilot_does_not_know_is_refused():
    with pytest.raises(ParameterError, match="SkyPilot does not know 'vultr'"):
        skypilot.catalogue(AWS, "vultr")


@pytest.mark.parametrize(
    ("model", "name", "size"),
    [
        ("A100-80GB", "A100", "80GB"),
        ("RTX-PRO-6000", "RTXPRO6000", ""),
        ("H100-NVL", "H100NVL", ""),
        ("H100-PCIe", "H100", ""),
        ("L40S", "L40S", ""),
    ],
)
def test_gpus_have_the_names_that_gpuhunt_knows(model, name, size):
    assert name_and_size(model) == (name, size)
    assert name in {gpu.name for gpu in KNOWN_NVIDIA_GPUS}


def test_whose_a_gpu_is():
    assert [vendor(name) for name in ("V520", "MI300X", "V100", "Gaudi2")] == [
        *("amd", "amd", "nvidia", "intel")
    ]
