"""Regions of AWS zone ids."""

from __future__ import annotations

import pytest

from cloudarb_lib.sources.names.aws_zone_ids import region_of_zone_id


@pytest.mark.parametrize(
    ("zone_id", "region"),
    [
        ("use1-az4", "us-east-1"),
        ("use2-az1", "us-east-2"),
        ("usw2-az3", "us-west-2"),
        ("euc1-az2", "eu-central-1"),
        ("eun1-az1", "eu-north-1"),
        ("euw3-az1", "eu-west-3"),
        ("eus2-az1", "eu-south-2"),
        ("apse2-az1", "ap-southeast-2"),
        ("apne1-az4", "ap-northeast-1"),
        ("aps1-az1", "ap-south-1"),
        ("ape1-az1", "ap-east-1"),
        ("cac1-az4", "ca-central-1"),
        ("caw1-az1", "ca-west-1"),
        ("sae1-az1", "sa-east-1"),
        ("afs1-az1", "af-south-1"),
        ("mec1-az1", "me-central-1"),
        ("mes1-az1", "me-south-1"),
        ("ilc1-az1", "il-central-1"),
        ("mxc1-az1", "mx-central-1"),
        ("cnn1-az1", "cn-north-1"),
        ("cnnw1-az1", "cn-northwest-1"),
        ("usgw1-az1", "us-gov-west-1"),
        ("usge1-az2", "us-gov-east-1"),
        ("usw2-lax1-az1", "us-west-2"),
        ("use1-wl1-bos-wlz1", "us-east-1"),
    ],
)
def test_a_zone_id_tells_its_region(zone_id: str, region: str) -> None:
    assert region_of_zone_id(zone_id) == region


@pytest.mark.parametrize(
    "other", ["us-east-1a", "us-west-2-lax-1a", "us-east-1", "", "az1", "use-az1", "xyz1-az1"]
)
def test_other_texts_are_no_zone_ids(other: str) -> None:
    assert region_of_zone_id(other) is None
